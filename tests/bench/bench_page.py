"""How heavy is the studio's page, how still does it stand while data arrives, and how fast does each tab open?

    python tests/bench/bench_page.py [--examples 1000000] [--runs 200] [--rounds 5] [--save]

Weight: bytes transferred and requests of the first page with an empty cache, on a project of so many examples and runs,
against a Gradio page with one textbox, in the same Chromium. Layout shift: each tab opened by its address, so that no
click excuses a shift; the figure is the browser's cumulative layout shift (the largest session window). Opening: from
the click on a tab to the last change inside its panel before a second of quiet, the first time on a page
("first": Gradio builds the tab then) and the second ("again"), tabs in turns, a fresh page each round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from storage.database import Database, connect  # noqa: E402
from storage.projects import create_project  # noqa: E402
from storage.runs import NewEvent, create_run, take_up_events  # noqa: E402
from studio.data.snapshots import freeze  # noqa: E402
from studio.settings import Workspace, open_workspace  # noqa: E402
from tests.bench import saved, served  # noqa: E402
from tests.bench.bench_start import BARE, cpu_name  # noqa: E402
from tests.e2e.conftest import CHROMIUM, FLAGS  # noqa: E402

OPEN_LIMIT_MS, SHIFT_LIMIT = 500, 0.05
_STEPS = 20
_PATIENCE_MS = 120_000

_SHIFTS = """
(() => {
  const seen = window.shifts = { worst: 0 };
  let sum = 0, first = 0, last = -Infinity;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      if (entry.startTime - last > 1000 || entry.startTime - first > 5000) { sum = 0; first = entry.startTime; }
      last = entry.startTime;
      sum += entry.value;
      seen.worst = Math.max(seen.worst, sum);
    }
  }).observe({ type: 'layout-shift', buffered: true });
})()
"""
_QUIET = """
(name, quiet, limit) => new Promise((done) => {
  const tab = () => document.querySelector(`#tabs > .tab-wrapper [role=tab][data-tab-id="${name}"]`);
  const chosen = () => tab()?.getAttribute('aria-selected') === 'true';
  const panels = () => [...document.querySelectorAll('#tabs > .tabitem')];
  const panel = () => chosen() && panels().find((one) => one.checkVisibility());
  const began = performance.now();
  let last = began;
  const watcher = new MutationObserver((changes) => {
    const open = panel();
    if (open && changes.some((change) => open.contains(change.target))) last = performance.now();
  });
  watcher.observe(document.documentElement, { subtree: true, childList: true, characterData: true });
  if (quiet > 0) tab().click();
  const look = () => {
    const now = performance.now();
    if (!panel()) last = now;
    if (now - last < Math.abs(quiet) && now - began < limit) { setTimeout(look, 4); return; }
    watcher.disconnect();
    done(last - began);
  };
  setTimeout(look, 4);
})
"""

_FILL = (
    """
    INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, annotation_id, answers,
        created_at)
    SELECT md5('e' || i), $project, '[["user", "Question number ' || i || ': where is my parcel?"]]', '', md5('e' || i),
        'bench', CASE WHEN i % 2 = 0 THEN 'labeled' ELSE 'todo' END, CASE WHEN i % 2 = 0 THEN md5('a' || i) END,
        1 - i % 2, TIMESTAMP '2026-01-01' + to_seconds(i * 20) FROM range($count) r(i) ORDER BY i
    """,
    """
    INSERT INTO annotations (id, example_id, project_id, annotator, action, response, pair_key, source, seconds,
        created_at)
    SELECT md5('a' || i), md5('e' || i), $project, 'person ' || (i % 40), 'submit', 'It is on its way, number ' || i,
        md5('p' || i), 'label', 12, TIMESTAMP '2026-01-01' + to_seconds(i * 20)
    FROM range($count) r(i) WHERE i % 2 = 0 ORDER BY i
    """,
)


@dataclass(frozen=True)
class Weight:
    """A first page with an empty cache: bytes over the wire and requests."""

    transferred: int
    requests: int


@dataclass
class Opened:
    """One tab: its layout shift a round, and milliseconds to open it the first time on a page and the second."""

    shifts: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What the bench measured; tabs by name."""

    bare: Weight
    studio: Weight
    tabs: dict[str, Opened]


