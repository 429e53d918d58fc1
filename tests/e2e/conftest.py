"""A served studio and a real Chromium. Without Chromium these tests are skipped and say so."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from studio.jobs.processes import ask_to_stop

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]


@dataclass
class Served:
    """The app as a process of its own, on a workspace of its own."""

    workspace: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait for the first page."""
        out = (self.workspace.parent / "app.log").open("ab")
        argv = [sys.executable, "app.py", "--workspace", str(self.workspace), "--port", str(self.port)]
        self.process = subprocess.Popen(
            argv, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(self.url + "/login", trust_env=False, follow_redirects=True).status_code == 200:
                    return
            except httpx.HTTPError:
                assert self.process.poll() is None, (self.workspace.parent / "app.log").read_text()
                time.sleep(0.1)
        raise AssertionError("the app did not serve its page in two minutes")

    def stop(self, hard: bool = False) -> None:
        """End it: SIGTERM, or SIGKILL."""
        if self.process:
            self.process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            self.process.wait(timeout=30)
            self.process = None


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A fresh studio."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = Served(tmp_path / "workspace", port)
    app.start()
    yield app
    app.stop()
    for run_dir in (app.workspace / "runs").glob("run-*"):
        ask_to_stop(run_dir, hard=True)
        ask_to_stop(app.workspace / "evaluations" / run_dir.name, hard=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium. Not for the whole session: while it lives, Playwright's event loop is this thread's running
    one, and `asyncio.run` fails in every test that follows."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the browser tests are skipped (apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The studio's page at 1280 × 900; fails on script errors and on any request that leaves this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
    page.on(
        "request",
        lambda request: problems.append(f"left this machine: {request.url}") if outside(request.url) else None,
    )
    page.goto(served.url)
    page.get_by_role("tab", name="Projects").wait_for()
    yield page
    context.close()
    assert problems == []


def outside(url: str) -> bool:
    """Whether a URL leaves this machine."""
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))


def open_tab(page: Page, name: str) -> None:
    """Open a tab by its visible name, from the drawer where the page is narrow."""
    page.locator("#tabs [role=tab]").first.wait_for(state="attached")
    tab = page.get_by_role("tab", name=name, exact=True)
    if not tab.is_visible() and (menu := page.get_by_role("button", name="Menu")).is_visible():
        menu.click()
    tab.click()


def create_project(page: Page, name: str, system_prompt: str = "", guidelines: str = "") -> None:
    """Make a project and wait until it is in hand."""
    open_tab(page, "Projects")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("System prompt").fill(system_prompt)
    page.get_by_label("Guidelines (Markdown)").fill(guidelines)
    page.get_by_role("button", name="Create project").click()
    page.locator(".item.current", has_text=name).wait_for()


def import_file(page: Page, path: Path) -> str:
    """Import a file by its guessed columns; the account that the screen gives."""
    open_tab(page, "Data")
    page.locator("#data-file input[type=file]").set_input_files(path)
    page.get_by_role("heading", name="Preview").wait_for()
    page.get_by_role("button", name="Import", exact=True).click()
    account = page.locator(".notice", has_text="Imported")
    account.wait_for()
    return account.inner_text()


def freeze(page: Page) -> None:
    """Freeze a snapshot and wait for it in the list."""
    open_tab(page, "Datasets")
    page.get_by_role("button", name="Freeze snapshot").click()
    page.locator("#datasets-columns .item.current").wait_for()


def start_training(page: Page, base_model: str = "", **settings: float) -> None:
    """Start a run with some settings, by their labels."""
    open_tab(page, "Train")
    page.locator("#train-panel .facts").wait_for()
    if base_model:
        page.get_by_label("Base model").fill(base_model)
        page.get_by_label("Base model").press("Enter")
    if settings:
        page.locator("#train-panel .label-wrap", has_text="Settings").click()
    for label, value in settings.items():
        page.get_by_label(label).fill(str(value))
        page.get_by_label(label).press("Tab")
    page.get_by_role("button", name="Start training").click()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser test gets a second try: on two busy cores a step can outlast its time-out. One that fails twice has
    failed, and pytest counts the others as rerun.
    """
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.flaky(reruns=1))
