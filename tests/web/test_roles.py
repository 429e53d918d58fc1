"""Every route and every event of the page, called as each role and as nobody.

A route of the studio's own without a line in studio.web.rules fails here, and so does a tab or an event that asks for
less than the table below says: whoever adds one decides about it here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from storage.records import User
from studio.errors import NotAllowed
from studio.people.roles import ROLES as ORDER
from studio.people.roles import may
from studio.ui import roles as gates
from studio.ui.app import TABS
from studio.ui.roles import roles_of
from studio.web.rules import EVERYBODY, NOBODY, has_rule, least_role
from tests.web.conftest import ROLES, Town

OPEN = {"/login", "/favicon.ico", "/robots.txt"}
"""Paths that need no session."""

SEEN_BY = {
    "annotator": {"Home", "Label", "Compare"},
    "reviewer": {"Home", "Label", "Compare", "Data", "Review", "Suggestions", "Team"},
    "admin": set(TABS),
}
"""Which tabs a role sees; a tab that is not here is for admins."""


def page_of(town: Town) -> gr.Blocks:
    """The mounted page."""
    return next(route.app for route in town.app.routes if isinstance(route, Mount)).get_blocks()


def concrete(path: str) -> str:
    """A path with something in place of its parameters."""
    return re.sub(r"\{[^}]+\}", "x", path)


def routes_of(routes: list[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of each route, those of included routers too."""
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from routes_of(included.routes, prefix + (route.include_context.prefix or ""))
        elif isinstance(route, (APIRoute, Route)):
            for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, prefix + concrete(route.path)


def test_every_route_of_the_studio_has_a_rule_and_holds_it(town: Town) -> None:
    own = list(routes_of(town.app.routes))
    assert ("POST", "/api/label/act") in own and len(own) > 8
    assert [path for _, path in own if not has_rule(path)] == []
    for method, path in own:
        if path in OPEN or path == "/logout":
            continue
        least = least_role(path)
        assert town.ask(None, method, path).status_code == 401, path
        for who, role in ROLES.items():
            refused = town.ask(who, method, path).status_code in (401, 403)
            assert refused != may(User(who, role), least), (who, method, path)


def test_a_route_without_a_rule_is_for_admins(town: Town) -> None:
    for path in ("/api/new/thing", "/api/label", "/gradio_api/new", "/x", "//api/label/desk", "/api/review"):
        assert least_role(path) == "admin" and not has_rule(path)
        assert [town.ask(who, "GET", path).status_code for who in (None, "bob", "rev")] == [401, 403, 403]


def test_every_route_of_gradio_needs_a_session_and_many_more(town: Town) -> None:
    mount = next(route for route in town.app.routes if isinstance(route, Mount))
    found = set(routes_of(mount.app.routes))
    assert len(found) > 40
    for method, path in sorted(found - {("POST", "/login"), ("POST", "/login/")}):
        least = least_role(path)
        if least == EVERYBODY:
            assert path in OPEN
            continue
        assert town.ask(None, method, path).status_code == 401, (method, path)
        if least in (NOBODY, "admin", "reviewer"):
            assert town.ask("bob", method, path).status_code == 403, (method, path)
        if least == NOBODY:
            assert town.ask("ann", method, path).status_code == 403, (method, path)


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/upload_progress?upload_id=x"])
def test_only_an_admin_uploads(town: Town, path: str) -> None:
    method = "GET" if "progress" in path else "POST"
    assert [town.ask(who, method, path).status_code for who in (None, "bob", "rev")] == [401, 403, 403]


