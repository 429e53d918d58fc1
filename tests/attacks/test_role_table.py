"""Every event that somebody less than an admin may send, by name: a new one fails here until it is written down.

tests/web/test_roles.py calls each route and each event as each role; this is the list of what was decided.
"""

from __future__ import annotations

from collections import Counter

import pytest

from studio.ui.roles import roles_of
from tests.web.conftest import Town
from tests.web.test_roles import page_of

DECIDED: dict[str, dict[str, int]] = {
    "annotator": {
        "app.build_ui.<lambda>": 3,  # user and device, the menu of projects, the chosen one kept
        "compare_vote.wire_standings.on_show": 1,
        "compare_vote.wire_votes.on_act": 1,  # a vote in one's own name
        "compare_vote.wire_votes.on_leave": 1,
        "compare_vote.wire_votes.on_save": 1,  # a correction in one's own name
        "compare_vote.wire_votes.on_show": 2,
        "home.build.on_show": 1,
        "label.build.on_show": 1,
    },
    "reviewer": {
        "find._on_clear": 1,
        "find._on_open": 1,
        "find._on_turn": 1,
        "find._wire_rows.on_act": 1,  # opens an example in Label or Review
        "find._wire_rows.on_similar": 1,
        "find._wire_rows.on_story": 1,
        "find.wire.<lambda>": 2,
        "find.wire.on_first": 2,
        "find.wire.on_project": 1,
        "find.wire.on_show": 4,
        "review.build.on_show": 1,
        "suggestions._wire.<lambda>": 1,
        "suggestions._wire.on_cancel": 1,
        "suggestions._wire.on_compute": 1,  # scores for the order of labeling
        "suggestions._wire.on_show": 1,
        "team._wire_figures.on_count": 1,
        "team._wire_figures.on_show": 1,
        "team._wire_quality.<lambda>": 1,
        "team._wire_quality.on_again": 1,  # an answer sent back to be given again
        "team._wire_quality.on_embed": 1,
        "team._wire_quality.on_find": 1,
        "team._wire_quality.on_show": 1,
    },
}
"""How many events of a handler each role may send besides those of the roles below it."""


def named(handler: object) -> str:
    """A handler's name as the table has it."""
    where = f"{handler.__module__}.{handler.__qualname__}"  # type: ignore[attr-defined]
    return where.removeprefix("studio.ui.").replace(".<locals>", "")


def test_who_may_send_what_is_written_down(town: Town) -> None:
    page = page_of(town)
    found = {role: Counter[str]() for role in DECIDED}
    for number, role in roles_of(page).items():
        if page.fns[number].fn is not None and role != "admin":
            found[role][named(page.fns[number].fn)] += 1
    assert {role: dict(events) for role, events in found.items()} == DECIDED


@pytest.mark.parametrize("who", ["bob", "rev", "ann"])
def test_the_description_of_the_api_offers_nothing(town: Town, who: str) -> None:
    told = town.ask(who, "GET", "/gradio_api/info").json()
    assert told["named_endpoints"] == told["unnamed_endpoints"] == {}


def test_every_event_that_a_page_is_told_of_is_one_of_the_table_or_an_admins(town: Town) -> None:
    page = page_of(town)
    asked = roles_of(page)
    for who, reach in (("bob", {"annotator"}), ("rev", {"annotator", "reviewer"})):
        told = town.ask(who, "GET", "/config").json()["dependencies"]
        assert told and {asked[event["id"]] for event in told} <= reach
        assert [event for event in told if event["api_visibility"] == "public"] == []
