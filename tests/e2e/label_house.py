"""A studio for the tests of the labeling form: one project a task, filled before the app starts, and one served app.

Each test takes a project of its own, so that all of a module share one app.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from storage.annotations import Rules, annotate
from storage.database import Database, connect
from storage.examples import next_examples
from storage.projects import create_project, update_settings
from storage.records import Label, Project, Settings
from storage.reviews import Decision, decide, read_stamp
from storage.suggestions import NewSuggestion, add_suggestions
from studio.data.importing import import_file
from studio.settings import USER, Workspace
from tests.e2e.conftest import Served, open_tab, outside

COLOURS = ("#1f8f87", "#b3261e", "#8a5a00", "#3b5bdb", "#7b2d8b", "#2b8a3e", "#c2255c", "#0b7285", "#5c940d", "#495057")
INTENTS = tuple(
    Label(f"{what}_{how}", COLOURS[index % 10])
    for index, (what, how) in enumerate(
        (what, how)
        for what in ("card", "cash", "transfer", "top_up", "exchange", "account", "refund")
        for how in (
            "arrival",
            "fee",
            "limit",
            "declined",
            "pending",
            "lost",
            "change",
            "blocked",
            "twice",
            "rate",
            "help",
        )
    )
)
"""77 labels."""

Row = dict[str, object]
PLAIN = Settings()


def labels(*names: str) -> tuple[Label, ...]:
    """A small label set."""
    return tuple(Label(name, COLOURS[index]) for index, name in enumerate(names))


def prompts(*texts: str) -> list[Row]:
    """Rows with nothing but a prompt."""
    return [{"prompt": text} for text in texts]


@dataclass(frozen=True)
class Plan:
    """A project to make: its task, settings and rows; `suggest` gives the draft of a row, or None; with
    `returned` the first example was answered and sent back with this comment."""

    task: str
    rows: Sequence[Row]
    settings: Settings = PLAIN
    guidelines: str = ""
    suggest: Callable[[int], str | None] | None = None
    returned: str = ""


def fill(db: Database, folder: Path, name: str, plan: Plan) -> Project:
    """Make one project with its rows and suggestions."""
    project = create_project(db, name, plan.task, "", plan.guidelines, plan.settings)
    if plan.rows:
        file = folder / "rows.jsonl"
        file.write_text("\n".join(json.dumps(row) for row in plan.rows), encoding="utf-8")
        import_file(db, project.id, file)
    if plan.suggest:
        update_settings(db, project.id, replace(plan.settings, suggest="starter"))
        offers = [
            (example.id, plan.suggest(index)) for index, example in enumerate(next_examples(db, project.id, 1000))
        ]
        add_suggestions(db, project.id, [NewSuggestion(one, "starter", text, "", 0.4) for one, text in offers if text])
    if plan.returned:
        example = next_examples(db, project.id, 1)[0]
        act = annotate(db, example.id, USER, "submit", "Too short.", rules=Rules(1, True))
        stamp = read_stamp(db.cursor(), example.id)
        decide(db, "Rita", Decision(example.id, act.id, "return", stamp, comment=plan.returned))
    return project


@dataclass(frozen=True)
class House:
    """A served studio and the ids of its projects by name."""

    served: Served
    projects: dict[str, str]

    def ask(self, path: str, **body: object) -> Any:
        """Ask the app's own route under /api/label; with a body it is a POST."""
        url = f"{self.served.url}/api/label/{path}"
        answer = httpx.post(url, json=body, trust_env=False) if body else httpx.get(url, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def desk(self, name: str, example: str = "") -> Any:
        """A project's desk as the form asks for it."""
        return self.ask(f"desk?project={self.projects[name]}" + (f"&example={example}" if example else ""))

    def answers(self, name: str) -> list[tuple[str, str, str]]:
        """What is saved, oldest first: (action, response, value) of one's own acts that stand."""
        found = []
        for past in reversed(self.desk(name)["history"]):
            answer = self.desk(name, past["example"])["card"]["answer"] or {"value": ""}
            found.append((past["action"], past["response"], answer["value"]))
        return found


def make_house(folder: Path, plans: dict[str, Plan]) -> House:
    """Fill a workspace and serve it."""
    workspace = Workspace(folder / "workspace")
    db = connect(workspace.database, workspace.backups)
    projects = {name: fill(db, folder, name, plan).id for name, plan in plans.items()}
    db.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = Served(folder / "workspace", port)
    served.start()
    return House(served, projects)


def open_page(browser: Browser, house: House, **options: Any) -> tuple[Page, list[str]]:
    """A new page on the studio, and the list that takes its script errors and requests that leave this machine."""
    theme = options.pop("theme", "light")
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
    page.on("request", lambda asked: problems.append(f"left: {asked.url}") if outside(asked.url) else None)
    page.goto(f"{house.served.url}/?__theme={theme}")
    page.locator("#tabs [role=tab]").first.wait_for(state="attached")
    return page, problems


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    """A fresh page (nothing remembered) at 1280 × 900."""
    page, problems = open_page(browser, house)
    yield page
    page.context.close()
    assert problems == []


def label(page: Page, project: str) -> None:
    """Choose a project and open its Label tab, with its form, list or empty state on the screen."""
    show_tab(page, "Projects")
    card = page.locator(".list .item").filter(has=page.get_by_text(project, exact=True))
    chosen = card.get_attribute("data-id")
    card.click()
    page.locator(f".item.current[data-id='{chosen}']").wait_for()
    show_tab(page, "Label")
    desk = page.locator(f".desk[data-project='{chosen}']")
    desk.locator(".desk-focus, .empty, .desk-bulk").first.wait_for()


def show_tab(page: Page, name: str) -> None:
    """Open a tab."""
    open_tab(page, name)


def prompt(page: Page) -> Locator:
    """The user's turn of the card in hand."""
    return page.locator(".desk .turn.user p")


def says(page: Page, words: str) -> None:
    """Wait for the form's line to say something."""
    expect(page.locator(".desk-say")).to_contain_text(words)


def draft_saved(page: Page) -> None:
    """Wait until the server has what was typed."""
    expect(page.locator(".desk")).to_have_attribute("data-draft", "saved")
