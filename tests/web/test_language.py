"""The language of the page, of its events and scripts and of the log-in: as chosen, else as the browser asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import httpx
import pytest
from gradio.context import LocalContext
from starlette.requests import Request

from studio import language
from studio.errors import BadInput
from studio.language import COOKIE, reader, reading, tr
from studio.people.accounts import Accounts
from studio.ui.errors import told
from studio.ui.roles import gated
from studio.ui.translated import translated, words_head
from tests.web.conftest import Town
from tests.web.test_roles import page_of, values

BUTTON, ERROR = "Go to Train", "Choose a finished run of this project first."
TEXTS = {
    "de": {BUTTON: "Zum Training", ERROR: "Zuerst einen Lauf wählen.", "Log in": "Anmelden", "Copied": "Kopiert"},
    "zh": {BUTTON: "前往训练", ERROR: "请先选择运行。", "Log in": "登录", "Copied": "已复制"},
}
ALONE = cast(Accounts, SimpleNamespace(on=False))
"""A studio without accounts."""

ODD = ["../../x", "x" * 100_000, "<script>alert(1)</script>", "de/../../zh", "${7*7}{x}", "fr-FR"]


@pytest.fixture(scope="module", autouse=True)
def catalogs() -> Iterator[None]:
    """Two small catalogs, there before the first page is asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "_texts", lambda code: TEXTS.get(code, {}))
        patch.setattr(language, "_script_keys", lambda code: ["Copied"])
        yield


def asked(town: Town, path: str, accepted: str = "", chosen: str = "", who: str | None = "ann") -> httpx.Response:
    """A page as a browser of that language asks for it."""
    cookies = [f"{town.cookie}={town.token(who)}"] if who else []
    cookies += [f"{COOKIE}={chosen}"] if chosen else []
    headers = {"accept-language": accepted} if accepted else {}
    return town.ask(None, "GET", path, headers={**headers, "cookie": "; ".join(cookies)})


def buttons(config: dict[str, Any]) -> set[str]:
    """What stands on the buttons of a page."""
    return {str(part["props"].get("value")) for part in config["components"] if part["type"] == "button"}


@pytest.mark.parametrize(
    ("accepted", "chosen", "said"),
    [
        ("de", "", "Zum Training"),
        ("de-AT,de;q=0.9,en;q=0.5", "", "Zum Training"),
        ("zh-CN", "", "前往训练"),
        ("de", "zh", "前往训练"),
        ("zh", "de", "Zum Training"),
        ("de", "en", BUTTON),
        ("", "", BUTTON),
        ("fr-FR,fr;q=0.9", "", BUTTON),
        ("de", "klingon", "Zum Training"),
    ],
)
def test_the_page_is_in_the_language_that_was_chosen_or_is_asked_for(
    town: Town, accepted: str, chosen: str, said: str
) -> None:
    found = buttons(asked(town, "/config", accepted, chosen).json())
    assert said in found and len(found & {BUTTON, "Zum Training", "前往训练"}) == 1


def test_an_annotators_page_is_small_in_every_language(town: Town) -> None:
    for code in ("en", "de", "zh"):
        config = asked(town, "/config", code, who="bob").json()
        assert not buttons(config) & {BUTTON, "Zum Training", "前往训练"}
        assert not [one for one in config["components"] if one["props"].get("id") == "deploy"]


def words_of(config: httpx.Response) -> dict[str, Any]:
    """What the page's first script is told of the language."""
    return told_in(config.json()["head"])


def told_in(head: str) -> dict[str, Any]:
    """What the first script of a head is told."""
    first = head.split("</script>")[0]
    found: dict[str, Any] = json.loads(first.removeprefix("<script>window.studioWords = ").removesuffix(";"))
    return found


def test_the_scripts_get_their_texts_in_the_language(town: Town) -> None:
    german = words_of(asked(town, "/config", "de"))
    assert german == {"language": "de", "cookie": COOKIE, "texts": {"Copied": "Kopiert"}}
    assert words_of(asked(town, "/config", "de", "zh"))["texts"] == {"Copied": "已复制"}
    assert words_of(asked(town, "/config"))["texts"] == {}
    assert "window.tr" in asked(town, "/config", "fr").json()["head"]