def main(arguments: Sequence[str] | None = None) -> Found:
    """Run the bench and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tabs", default="", help="only these, by comma (default: all)")
    parser.add_argument("--save", action="store_true", help="write results/page-cpu.md")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workspace, project = filled(Path(folder), options.examples, options.runs)
        ours = stack.enter_context(served.studio(workspace.root))
        plain = stack.enter_context(bare(Path(folder)))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        chromium = browser.version
        found = measure(browser, plain.url, f"{ours.url}/?project={project}", options.rounds, options.tabs.split(","))
        browser.close()
    versions = f"gradio {version('gradio')}, duckdb {version('duckdb')}, Chromium {chromium}"
    machine = f"Python {platform.python_version()}, {versions}; {cpu_name()}, {os.cpu_count()} threads"
    what = f"{options.examples:,} examples, {options.runs:,} runs, {options.rounds} rounds"
    lines = [machine, f"{what}; load {os.getloadavg()[0]:.1f}", *told(found)]
    print("\n".join(lines))
    if options.save:
        note = f"--examples {options.examples} --runs {options.runs} --rounds {options.rounds}"
        saved.save("page-cpu", "bench_page", note, lines, os.cpu_count() or 1)
    return found


def filled(folder: Path, examples: int, runs: int) -> tuple[Workspace, str]:
    """A workspace with one project: half of its examples labeled, a snapshot of those, and runs of it with curves."""
    workspace = open_workspace(folder / "workspace")
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Bench").id
    with db.write() as cursor:
        for statement in _FILL:
            cursor.execute(statement, {"project": project, "count": examples})
    snapshot = freeze(db, workspace, project).snapshot
    for number in range(runs):
        add_run(db, f"run-{number:08x}", project, snapshot.id)
    db.close()
    return workspace, project


def add_run(db: Database, run: str, project: str, snapshot: str) -> None:
    """A finished run with the events of a short curve."""
    create_run(db, run, project, snapshot, "starter", json.dumps({"method": "lora"}), _STEPS)
    now = datetime.now(UTC)
    events = [NewEvent(at, now, "step", {"step": at, "loss": 3.0 / (1 + at)}) for at in range(1, _STEPS + 1)]
    ended = {"state": "done", "step": _STEPS, "adapter_hash": "a" * 64}
    take_up_events(db, run, events, 0, ended)


@contextmanager
def bare(folder: Path) -> Iterator[served.Server]:
    """A Gradio page with one textbox, in a process of its own."""
    script, port = folder / "bare.py", served.free_port()
    script.write_text(BARE, encoding="utf-8")
    environment = {"GRADIO_ANALYTICS_ENABLED": "False"}
    command = [sys.executable, str(script), str(port)]
    with served.serving(command, port, folder / "bare.log", environment=environment) as server:
        yield server


def measure(browser: Browser, plain: str, studio: str, rounds: int, only: Sequence[str] = ("",)) -> Found:
    """Both weights, then every tab (or `only` those), in rounds."""
    weights = weigh(browser, plain, "textarea"), weigh(browser, studio, ".home .next")
    tabs: dict[str, Opened] = {}
    for _ in range(rounds):
        page = fresh(browser)
        page.goto(studio)
        page.locator(".home .next").wait_for()
        names = [tab.get_attribute("data-tab-id") or "" for tab in page.locator("#tabs [role=tab]:visible").all()]
        ways = [name for name in names if name and not name.startswith("compare-")]
        ways = [name for name in ways if name in only] or ways
        for kind in ("first", "again"):
            for name in ways:
                if name == "home" and kind == "first":
                    continue  # it is open already
                getattr(tabs.setdefault(name, Opened()), kind).append(open_tab(page, name))
        page.close()
        for name in ways:
            tabs[name].shifts.append(shift(browser, f"{studio}&tab={name}", name))
    return Found(*weights, tabs)


def fresh(browser: Browser) -> Page:
    """A page of its own, with nothing in its cache."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(_PATIENCE_MS)
    return page


def weigh(browser: Browser, url: str, ready: str) -> Weight:
    """Open a page in a context of its own, wait until it stands and a second more."""
    page = fresh(browser)
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    sizes: list[float] = []
    asked: list[str] = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    wire.on("Network.requestWillBeSent", lambda event: asked.append(event["request"]["url"]))
    page.goto(url)
    page.locator(ready).first.wait_for()
    page.wait_for_timeout(1000)
    page.close()
    return Weight(int(sum(sizes)), sum(not one.startswith(("data:", "blob:")) for one in asked))


def open_tab(page: Page, name: str, quiet: int = 1000) -> float:
    """Milliseconds from the click on a tab to the last change inside its panel."""
    return float(page.evaluate(f"({_QUIET})('{name}', {quiet}, 20000)"))


def shift(browser: Browser, url: str, name: str) -> float:
    """The cumulative layout shift of a page that opens on a tab, until the tab has been quiet for a second."""
    page = fresh(browser)
    page.add_init_script(_SHIFTS)
    page.goto(url)
    page.locator(f"#tabs [role=tab][data-tab-id={name}][aria-selected=true]").wait_for()
    open_tab(page, name, -1000)  # no click: it is open
    worst = float(page.evaluate("window.shifts.worst"))
    page.close()
    return worst


def told(found: Found) -> list[str]:
    """What is printed."""
    lines = [f"{'first page':24}{'kB':>8}{'requests':>10}"]
    for name, weight in (("one textbox", found.bare), ("studio", found.studio)):
        lines.append(f"{name:24}{weight.transferred / 1000:>8.0f}{weight.requests:>10}")
    heavier = found.studio.transferred / found.bare.transferred
    lines.append(f"ratio of bytes: {heavier:.2f}, of requests: {found.studio.requests / found.bare.requests:.2f}")
    lines.append(f"{'tab':24}{'shift':>8}{'first ms':>10}{'again ms':>10}{'of the limit':>14}")
    for name, opened in found.tabs.items():
        first, again = (f"{median(times):.0f}" if times else "–" for times in (opened.first, opened.again))
        share = median(opened.first or opened.again) / OPEN_LIMIT_MS
        lines.append(f"{name:24}{max(opened.shifts):>8.3f}{first:>10}{again:>10}{share:>14.2f}")
    worst = max(max(opened.shifts) for opened in found.tabs.values())
    slowest = max(median(opened.first or opened.again) for opened in found.tabs.values())
    lines.append(f"ratio of the worst shift to {SHIFT_LIMIT}: {worst / SHIFT_LIMIT:.2f}")
    lines.append(f"ratio of the slowest tab to {OPEN_LIMIT_MS} ms: {slowest / OPEN_LIMIT_MS:.2f}")
    return lines


if __name__ == "__main__":
    main()
