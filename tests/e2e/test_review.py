"""Reviewing in the browser: everything by key, nothing newer overwritten, hostile text is text, axe finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import APIResponse, Page, Route, expect

from storage.annotations import get_annotation
from storage.database import Database, connect
from storage.examples import get_example
from storage.records import Project
from studio.settings import Workspace
from tests.e2e.conftest import Served, open_tab
from tests.labeling.crew import add_examples, answer, project_of

expect.set_options(timeout=20_000)

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> is this safe?"


@dataclass
class Room:
    """The review tab of a project with answers, and its database between two starts of the app."""

    page: Page
    served: Served
    project: Project
    examples: list[str]

    def look(self, see: Callable[[Database], None]) -> None:
        """Look at the database, for which the app is stopped: the end of a test."""
        self.page.goto("about:blank")
        self.served.stop()
        workspace = Workspace(self.served.workspace)
        db = connect(workspace.database, workspace.backups)
        see(db)
        db.close()


def prepare(
    page: Page, served: Served, task: str, fill: Callable[[Database, Project, list[str]], None], **settings: object
) -> Room:
    """Fill a project past the app, and open it in Review."""
    page.goto("about:blank")  # a page that is still loading would miss its scripts
    served.stop()
    workspace = Workspace(served.workspace)
    db = connect(workspace.database, workspace.backups)
    project = project_of(db, task, **settings)
    examples = add_examples(db, project, 4)
    fill(db, project, examples)
    db.close()
    served.start()
    page.goto(served.url)
    open_tab(page, "Review")
    page.locator(".review-columns").wait_for(timeout=60_000)
    return Room(page, served, project, examples)


@pytest.fixture
def texts(page: Page, served: Served) -> Room:
    """Three text answers by me, one of them with a revision before it."""

    def fill(db: Database, project: Project, examples: list[str]) -> None:
        answer(db, project, examples[0], "me", "The parcel comes today.")
        answer(db, project, examples[0], "me", HOSTILE, seconds=41)
        answer(db, project, examples[1], "me", "Second answer.")
        answer(db, project, examples[2], "me", "Third answer.")

    return prepare(page, served, "instruction", fill)


def in_hand(room: Room, number: int) -> None:
    """Wait until an example is in hand."""
    expect(room.page.locator(".review-columns")).to_have_attribute("data-example", room.examples[number])


def test_accept_edit_send_back_and_undo_by_key(texts: Room) -> None:
    page = texts.page
    in_hand(texts, 0)
    expect(page.locator(".review-answer p")).to_have_text(HOSTILE)
    expect(page.locator(".review-answer .who")).to_contain_text("41 s")
    page.keyboard.press("a")
    in_hand(texts, 1)
    page.keyboard.press("e")
    field = page.get_by_label("Response").locator("visible=true")
    expect(field).to_be_focused()
    field.fill("are there keys: A E R N")  # letters typed in a text do nothing else
    page.keyboard.press("Control+Enter")
    in_hand(texts, 2)
    page.keyboard.press("r")
    page.get_by_label("What should be different (for me)").fill("Too short.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".empty").locator("visible=true")).to_contain_text("All reviewed")
    page.reload()
    open_tab(page, "Review")
    expect(page.locator(".empty").locator("visible=true")).to_contain_text("All reviewed")
    page.keyboard.press("Alt+z")  # durable: it was decided before the reload
    in_hand(texts, 2)
    assert page.title() == "SFT Studio"

    def see(db: Database) -> None:
        first, second, third = (get_example(db, one) for one in texts.examples[:3])
        assert (first.review, second.review, third.review) == ("accepted", "accepted", "pending")
        assert second.annotation_id and get_annotation(db, second.annotation_id).source == "review"

    texts.look(see)


def test_an_answer_that_changed_meanwhile_is_shown_with_what_differs(texts: Room) -> None:
    page = texts.page
    in_hand(texts, 0)
    page.keyboard.press("n")
    in_hand(texts, 1)
    at = f"{texts.served.url}/api/label"
    desk = page.request.get(f"{at}/desk?project={texts.project.id}&example={texts.examples[1]}").json()
    newer = {"example": texts.examples[1], "response": "Second thought.", "base": desk["card"]["revision"]}
    assert page.request.post(f"{at}/act", data={**newer, "action": "submit"}).ok
    page.keyboard.press("a")
    expect(page.get_by_role("alert").locator("visible=true")).to_contain_text("me changed the answer since you looked")
    expect(page.locator(".desk-conflict del")).to_have_text("answer.")
    expect(page.locator(".desk-conflict ins")).to_have_text("thought.")
    page.keyboard.press("a")
    in_hand(texts, 2)


def test_a_slow_look_at_the_queue_does_not_take_back_what_a_decision_shows(texts: Room) -> None:
    page = texts.page
    in_hand(texts, 0)
    slow: list[tuple[Route, APIResponse]] = []
    page.route("**/api/review/desk*", lambda route: slow.append((route, route.fetch())))
    page.get_by_role("button", name="To accept").click()  # asks for the queue, which still begins with this example
    while not slow:
        page.wait_for_timeout(50)
    page.keyboard.press("a")
    in_hand(texts, 1)
    slow[0][0].fulfill(response=slow[0][1])
    page.wait_for_timeout(500)
    in_hand(texts, 1)
    page.unroute("**/api/review/desk*")
    open_tab(page, "Team")
    open_tab(page, "Review")
    page.wait_for_timeout(1000)
    in_hand(texts, 1)


def test_adjudication_chooses_between_answers_side_by_side(page: Page, served: Served) -> None:
    def fill(db: Database, project: Project, examples: list[str]) -> None:
        for who, words in (("ann", "The parcel comes today."), ("bob", "The parcel comes tomorrow.")):
            answer(db, project, examples[0], who, words)
            answer(db, project, examples[1], who, "The same.")

    room = prepare(page, served, "instruction", fill, overlap=2, review=False)
    in_hand(room, 0)
    expect(page.locator(".review-answer")).to_have_count(2)
    expect(page.locator(".review-answer ins")).to_have_text("tomorrow.")
    page.keyboard.press("2")
    expect(page.locator(".review-answer.chosen")).to_contain_text("bob")
    page.keyboard.press("a")
    expect(page.locator(".empty").locator("visible=true")).to_contain_text("Nothing waits for a reviewer")

    def see(db: Database) -> None:
        chosen = get_example(db, room.examples[0]).annotation_id
        assert chosen and get_annotation(db, chosen).annotator == "bob"

    room.look(see)


def test_many_are_accepted_after_a_question_with_their_number(texts: Room) -> None:
    page = texts.page
    page.get_by_role("button", name="Accept many…").click()
    page.get_by_role("button", name="Accept all 3 by me").click()
    page.get_by_role("button", name="Accept 3 answers").click()
    expect(page.locator(".empty").locator("visible=true")).to_contain_text("All reviewed")
    page.get_by_role("button", name="Undo my last decision").click()
    expect(page.locator(".desk-say").locator("visible=true")).to_contain_text("3 examples wait again")


@pytest.mark.parametrize("key", ["", "e", "r"])
def test_axe_finds_nothing_serious(texts: Room, key: str) -> None:
    page = texts.page
    in_hand(texts, 0)
    if key:
        page.keyboard.press(key)
        page.locator(".review-work").wait_for()
    found = Axe().run(page, ".review", {"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_team_shows_figures_and_puts_labels_back(page: Page, served: Served) -> None:
    def fill(db: Database, project: Project, examples: list[str]) -> None:
        more = add_examples(db, project, 10, start=100)
        for number, one in enumerate(more):
            for who in ("ann", "bob"):
                answer(db, project, one, who, ("refund", "login")[number % 2])
        answer(db, project, examples[0], "ann", "refund", "flag")

    prepare(page, served, "classification", fill, overlap=2)
    open_tab(page, "Team")
    expect(page.locator(".team .headline")).to_contain_text("Krippendorff's alpha 1.00 (1.00 to 1.00) on 10 examples")
    expect(page.get_by_role("button", name="Embed the examples")).to_be_visible()
    expect(page.get_by_role("button", name="Find likely wrong labels")).to_be_disabled()
    found = Axe().run(page, ".team", {"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