def test_texts_cannot_end_the_script_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = "'\"</script>\u2028 ${x} \\"
    monkeypatch.setitem(TEXTS["de"], "Copied", odd)
    head = str(translated({"components": [], "head": words_head()}, "de")["head"])
    assert head.count("</script>") == 2 and told_in(head)["texts"]["Copied"] == odd


def test_the_log_in_is_in_the_language_and_says_so(town: Town) -> None:
    german = asked(town, "/login", "de", who=None).text
    assert "<h1>Anmelden</h1>" in german and '<html lang="de"' in german and "<h1>Log in</h1>" not in german
    assert "<h1>登录</h1>" in asked(town, "/login", "de", "zh", who=None).text
    english = asked(town, "/login", "fr", who=None).text
    assert "<h1>Log in</h1>" in english and '<html lang="en"' in english


@pytest.mark.parametrize("odd", ODD, ids=[one[:12] for one in ODD])
def test_an_odd_language_is_english_and_echoed_nowhere(town: Town, odd: str) -> None:
    for accepted, chosen in ((odd, ""), ("", odd), (odd, odd)):
        for path, who in (("/config", "ann"), ("/login", None), ("/", "ann")):
            answer = asked(town, path, accepted, chosen, who)
            assert answer.status_code == 200 and odd not in answer.text, (path, odd[:20])
            assert not any(odd in value or COOKIE in value for value in answer.headers.values())
        assert BUTTON in buttons(asked(town, "/config", accepted, chosen).json())
        assert "<h1>Log in</h1>" in asked(town, "/login", accepted, chosen, None).text
        assert words_of(asked(town, "/config", accepted, chosen))["language"] == "en"


def sent(town: Town, number: int, accepted: str) -> str:
    """How an event ended that a browser of that language sent."""
    session = f"l{number}{accepted}"
    data = values(page_of(town).fns[number])
    body = {"fn_index": number, "data": data, "session_hash": session, "event_data": {"id": "x"}}
    headers = {"accept-language": accepted, "cookie": f"{town.cookie}={town.token('ann')}"}
    assert town.ask(None, "POST", "/gradio_api/queue/join", headers=headers, json=body).status_code == 200
    # Whoever asks for the answer may be told to by another language: that of the event counts.
    stream = town.ask("ann", "GET", "/gradio_api/queue/data", params={"session_hash": session}).text
    ended = next(line for line in stream.splitlines() if "process_completed" in line)
    return str(json.loads(ended.removeprefix("data: "))["output"]["error"])


def test_an_event_answers_in_the_language_of_who_sent_it(town: Town) -> None:
    number = next(
        number
        for number, event in page_of(town).fns.items()
        if event.fn is not None and event.fn.__qualname__ == "wire_export.<locals>.on_start"
    )
    for code, said in (("de", TEXTS["de"][ERROR]), ("en", ERROR), ("zh", TEXTS["zh"][ERROR]), ("<x>", ERROR)):
        assert sent(town, number, code) == said


def event_of(code: str | None) -> None:
    """From here on an event of that reader runs; None: one without a request."""
    state = {} if code is None else {"state": {"language": code}}
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b"", **state}
    LocalContext.request.set(None if code is None else gr.Request(request=Request(scope)))


@pytest.fixture
def after() -> Iterator[None]:
    """No event runs and English is read afterwards."""
    yield
    LocalContext.request.set(None)
    reading("en")


def test_each_event_begins_in_its_readers_language(after: None) -> None:
    handler = gated(lambda: tr("Log in"), "annotator", ALONE, loud=True)
    for code, said in (("de", "Anmelden"), ("en", "Log in"), ("zh", "登录"), (None, "Log in"), ("../x", "Log in")):
        event_of(code)
        assert handler() == said
    assert reader() == "en"


def test_a_handler_of_several_steps_stays_in_its_language(after: None) -> None:
    def steps() -> Iterator[str]:
        yield tr("Log in")
        yield tr("Log in")

    @told
    def fails() -> str:
        raise BadInput(ERROR)

    event_of("de")
    running = gated(steps, "annotator", ALONE, loud=True)()
    assert next(running) == "Anmelden"
    reading("en")  # another event came in between
    assert next(running) == "Anmelden"
    with pytest.raises(gr.Error, match="Zuerst einen Lauf"):
        gated(fails, "annotator", ALONE, loud=True)()
