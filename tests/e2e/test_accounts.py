"""Accounts in a real browser: the first admin from the page, log-in and log-out, what each role sees, the audit log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from storage.database import connect
from studio.people.accounts import Accounts
from tests.e2e.conftest import Served, create_project, open_tab, outside

PASSWORD = "correct horse battery"
PEOPLE = {"ann": "admin", "rev": "reviewer", "bob": "annotator"}
Open = Callable[..., Page]


@pytest.fixture
def manned(served: Served) -> Served:
    """A studio with an admin ann, a reviewer rev and an annotator bob."""
    served.stop()
    db = connect(served.workspace / "studio.duckdb", served.workspace / "backups")
    accounts = Accounts(db)
    for name, role in PEOPLE.items():
        accounts.add(name, role, PASSWORD, "me")
    db.close()
    served.start()
    return served


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Open a page in a browser context of its own; script errors and requests that leave this machine fail the test."""
    problems: list[str] = []
    contexts = []

    def open_page(url: str, **options: object) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
        page.on("request", lambda request: problems.append(request.url) if outside(request.url) else None)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Fill the log-in form and send it."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()


def tabs(page: Page) -> list[str]:
    """The tabs that are shown."""
    page.locator("details.user").wait_for()
    return page.get_by_role("tab").all_inner_texts()


@pytest.mark.parametrize("late_seconds", [0, 1.5])
def test_the_first_admin_is_made_from_the_page_which_then_asks_for_a_log_in(page: Page, late_seconds: float) -> None:
    create_project(page, "Kept")
    page.route("**/gradio_api/queue/data*", lambda route: (time.sleep(late_seconds), route.continue_()))
    open_tab(page, "People")
    expect(page.get_by_role("heading", name="Accounts are off")).to_be_visible()
    page.get_by_label("User name").fill("Ann")
    page.get_by_label("Password", exact=True).fill("short")
    page.get_by_label("Password again").fill("short")
    page.get_by_role("button", name="Turn accounts on").click()
    expect(page.get_by_test_id("toast-body").filter(has_text="at least 10 characters")).to_be_visible()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Turn accounts on").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(page, "ann")
    open_tab(page, "Projects")
    expect(page.locator(".item", has_text="Kept")).to_be_visible()


def test_a_log_in_leads_back_to_where_one_was_going_and_out_again(manned: Served, visit: Open) -> None:
    page = visit(f"{manned.url}/?__theme=dark")
    expect(page).to_have_url(re.compile("/login"))
    log_in(page, "ann", "wrong password")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    log_in(page, "ann")
    expect(page).to_have_url(re.compile(re.escape(f"{manned.url}/?__theme=dark")))
    page.locator("details.user summary").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_the_log_in_works_without_scripts(manned: Served, visit: Open) -> None:
    page = visit(manned.url, java_script_enabled=False)
    log_in(page, "bob")
    expect(page).to_have_url(f"{manned.url}/")


def test_each_role_sees_its_tabs_only_and_nothing_goes_wrong(manned: Served, visit: Open) -> None:
    seen = {}
    for name in PEOPLE:
        page = visit(manned.url)
        failed: list[str] = []
        page.on("response", lambda answer, to=failed: to.append(answer.url) if answer.status >= 400 else None)
        log_in(page, name)
        seen[name] = tabs(page)
        for tab in seen[name]:
            page.get_by_role("tab", name=tab, exact=True).click()
        expect(page.locator("details.user")).to_contain_text(name)
        assert failed == [] and page.locator("[data-testid=toast-body]").count() == 0
    assert seen["bob"] == ["Home", "Label", "Compare"]
    assert seen["rev"] == ["Home", "Label", "Review", "Suggestions", "Team", "Data", "Compare"]
    assert {"Projects", "Train", "People"} <= set(seen["ann"])


def test_a_reviewer_gets_no_import(manned: Served, visit: Open) -> None:
    page = visit(manned.url)
    log_in(page, "rev")
    page.get_by_role("tab", name="Data", exact=True).click()
    expect(page.get_by_role("tab", name="Data", exact=True)).to_have_attribute("aria-selected", "true")
    assert page.locator("input[type=file]").count() == 0


def test_people_are_added_changed_and_removed_and_the_log_has_it(manned: Served, visit: Open) -> None:
    page = visit(manned.url)
    log_in(page, "ann")
    open_tab(page, "People")
    page.get_by_label("User name").fill("zoe")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Add user", exact=True).click()
    card = page.locator("#people-columns .item", has_text="zoe")
    expect(card).to_contain_text("annotator")
    zoes = visit(manned.url)
    log_in(zoes, "zoe")
    assert tabs(zoes) == ["Home", "Label", "Compare"]
    card.click()
    page.get_by_label("Role", exact=True).click()
    page.get_by_role("option", name="reviewer").click()
    page.get_by_role("button", name="Change role").click()
    expect(card).to_contain_text("reviewer")
    zoes.reload()
    assert "Review" in tabs(zoes)
    page.get_by_role("button", name="Remove …").click()
    page.get_by_role("button", name="Remove this user").click()
    expect(card).to_have_count(0)
    zoes.reload()
    expect(zoes.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("Search the log").fill("user")
    rows = page.locator(".audit tbody tr")
    expect(rows.first).to_contain_text("user remove")
    expect(rows.first).to_contain_text("zoe")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export log").click()
        page.locator("a[download]").first.click()
    assert "user remove" in Path(download.value.path()).read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_log_in_fits_a_phone(manned: Served, visit: Open, scheme: str) -> None:
    page = visit(manned.url, color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
