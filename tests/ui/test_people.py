"""The People tab and the bar: what they show, as text; and what the gate around a handler does."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext
from starlette.requests import Request

from storage.audit import record
from storage.records import Account, AuditLine, User
from studio.context import Studio
from studio.errors import BadInput, NotAllowed
from studio.people.roles import ALONE
from studio.ui import people
from studio.ui.app import user_html
from studio.ui.people_views import OFF, account_heading, accounts_html, audit_html, details_words
from studio.ui.roles import gated, least
from studio.ui.who import current_user
from tests.ui.conftest import EVIL, WHEN, read

PASSWORD = "correct horse battery"


def event_of(user: User | None) -> None:
    """What Gradio does before it calls a handler for a request that the guard let through."""
    scope = {"type": "http", "headers": [], "state": {"who": lambda: user}}
    LocalContext.request.set(gr.Request(request=Request(scope)))


@pytest.fixture(autouse=True)
def no_event() -> Iterator[None]:
    LocalContext.request.set(None)
    yield
    LocalContext.request.set(None)


def test_users_are_text_with_role_and_last_seen() -> None:
    shown = read(
        accounts_html([Account(EVIL, "admin", WHEN, WHEN, WHEN, 2), Account("b", "annotator", WHEN, None, None, 0)])
    )
    assert EVIL in shown and "locked" in shown and "2 browsers" in shown and "never logged in" in shown
    assert EVIL in read(account_heading(Account(EVIL, "admin", WHEN, None, WHEN, 0)))
    assert "user add NAME --role admin" in OFF


def test_lines_of_the_log_are_text() -> None:
    line = AuditLine(1, WHEN, EVIL, EVIL, "p", EVIL, EVIL, {EVIL: EVIL, "sessions_ended": 2, "nothing": ""})
    shown = read(audit_html([line]))
    assert shown.count(EVIL) == 6 and "sessions ended: 2" in shown and "nothing" not in shown
    assert details_words({"a": "x" * 1000}).endswith("…") and len(details_words({"a": "x" * 1000})) == 300


def test_the_bar_says_who_works_here_and_nothing_without_accounts() -> None:
    assert user_html(ALONE, False) == ""
    shown = user_html(User("ann", "reviewer"), True)
    assert "ann" in shown and "reviewer" in shown and 'method="post" action="/logout"' in shown


def test_the_log_is_paged_back_and_forth(studio: Studio) -> None:
    for number in range(120):
        record(studio.db, "ann", "import", subject=f"line {number}")
    none = ("", "", "", "", "")
    first = people._log_page(studio, [], none)
    second = people._log_page(studio, first[0], none)
    third = people._log_page(studio, second[0], none)
    back = people._log_page(studio, third[0][:-2], none)
    assert "line 119" in first[1] and "line 69" in second[1] and "line 19" in third[1] and back[1] == second[1]
    assert [page[2].interactive for page in (first, second, third)] == [False, True, True]
    assert [page[3].interactive for page in (first, second, third)] == [True, True, False]


def test_a_day_that_is_none_is_told(studio: Studio) -> None:
    with pytest.raises(BadInput, match="2026-11-30"):
        people._log_page(studio, [], ("", "", "", "tomorrow", ""))
    record(studio.db, "ann", "import")
    day = f"{studio.accounts._clock():%Y-%m-%d}"
    assert "import" in people._log_page(studio, [], ("", "", "", day, day))[1]


def test_the_form_is_for_the_first_admin_then_for_users(studio: Studio) -> None:
    buttons = slice(7, 13)
    assert [b.visible for b in people._form(studio, "")[buttons]] == [True, False, False, False, False, False]
    studio.accounts.add("ann", "admin", PASSWORD, "me")
    assert [b.visible for b in people._form(studio, "")[buttons]] == [False, True, False, False, False, False]
    assert [b.visible for b in people._form(studio, "ann")[buttons]] == [False, False, True, True, True, True]


def test_a_handler_works_for_the_user_of_its_request() -> None:
    assert current_user() == ALONE
    event_of(User("bob", "annotator"))
    assert current_user() == User("bob", "annotator")
    event_of(None)
    with pytest.raises(NotAllowed, match="logged out"):
        current_user()


def plain(value: int) -> int:
    return value + 1


def steps(value: int) -> Iterator[int]:
    yield value
    yield value + 1


async def later(value: int) -> int:
    return value + 1


async def later_steps(value: int) -> AsyncIterator[int]:
    yield value
    yield value + 1


def results(handler: Any, value: int) -> Any:
    """What a handler of any kind gives, as a list."""
    given = handler(value)
    if hasattr(given, "__aiter__"):

        async def collect() -> list[int]:
            return [one async for one in given]

        return asyncio.run(collect())
    if inspect.iscoroutine(given):
        return [asyncio.run(given)]
    return list(given) if hasattr(given, "__iter__") else [given]


@pytest.mark.parametrize("handler", [plain, steps, later, later_steps])
def test_a_gate_refuses_handlers_of_every_kind(studio: Studio, handler: Any) -> None:
    gate = gated(handler, "reviewer", studio.accounts, loud=True)
    for user in (User("rev", "reviewer"), User("ann", "admin")):
        event_of(user)
        assert results(gate, 1)[-1] == 2
    for stranger in (User("bob", "annotator"), User("x", "root"), None):
        event_of(stranger)
        with pytest.raises(gr.Error):
            results(gate, 1)


def test_with_accounts_an_event_without_a_request_is_nobodys(studio: Studio) -> None:
    gate = gated(plain, "annotator", studio.accounts, loud=True)
    assert gate(1) == 2
    studio.accounts.add("ann", "admin", PASSWORD, "me")
    with pytest.raises(gr.Error):
        gate(1)


def test_a_handler_that_is_at_work_ends_when_the_role_is_taken_away(studio: Studio) -> None:
    closed: list[bool] = []

    def work() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    event_of(User("rev", "reviewer"))
    running = gated(work, "reviewer", studio.accounts, loud=True)()
    assert next(running) == 1
    event_of(User("rev", "annotator"))
    with pytest.raises(gr.Error):
        next(running)
    assert closed == [True]


def test_a_mark_stays_through_other_wrappers() -> None:
    from studio.ui.errors import told

    assert told(least("admin")(plain)).least_role == "admin"  # type: ignore[attr-defined]
    del plain.least_role  # type: ignore[attr-defined]


def test_opening_the_tab_leaves_what_is_being_typed(studio: Studio) -> None:
    form = people._form(studio, "")
    kept = people._with_typed(form)
    assert (
        len(kept) == len(form)
        and kept[3].constructor_args.get("value") is None
        and form[3].constructor_args["value"] == ""
    )
    assert kept[5] == kept[6] == gr.skip()
