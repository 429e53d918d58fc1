"""Monitor in the browser, over requests that were there before: figures, a low-rated one labeled, limits, rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from storage.database import connect
from storage.projects import create_project
from storage.records import Turn
from storage.serving_records import NewFeedback, NewRequest
from storage.traffic import add_traffic
from studio.settings import open_workspace
from tests.e2e.conftest import Served, open_tab

EVIL = "Where is it?<img src=x onerror=document.title='owned'>"


def fill(served: Served) -> None:
    """A project with two hundred requests, two of them low-rated; the app is not running meanwhile."""
    workspace = open_workspace(str(served.workspace))
    db, now = connect(workspace.database, workspace.backups), datetime.now(UTC)
    project = create_project(db, "Support", "instruction", "You help.")
    kept = {
        7: (Turn("user", EVIL), Turn("assistant", "Gone.")),
        8: (Turn("user", "Why late?"), Turn("assistant", "So.")),
    }
    rows = [
        NewRequest(
            *(f"req-{n}", now - timedelta(seconds=30 + n), project.id, "Support@production", "", "", "chat"),
            status=500 if n % 50 == 0 else 200,
            finish="stop",
            prompt_tokens=10,
            answer_tokens=40,
            queued_ms=1.0,
            first_ms=20.0,
            total_ms=100.0 + n,
            confidence=0.9,
            form_ok=None,
            refused=False,
            messages=kept.get(n),
        )
        for n in range(200)
    ]
    add_traffic(db, "s", 1, rows, [NewFeedback(f"req-{n}", now, -1, "", "") for n in kept])
    db.close()


@pytest.fixture
def served(served: Served) -> Served:
    """A studio with that project."""
    served.stop()
    fill(served)
    served.start()
    return served


@pytest.fixture
def monitored(page: Page) -> Page:
    """The Monitor tab of that project."""
    expect(page.get_by_label("Project", exact=True)).to_have_value("Support")
    open_tab(page, "Monitor")
    page.locator(".mon-card").first.wait_for()
    return page


def test_figures_and_a_low_rated_request_into_the_queue(monitored: Page) -> None:
    page = monitored
    cards = page.locator(".mon-card")
    expect(cards).to_have_count(8)
    expect(cards.nth(0)).to_contain_text("200")
    expect(cards.nth(4)).to_contain_text("4 of 200 requests")
    page.get_by_label("Last hour").check()
    expect(page.locator(".mon-ends").first).to_contain_text("1 hour ago")
    rows = page.locator("#monitor-list .mon-row")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Thumb down")
    button = page.get_by_role("button", name="Put into the labeling queue")
    expect(button).to_be_disabled()
    page.locator(".mon-row", has_text="onerror").get_by_role("checkbox").check()
    expect(page.locator(".mon-acts output")).to_have_text("1 chosen")
    button.click()
    expect(page.locator(".toast-body").last).to_contain_text("1 new example in the labeling queue.")
    expect(rows).to_have_count(1)
    open_tab(page, "Label")
    expect(page.locator("#tabs")).to_contain_text(EVIL)
    assert page.title() == "SFT Studio"


def test_limits_and_rules_are_kept_and_a_retraining_needs_a_run(monitored: Page) -> None:
    page = monitored
    page.get_by_role("button", name="Limits and webhook").click()
    page.get_by_label("Errors above (%)").fill("5")
    page.get_by_label("Webhook URL").fill("ftp://x")
    page.get_by_role("button", name="Save limits").click()
    expect(page.locator(".toast-body").last).to_contain_text("The webhook has to be a URL")
    page.get_by_label("Webhook URL").fill("")
    page.get_by_role("button", name="Save limits").click()
    expect(page.locator("#monitor-limits")).to_contain_text("Saved")
    page.get_by_label("Every … new accepted examples").fill("200")
    page.get_by_role("button", name="Save rules").click()
    expect(page.locator("#monitor-rules-panel")).to_contain_text("looked at every minute")
    page.get_by_role("button", name="Retrain now").click()
    page.get_by_role("button", name="Start retraining").click()
    expect(page.locator(".toast-body").last).to_contain_text("Train this project once by hand")
    page.get_by_role("button", name="Look for drift").click()
    expect(page.locator("#monitor-drift-found .notice")).to_contain_text("There is no snapshot")
    page.reload()
    open_tab(page, "Monitor")
    expect(page.get_by_label("Every … new accepted examples")).to_have_value("200")
    page.get_by_role("button", name="Limits and webhook").click()
    expect(page.get_by_label("Errors above (%)")).to_have_value("5")
