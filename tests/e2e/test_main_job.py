"""The main job in a real browser on a real language model: pairs in, one click, base and tuned side by side."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from studio.data.sample import SAMPLE_FILE
from tests.e2e.conftest import Served, create_project, freeze, import_file, open_tab, start_training


def test_the_whole_job(page: Page, served: Served, tmp_path: Path) -> None:
    create_project(page, "Kettles", "You answer customers of Tideline kettles.", "Open with **Ahoy!**")

    rows = SAMPLE_FILE.read_text(encoding="utf-8").splitlines()
    upload = tmp_path / "kettles.jsonl"
    upload.write_text("\n".join(rows[:60] + rows[-4:] + [rows[0], "{broken"]), encoding="utf-8")
    account = import_file(page, upload)
    assert "Imported 64 rows: 60 labeled, 4 to label" in account
    assert "1 exact duplicate skipped, 1 row rejected" in account

    label_by_keyboard(page, served)

    freeze(page)
    expect(page.locator("#datasets-columns .item.current")).to_contain_text("train")

    start_training(page, **{"Max steps": 24, "Batch size": 4, "Learning rate": 0.001})
    expect(page.locator("#train-columns h2 .chip")).to_have_text("done", timeout=480_000)
    expect(page.locator("#train-columns .chart svg")).to_be_visible()
    expect(page.locator("#train-columns .facts").last).to_contain_text("Held-out loss")
    expect(page.locator("#train-columns .sample").first).to_be_visible()

    base, tuned = compare(page, "My kettle shows E3. What now?")
    assert "Ahoy" in tuned["answer"] and "Ahoy" not in base["answer"]
    assert "adapter run-" in tuned["weights"] and "adapter" not in base["weights"]


def label_by_keyboard(page: Page, served: Served) -> None:
    """Two answers submitted, one of them taken back and sent again, one example skipped, one flagged."""
    open_tab(page, "Label")
    field = page.get_by_label("Response")
    says = page.locator(".desk-say")
    expect(page.locator(".desk-progress")).to_contain_text("4 left")
    expect(page.locator("#guidelines strong", has_text="Ahoy!")).to_be_visible()
    field.fill("Ahoy! First. Fair winds, the Tideline crew.")
    field.press("Control+Enter")
    expect(says).to_have_text("Saved.")
    expect(page.locator(".desk-progress")).to_contain_text("3 left")
    expect(field).to_be_focused()
    field.press("Alt+z")
    expect(field).to_have_value("Ahoy! First. Fair winds, the Tideline crew.")
    field.press("Control+Enter")
    expect(page.locator(".desk-progress")).to_contain_text("3 left")
    field.press("Alt+s")
    expect(says).to_have_text("Skipped.")
    field.press("Alt+f")
    expect(says).to_have_text("Flagged.")
    field.fill("Ahoy! Last. Fair winds, the Tideline crew.")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".desk")).to_contain_text("All done here")
    desk = httpx.get(f"{served.url}/api/label/desk", params={"project": chosen_project(page)}, trust_env=False).json()
    assert desk["counts"] == {"todo": 0, "labeled": 62, "skipped": 1, "flagged": 1, "dropped": 0, "mine": 0}


def chosen_project(page: Page) -> str:
    """The id of the project that the form labels."""
    return page.locator(".desk").get_attribute("data-project") or ""


def compare(page: Page, prompt: str) -> tuple[dict[str, str], ...]:
    """Ask both models; text and weights of both panes once they are whole."""
    open_tab(page, "Compare")
    expect(page.locator("#compare-runs")).to_contain_text("Run 1 ", timeout=20_000)
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_label("Max tokens").fill("48")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".pane .weights")).to_have_count(2, timeout=180_000)
    panes = page.locator(".pane")
    return tuple(
        {part: panes.nth(side).locator(f".{part}").inner_text() for part in ("answer", "weights")} for side in range(2)
    )