def test_an_annotator_gets_no_file(town: Town) -> None:
    path = f"/gradio_api/file={town.studio.workspace.uploads}/x.csv"
    assert [town.ask(who, "GET", path).status_code for who in (None, "bob")] == [401, 403]
    assert town.ask("rev", "GET", path).status_code in (403, 404)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events end at their gate: nothing is done, and who passed is told."""
    real = gates.refuse

    def refuse(role: str, accounts: Any) -> None:
        real(role, accounts)
        raise NotAllowed("PASSED")

    monkeypatch.setattr(gates, "refuse", refuse)


def test_every_event_refuses_whom_its_role_does_not_reach(town: Town, stopped: None) -> None:
    page = page_of(town)
    asked = roles_of(page)
    events = {number: event for number, event in page.fns.items() if event.fn is not None}
    assert len(events) > 40 and all(hasattr(event.fn, "asks_for") for event in events.values())
    for number, event in events.items():
        if event.queue or event.inputs_as_dict:
            continue
        for who, role in ROLES.items():
            body = {"fn_index": number, "data": values(event), "session_hash": f"s{who}", "event_data": {"id": "x"}}
            said = town.ask(who, "POST", "/gradio_api/run/predict", json=body).json()["error"]
            passed = said == "PASSED"
            assert passed or "This needs the role" in str(said), (event.fn.__qualname__, said)
            assert passed == may(User(who, role), asked[number]), (who, event.fn.__qualname__)
        assert town.ask(None, "POST", "/gradio_api/run/predict", json=body).status_code == 401


def test_every_queued_event_too(town: Town, stopped: None) -> None:
    page = page_of(town)
    asked = roles_of(page)
    queued = {number: event for number, event in page.fns.items() if event.fn is not None and event.queue}
    assert len(queued) >= 5
    for number, event in queued.items():
        for who, role in ROLES.items():
            said = ended(town, who, number, values(event))
            assert ("PASSED" in said) == may(User(who, role), asked[number]), (who, event.fn.__qualname__, said)


def ended(town: Town, who: str, number: int, data: list[Any]) -> str:
    """How a queued event ended, as its stream tells it."""
    body = {"fn_index": number, "data": data, "session_hash": f"q{number}{who}", "event_data": {"id": "x"}}
    assert town.ask(who, "POST", "/gradio_api/queue/join", json=body).status_code == 200
    stream = town.ask(who, "GET", "/gradio_api/queue/data", params={"session_hash": body["session_hash"]}).text
    return next(line for line in stream.splitlines() if "process_completed" in line)


def values(event: Any) -> list[Any]:
    """What a browser would send: each input's value as it stands at first."""
    return [getattr(part, "value", None) if part.get_block_name() != "state" else None for part in event.inputs]


def test_no_tab_is_seen_or_acts_for_less_than_the_table_says(town: Town) -> None:
    for name, tab in TABS.items():
        least = next((role for role in ORDER if name in SEEN_BY[role]), "admin")
        assert tab.role == least, name
        assert list(ORDER).index(tab.acts or tab.role) >= list(ORDER).index(least), name


@pytest.mark.parametrize("who", list(ROLES))
def test_the_page_of_a_role_has_its_tabs_and_its_events_only(town: Town, who: str) -> None:
    config = town.ask(who, "GET", "/config").json()
    ids = {name.lower() for name in TABS}  # tabs within a tab have ids of their own
    found = [part["props"] for part in config["components"] if part["type"] == "tabitem"]
    seen = {name for name, tab in TABS.items() if may(User(who, ROLES[who]), tab.role)}
    assert {tab["label"] for tab in found if tab.get("id") in ids} == seen
    asked = roles_of(page_of(town))
    ids = {part["id"] for part in config["components"]} | {page_of(town)._id}
    for event in config["dependencies"]:
        assert may(User(who, ROLES[who]), asked[event["id"]])
        assert {*event["inputs"], *event["outputs"], *(id for id, _ in event["targets"] if id is not None)} <= ids
    page = town.ask(who, "GET", "/").text
    assert ("Start training" in page) == (who == "ann")


def test_another_role_counts_at_once_for_pages_that_are_open(town: Town, stopped: None) -> None:
    page = page_of(town)
    number = next(n for n, role in roles_of(page).items() if role == "admin" and page.fns[n].queue and page.fns[n].fn)
    ask = lambda: ended(town, "rev", number, values(page.fns[number]))  # noqa: E731
    assert "This needs the role admin" in ask()
    town.studio.accounts.set_role("rev", "admin", "ann")
    assert "PASSED" in ask()
    town.studio.accounts.set_role("rev", "reviewer", "ann")
    assert "This needs the role admin" in ask()


def test_an_event_is_not_called_by_its_name_without_a_session(town: Town) -> None:
    names = {event.api_name for event in page_of(town).fns.values() if event.fn is not None}
    for name in sorted(names - {None, False})[:20]:
        answer = town.ask(None, "POST", f"/gradio_api/call/{name}", json={"data": []})
        assert answer.status_code == 401
