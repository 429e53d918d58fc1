"""Two people label one project at once, each in a browser of their own, and one browser or the app is killed."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, Page, expect

from storage.database import connect
from storage.projects import create_project
from storage.records import Settings
from storage.users import put_user
from studio.data.importing import import_file
from studio.settings import open_workspace
from tests.bench.crowd import Log, Plan, log_in, work
from tests.bench.crowd_check import check
from tests.e2e.conftest import CHROMIUM, FLAGS, Served, open_tab

PASSWORD = "correct horse battery staple"
PEOPLE = ("ada", "bob", "cleo", "dan", "eve", "finn")
LEASE_SECONDS = 6.0


@dataclass(frozen=True)
class House:
    """A served studio with accounts and one project."""

    app: Served
    project: str

    @property
    def database(self) -> Path:
        """Its file, to be read while the app is stopped."""
        return open_workspace(self.app.workspace).database


@pytest.fixture
def house(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    """A studio with accounts for PEOPLE and a project of short leases; the parameter is its number of examples."""
    workspace = open_workspace(tmp_path / "workspace")
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Shared", settings=Settings(lease_minutes=LEASE_SECONDS / 60))
    upload = tmp_path / "rows.csv"
    upload.write_text("prompt\n" + "".join(f"Question {n}?\n" for n in range(request.param)))
    import_file(db, project.id, upload)
    hashed = PasswordHasher().hash(PASSWORD)
    with db.write() as cursor:
        for name in PEOPLE:
            put_user(cursor, name, "annotator", hashed)
    db.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = Served(workspace.root, port)
    app.start()
    yield House(app, project.id)
    app.stop()


def enter(browser: Browser, house: House, name: str) -> Page:
    """Log in and open the Label tab."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(house.app.url)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    show_card(page)
    return page


def show_card(page: Page) -> None:
    """Open the Label tab and wait for a card, or for the words that there is none."""
    open_tab(page, "Label")
    page.locator(".desk .turn.user p, .desk .empty").first.wait_for()


def prompt(page: Page) -> str:
    """The card in hand, or ''."""
    shown = page.locator(".desk section[aria-label=Example] .turn.user p")
    return shown.inner_text() if shown.count() else ""


def answer(page: Page, text: str) -> str:
    """Submit an answer to the card in hand, and see it acknowledged; the card's prompt."""
    asked = prompt(page)
    page.get_by_label("Response").fill(text)
    page.get_by_label("Response").press("Control+Enter")
    expect(page.locator(".desk-history button").first).to_have_text(f"✓ {asked}")
    return asked


def until(done: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    """Wait for an outcome."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.2)


def launch_to_kill(browser: Browser, marker: str) -> tuple[Browser, int]:
    """A second Chromium, and the id of its process, found by a flag that only it has."""
    flag = f"--two-annotators={marker}"
    second = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, flag])
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if flag in words and not any(word.startswith("--type=") for word in words):
            return second, process.pid
    raise AssertionError("the second Chromium is not among the processes")


def kept(house: House) -> Mapping[str, list[tuple[str, str]]]:
    """By prompt, who answered what; read from the file of a stopped app."""
    db = connect(house.database, house.database.parent / "backups")
    try:
        found: dict[str, list[tuple[str, str]]] = {}
        sql = (
            "SELECT json_extract_string(e.prompt, '$[0][1]'), a.annotator, a.response FROM annotations a "
            "JOIN examples e ON e.id = a.example_id WHERE a.action = 'submit' ORDER BY a.number"
        )
        for asked, name, response in db.query(sql):
            found.setdefault(asked, []).append((name, response))
        return found
    finally:
        db.close()


@pytest.mark.parametrize("house", [6], indirect=True)
def test_a_killed_browser_loses_nothing_and_its_lease_comes_free(browser: Browser, house: House) -> None:
    doomed, process = launch_to_kill(browser, house.project)
    ada, bob = enter(doomed, house, "ada"), enter(browser, house, "bob")
    assert prompt(ada) != prompt(bob)
    first = answer(ada, "ada's answer")
    held = prompt(ada)
    with ada.expect_response("**/api/label/draft") as saved:
        ada.get_by_label("Response").press_sequentially("half an answer")
    assert saved.value.ok
    os.kill(process, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(process) or psutil.Process(process).status() == "zombie", "the browser ends")
    done = []

    def bob_goes_on() -> bool:
        if prompt(bob):
            done.append(answer(bob, "bob's answer"))
        else:
            bob.reload()
            show_card(bob)
        return held in done

    until(bob_goes_on, "bob gets what ada held")
    assert first not in done and len(done) == len(set(done))
    again = enter(browser, house, "ada")
    again.locator(".desk-history button", has_text=first).wait_for()
    house.app.stop()
    answers = kept(house)
    assert answers[first] == [("ada", "ada's answer")]
    assert all(answers[asked] == [("bob", "bob's answer")] for asked in done)
    db = connect(house.database, house.database.parent / "backups")
    drafts = db.query("SELECT annotator, response FROM drafts WHERE annotator = 'ada'")
    db.close()
    assert drafts and "half an answer".startswith(drafts[0][1]) and drafts[0][1] != ""


@pytest.mark.parametrize("house", [8], indirect=True)
def test_two_browsers_go_on_after_the_app_was_killed(browser: Browser, house: House) -> None:
    ada, bob = enter(browser, house, "ada"), enter(browser, house, "bob")
    told = {answer(ada, "before"): "ada", answer(bob, "before"): "bob"}
    house.app.stop(hard=True)
    house.app.start()
    for page, name in ((ada, "ada"), (bob, "bob")):
        told[answer(page, "after")] = name
    house.app.stop()
    assert len(told) == 4
    assert {asked: [name for name, _ in people] for asked, people in kept(house).items()} == {
        asked: [name] for asked, name in told.items()
    }


@pytest.mark.parametrize("house", [2000], indirect=True)
def test_an_app_killed_amid_submits_has_every_acknowledged_one(house: House) -> None:
    logs: list[Log] = []
    cookies: dict[str, str] = {}

    def crowd() -> None:  # in a thread: where the tests' browser lives, this one has a running event loop
        cookies.update(log_in(house.app.url, PEOPLE, PASSWORD))
        logs.append(work(house.app.url, house.project, cookies, Plan(2000, 0.01, undos=0.02, seconds=60)))

    thread = threading.Thread(target=crowd)
    thread.start()
    until(lambda: bool(cookies), "all are logged in")
    time.sleep(2)  # in the middle of their work, whatever they are at
    house.app.stop(hard=True)
    thread.join(timeout=60)
    found = check(logs[0], house.database, house.project, overlap=1)
    assert found.acknowledged > 20 and found.refused > 0
    assert (found.lost, found.repeated, found.double_leases, found.crowded) == (0, 0, 0, 0)
    assert found.unknown <= found.refused  # written, but the answer did not get through
    house.app.start()
    page = work_on(house, cookies)
    assert page.accepted == 5


def work_on(house: House, cookies: dict[str, str]) -> Log:
    """A few submits more, with the sessions from before."""
    logs: list[Log] = []
    one = dict(list(cookies.items())[:1])
    thread = threading.Thread(target=lambda: logs.append(work(house.app.url, house.project, one, Plan(5, 0.0))))
    thread.start()
    thread.join(timeout=60)
    return logs[0]
