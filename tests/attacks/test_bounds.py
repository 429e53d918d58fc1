"""Requests as an attacker sends them: another one's page, addresses to fetch, endless bodies, other sites' pages."""

from __future__ import annotations

import json

import pytest

from studio.ui.roles import roles_of
from studio.web import bounds
from studio.web.bounds import BODY_LIMIT, Bounds, Owners, fetches
from studio.web.guard import Guard
from tests.web.conftest import Town
from tests.web.test_roles import page_of, values

FETCHED = {"path": "http://169.254.169.254/latest/meta-data/", "meta": {"_type": "gradio.FileData"}}


def shared_event(town: Town) -> tuple[int, list[object]]:
    """An event that every role may send, and what a browser would send with it."""
    page = page_of(town)
    asked = roles_of(page)
    number = next(n for n, role in asked.items() if role == "annotator" and page.fns[n].fn and page.fns[n].queue)
    return number, values(page.fns[number])


def test_another_ones_page_gives_no_answer_no_state_and_no_end(town: Town) -> None:
    number, data = shared_event(town)
    mine = {"fn_index": number, "data": data, "session_hash": "anns-page"}
    assert town.ask("ann", "POST", "/gradio_api/queue/join", json=mine).status_code == 200
    asked = [
        ("GET", "/gradio_api/queue/data?session_hash=anns-page", None),
        ("GET", "/gradio_api/queue/data?session_hash=own&session_hash=anns-page", None),
        ("GET", "/gradio_api/heartbeat/anns-page", None),
        ("GET", "/gradio_api/heartbeat/anns%2Dpage", None),
        ("POST", "/gradio_api/queue/join", mine),
        ("POST", "/gradio_api/run/predict", mine),
        ("POST", "/gradio_api/cancel", {"session_hash": "anns-page", "fn_index": number, "event_id": "x"}),
    ]
    for method, path, body in asked:
        answer = town.ask("bob", method, path, **({"json": body} if body else {}))
        assert answer.status_code == 403 and "somebody else" in answer.text, path
    own = town.ask("ann", "GET", "/gradio_api/queue/data", params={"session_hash": "anns-page"})
    assert "process_completed" in own.text


@pytest.mark.parametrize("page", [7, ["anns-page"], {"a": 1}, "x" * 101])
def test_a_page_has_a_short_word_for_a_name(town: Town, page: object) -> None:
    body = {"fn_index": 0, "data": [], "session_hash": page}
    assert town.ask("bob", "POST", "/gradio_api/queue/join", json=body).status_code == 400


def test_nobody_pushes_out_another_ones_page() -> None:
    owners = Owners()
    assert owners.may_use("anns", "ann")
    assert all(owners.may_use(f"bobs-{number}", "bob") for number in range(2000))
    assert not owners.may_use("anns", "bob") and owners.may_use("anns", "ann")
    assert len(owners._owner) <= bounds._PAGES_EACH + 1


@pytest.mark.parametrize("path", ["/gradio_api/call/x", "/gradio_api/call/v2/x", "/gradio_api/api/x"])
def test_events_have_no_second_door(town: Town, path: str) -> None:
    assert town.ask("ann", "POST", path, json={"data": []}).status_code == 403
    assert town.ask("ann", "GET", "/gradio_api/deep_link?session_hash=x").status_code == 403


@pytest.mark.parametrize("data", [[FETCHED], [{"a": [[FETCHED]]}], [FETCHED | {"path": "https://evil.example/x"}]])
def test_an_event_makes_the_server_fetch_nothing(
    town: Town, data: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradio import processing_utils

    async def fetched(*given: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", fetched)
    for path in ("queue/join", "run/predict"):
        body = {"fn_index": shared_event(town)[0], "data": data, "session_hash": f"fetching-{path}"}
        answer = town.ask("bob", "POST", f"/gradio_api/{path}", json=body)
        assert answer.status_code == 400 and "nothing is fetched" in answer.text


def test_a_prompt_about_an_address_is_no_file() -> None:
    assert not fetches({"data": ["see http://a.b/c", {"path": "a/b", "meta": {}}, {"path": "http://x"}]})


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://evil.example/x", "ftp://a.b/c", "HTTP://a.b/"])
def test_the_studio_sends_nobody_elsewhere(town: Town, url: str) -> None:
    answer = town.ask("ann", "GET", f"/gradio_api/file={url}")
    assert answer.status_code == 403 and "location" not in answer.headers


@pytest.mark.parametrize("who", ["bob", "ann"])
@pytest.mark.parametrize("path", ["/api/label/act", "/gradio_api/queue/join", "/gradio_api/run/predict"])
def test_a_body_without_end_is_refused_before_it_is_held(
    town: Town, who: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "BODY_LIMIT", 1 << 20)
    given = 0

    def pieces() -> object:
        nonlocal given
        while given < 64:
            given += 1
            yield b" " * (1 << 18)

    assert town.ask(who, "POST", path, content=pieces()).status_code == 413
    told = {"content-length": str(BODY_LIMIT + 1)}
    assert town.ask(who, "POST", path, content=b"{}", headers=told).status_code == 413


def test_a_nested_body_is_refused(town: Town) -> None:
    for body in (b"[" * 200_000, b'{"data": ' * 50_000, b"{"):
        assert town.ask("bob", "POST", "/gradio_api/queue/join", content=body).status_code == 400
    assert town.ask("bob", "POST", "/api/label/act", content=b"[" * 200_000).status_code in (400, 422)


@pytest.mark.parametrize("path", ["/config", "/gradio_api/queue/data?session_hash=x", "/api/label/desk?project=x", "/"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": "http://[bad"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_a_page_of_another_site_or_port_reads_nothing(town: Town, path: str, headers: dict[str, str]) -> None:
    answer = town.ask("ann", "GET", path, headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_link_from_elsewhere_opens_the_page_and_posts_nothing(town: Town) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert town.ask("ann", "GET", "/", headers=headers).status_code == 200
    assert town.ask("ann", "POST", "/logout", headers=headers).status_code == 403


def test_the_guard_stands_before_the_bounds(town: Town) -> None:
    """Who has no session has no body read and no page taken."""
    order = [entry.cls for entry in town.app.user_middleware]
    assert order.index(Guard) < order.index(Bounds)
    body = json.dumps({"fn_index": 0, "data": [], "session_hash": "unowned"})
    assert town.ask(None, "POST", "/gradio_api/queue/join", content=body).status_code == 401
