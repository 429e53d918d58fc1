"""Compare in the browser: several models, blind votes by key, what they become, hostile answers as text, batches."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from storage.database import connect
from storage.examples import count_examples
from studio.labeling.comparing import preference_project
from tests.e2e.compare_house import HOSTILE, House, compare_house
from tests.e2e.conftest import open_tab, outside

SECRETS = ("Run ", "Base", "run-0", "adapter", " tok", "tiny-base")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One served studio for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        with compare_house(tmp_path_factory.mktemp("compare"), runs=2, endpoint=True) as house:
            yield house


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    """Compare, opened; fails on script errors and on any request that leaves this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
    page.on("request", lambda asked: problems.append(asked.url) if outside(asked.url) else None)
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.goto(house.served.url)
    page.get_by_role("tab", name="Projects").wait_for()
    open_tab(page, "Compare")
    expect(page.locator("#compare-runs")).to_contain_text("Run 2 ")
    yield page
    context.close()
    assert problems == []


def panes(page: Page) -> str:
    """All markup of the panes of Ask."""
    return page.locator("#compare-asked").inner_html()


def ask(page: Page, prompt: str, blind: bool) -> None:
    """Ask all by key and wait until all have answered."""
    page.get_by_label("Max tokens").fill("12")
    page.get_by_label("Blind").set_checked(blind)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    expect(page.locator("#compare-asked .pane-acts").first).to_be_visible(timeout=60_000)


def sound(page: Page, where: str) -> None:
    """Axe finds nothing serious once nothing waits for an answer, which Gradio shows pale, or fades in any more."""
    still = """where => {
      const part = document.querySelector(where);
      return !part.closest('.pending') && !part.querySelector('.pending')
        && part.getAnimations({ subtree: true }).length === 0;
    }"""
    page.wait_for_function(still, arg=where)
    found = Axe().run(page, where, {"runOnly": ["wcag2a", "wcag2aa"]}).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_a_blind_vote_by_key_is_revealed_and_becomes_a_preference(page: Page, house: House) -> None:
    ask(page, "Which one is better?", blind=True)
    expect(page.locator("#compare-asked .votes")).to_be_focused()
    assert [secret for secret in SECRETS if secret in panes(page)] == []
    sound(page, "#compare-asked")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#compare-asked .voted")).to_contain_text("You preferred")
    expect(page.locator("#compare-asked .weights")).to_have_count(2)
    page.get_by_role("button", name="Fix the answer of Base").click()
    page.get_by_label("Better answer").fill("A far better answer.")
    page.get_by_role("button", name="Save as a labeled pair").click()
    expect(page.get_by_text("Saved: the pair")).to_be_visible()

    page.goto("about:blank")
    house.served.stop()
    db = connect(house.workspace.database, house.workspace.backups)
    votes = preference_project(db, house.project_id)
    made = count_examples(db, votes.id).total if votes else 0
    fixed = db.one("SELECT count(*) FROM annotations WHERE response = 'A far better answer.'")
    db.close()
    house.served.start()
    assert (made, fixed) == (1, (1,))


def test_a_vote_is_taken_back_by_key(page: Page) -> None:
    ask(page, "And now?", blind=True)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#compare-asked .voted")).to_contain_text("a tie between")
    page.keyboard.press("u")
    expect(page.locator("#compare-asked .voted")).to_contain_text("taken back")


def test_the_pairs_that_taught_an_answer_stand_below_it(page: Page) -> None:
    ask(page, "Where is order 3?", blind=False)
    expect(page.get_by_role("button", name="Why did")).to_have_count(1)
    page.get_by_role("button", name="Why did Run 2 say this?").click()
    expect(page.locator("#compare-why .why")).to_contain_text("Nearest by prompt and answer", timeout=120_000)
    sound(page, "#compare-why")
    ask(page, "Something else", blind=False)
    expect(page.locator("#compare-why .why")).to_have_count(0)


def test_hostile_answers_are_text_in_every_view(page: Page) -> None:
    page.get_by_label("Ask loud at").check()
    ask(page, "<b>Say it</b>", blind=False)
    loud = page.locator("#compare-asked .pane").last
    expect(loud.locator(".plain")).to_have_text(HOSTILE)
    page.get_by_label("Show answers as Markdown").check()
    expect(loud.locator(".markdown h4")).to_contain_text("<script>alert(1)</script>")
    page.get_by_role("button", name="Word diff from Base").click()
    expect(loud.locator(".worddiff ins").first).to_be_visible()
    assert page.locator("#compare-asked").locator("img, script, a").count() == 0
    page.get_by_label("Prompt", exact=True).fill("And then?")
    page.get_by_role("button", name="Continue the chat").click()
    expect(page.locator("#compare-asked .turns")).to_have_count(3)
    expect(loud.locator(".turns .assistant p")).to_have_text(HOSTILE)
    expect(page.locator("#compare-asked .weights")).to_have_count(3, timeout=60_000)
    sound(page, "#compare-asked")


def settled(part: Locator) -> str:
    """A part's text, once it has stayed the same for a second."""
    before, now = "", part.inner_text()
    while now != before:
        part.page.wait_for_timeout(1000)
        before, now = now, part.inner_text()
    return now


def test_a_batch_is_voted_on_by_keys_alone_and_ranked(page: Page, house: House) -> None:
    page.get_by_role("tab", name="Vote").click()
    page.get_by_text("Make answers to vote on").click()
    page.get_by_label("Rows of the test split").fill("3")
    page.get_by_role("button", name="Make the answers").click()
    expect(page.locator(".notice.good").locator("visible=true")).to_contain_text("ready to be voted on", timeout=90_000)
    file = {"name": "prompts.csv", "mimeType": "text/csv", "buffer": b"prompt\nWhere is my parcel?\n<img src=x>\n"}
    page.locator("#compare-file input[type=file]").set_input_files(file)
    expect(page.locator("#compare-file")).to_contain_text("prompts.csv")
    page.get_by_role("button", name="Make the answers").click()
    made = page.locator(".notice.good", has_text="2 of 2 prompts").locator("visible=true")
    expect(made).to_contain_text("ready to be voted on", timeout=90_000)
    head, votes = page.locator("#compare-head"), page.locator("#compare-voted .votes")
    expect(votes).to_be_visible()
    assert [secret for secret in SECRETS if secret in page.locator("#compare-voted").inner_html()] == []
    sound(page, "#compare-voted")
    left = int(settled(head).split()[0])
    for key, more in (("ArrowLeft", -1), ("u", 0), ("ArrowRight", -1), ("ArrowUp", -2)):
        page.keyboard.press(key)
        expect(head).to_contain_text(f"{left + more} comparison")
    page.get_by_role("tab", name="Standings").click()
    expect(page.locator(".standings")).to_contain_text("Run 2")
    sound(page, ".standings")


def test_nothing_is_wider_than_a_phone(page: Page, house: House) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for part in ("Ask", "Vote", "Standings"):
        page.get_by_role("tab", name=part, exact=True).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, part


@pytest.mark.parametrize("prompt", ["", "   "])
def test_an_empty_question_is_one_sentence(page: Page, prompt: str) -> None:
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator("#compare-asked .notice.bad")).to_contain_text("Write a prompt first")
