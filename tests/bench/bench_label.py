"""From Ctrl+Enter to the next example painted, in headless Chromium: at 1,000 and at 1,000,000 examples, and against a
bare JSON route with one DuckDB commit.

    python tests/bench/bench_label.py [--acts 100] [--rounds 5] [--examples 1000,1000000]

Three servers, a page of each in one Chromium: the studio with few examples, the studio with many, and a FastAPI app of
one route whose page does the same thing (fetch, put the next text into the DOM, focus the field). They take turns in
rounds, so that other work on the machine hits all alike. Measured inside the page with performance.now: from the
keydown until the new prompt is in the DOM and the focus in an empty field ("DOM"), and until the frame that shows it
has been handed over for painting ("painted": the next animation frame and a message after it). Frames come every
16.7 ms, so "painted" moves in steps where "DOM" does not.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from storage.database import connect  # noqa: E402
from storage.projects import create_project  # noqa: E402
from studio.settings import open_workspace  # noqa: E402
from tests.bench import served  # noqa: E402
from tests.bench.bench_annotators import INSERT_EXAMPLES  # noqa: E402
from tests.bench.bench_start import cpu_name  # noqa: E402
from tests.bench.crowd import quantile  # noqa: E402
from tests.e2e.conftest import CHROMIUM, FLAGS  # noqa: E402

BARE = """
import sys, threading
import duckdb, uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

PAGE = '''<!doctype html><meta charset="utf-8"><title>Bare</title>
<section class="prompt" aria-label="Example"><div class="turn user"><p>Question number -1</p></div></section>
<section aria-label="Answer"><textarea></textarea></section>
<script>
const field = document.querySelector('textarea'), prompt = document.querySelector('p');
field.focus();
document.addEventListener('keydown', async (event) => {
  if (!(event.ctrlKey && event.key === 'Enter')) return;
  const headers = {'Content-Type': 'application/json'}, body = JSON.stringify({response: field.value});
  const answer = await (await fetch('/act', {method: 'POST', headers, body})).json();
  prompt.textContent = answer.text;
  field.value = '';
  field.focus();
});
</script>'''

class Act(BaseModel):
    response: str

app, lock, local = FastAPI(), threading.Lock(), threading.local()
root = duckdb.connect(sys.argv[1])
root.execute("CREATE TABLE answers (number BIGINT, response VARCHAR, at_time TIMESTAMP)")
count = 0

@app.get("/")
def page() -> HTMLResponse:
    return HTMLResponse(PAGE)

@app.post("/act")
def act(body: Act) -> dict[str, str]:
    global count
    if not hasattr(local, "cursor"):
        local.cursor = root.cursor()
    with lock:
        local.cursor.execute("BEGIN TRANSACTION")
        local.cursor.execute("INSERT INTO answers VALUES (?, ?, now()::TIMESTAMP)", [count, body.response])
        local.cursor.execute("COMMIT")
        count += 1
        return {"text": f"Question number {count}"}

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""
WATCH = """
(() => {
  const seen = window.bench = {dom: [], painted: []};
  const prompt = () => document.querySelector('section[aria-label="Example"] .turn.user p')?.textContent;
  addEventListener('keydown', (event) => {
    if (!(event.ctrlKey && event.key === 'Enter')) return;
    const began = performance.now(), before = prompt();
    const ready = () => {
      const field = document.activeElement;
      return prompt() && prompt() !== before && field?.tagName === 'TEXTAREA' && !field.readOnly && field.value === ''
        && field.closest('section[aria-label="Answer"]');
    };
    let done = false;
    const look = () => {
      if (done || !ready()) return;
      done = true;
      watcher.disconnect();
      const inDom = performance.now() - began;
      requestAnimationFrame(() => {
        const {port1, port2} = new MessageChannel();
        port1.onmessage = () => { seen.painted.push(performance.now() - began); seen.dom.push(inDom); };
        port2.postMessage(0);
      });
    };
    const watcher = new MutationObserver(look);
    watcher.observe(document.documentElement, {subtree: true, childList: true, characterData: true, attributes: true});
    document.addEventListener('focusin', look);
  }, true);
})()
"""


@dataclass
class Measured:
    """Milliseconds of each act of one page."""

    name: str
    page: Page
    dom: list[float] = field(default_factory=list)
    painted: list[float] = field(default_factory=list)

    def p95(self, figure: str) -> float:
        """The 95th percentile of `dom` or `painted`."""
        return quantile(sorted(getattr(self, figure)), 0.95)

    def median(self, figure: str) -> float:
        """The median of `dom` or `painted`."""
        return quantile(sorted(getattr(self, figure)), 0.5)


def main(arguments: Sequence[str] | None = None) -> list[Measured]:
    """Run the bench and print its figures: the studio at each size, then the bare route."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--acts", type=int, default=100, help="counted acts of each page (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="in how many turns (default: %(default)s)")
    parser.add_argument("--examples", default="1000,1000000", help="sizes of the project (default: %(default)s)")
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.examples.split(",")]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = [(f"studio, {size:,} examples", stack.enter_context(labeling(Path(folder), size))) for size in sizes]
        servers.append(("bare route", stack.enter_context(bare(Path(folder)))))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        print(f"Python {platform.python_version()}, duckdb {version('duckdb')}, gradio {version('gradio')}, ", end="")
        print(f"Chromium {browser.version}; {cpu_name()}, {os.cpu_count()} threads")
        measured = [Measured(name, ready(browser.new_page(), server.url)) for name, server in servers]
        take_turns(measured, options.acts, options.rounds)
        browser.close()
    show(measured)
    return measured


@contextmanager
def labeling(folder: Path, examples: int) -> Iterator[served.Server]:
    """The studio with one project of so many examples."""
    workspace = open_workspace(folder / f"studio-{examples}")
    db = connect(workspace.database, workspace.backups)
    project = create_project(db, "Bench")
    with db.write() as cursor:
        cursor.execute(INSERT_EXAMPLES, {"project": project.id, "count": examples})
    db.close()
    with served.studio(workspace.root) as server:
        yield server


@contextmanager
def bare(folder: Path) -> Iterator[served.Server]:
    """The bare route in a process of its own."""
    script, port = folder / "bare.py", served.free_port()
    script.write_text(BARE, encoding="utf-8")
    command = [sys.executable, str(script), str(folder / "bare.duckdb"), str(port)]
    with served.serving(command, port, folder / "bare.log") as server:
        yield server


def ready(page: Page, url: str) -> Page:
    """A page that shows an example to label, with the stopwatch in it."""
    page.goto(url)
    if page.title() != "Bare":
        page.get_by_role("tab", name="Label", exact=True).click()
    page.locator('section[aria-label="Example"] .turn.user p').wait_for(timeout=60_000)
    page.evaluate(WATCH)
    return page


def take_turns(measured: Sequence[Measured], acts: int, rounds: int) -> None:
    """`acts` of each page in `rounds` turns, after three that are not counted."""
    for one in measured:
        answer_some(one, 3)
        one.page.evaluate("window.bench.dom.length = window.bench.painted.length = 0")
    for turn in range(rounds):
        for one in measured:
            answer_some(one, acts * (turn + 1) // rounds - acts * turn // rounds)
    for one in measured:
        seen = one.page.evaluate("window.bench")
        one.dom, one.painted = seen["dom"], seen["painted"]


def answer_some(one: Measured, count: int) -> None:
    """Type an answer and press Ctrl+Enter, some times."""
    one.page.bring_to_front()
    one.page.locator('section[aria-label="Answer"] textarea').focus()
    for _ in range(count):
        done = one.page.evaluate("window.bench.painted.length")
        one.page.keyboard.type("It is on its way.")
        one.page.wait_for_timeout(random.uniform(20, 100))  # not in step with the frames
        one.page.keyboard.press("Control+Enter")
        one.page.wait_for_function("done => window.bench.painted.length > done", arg=done)


def show(measured: Sequence[Measured]) -> None:
    """Print medians and p95, and the two ratios for each figure."""
    print(f"{'':30}{'DOM median':>12}{'p95':>8}{'painted median':>16}{'p95':>8}  acts")
    for one in measured:
        print(
            f"{one.name:30}{one.median('dom'):>12.1f}{one.p95('dom'):>8.1f}{one.median('painted'):>16.1f}"
            f"{one.p95('painted'):>8.1f}{len(one.painted):>6}"
        )
    few, many, plain = measured[0], measured[-2], measured[-1]
    for figure in ("painted", "dom"):
        by_size, by_bare = (many.p95(figure) / one.p95(figure) for one in (few, plain))
        print(f"ratio of p95 ({figure}), {many.name} / {few.name}: {by_size:.2f} (target 1.2)")
        print(f"ratio of p95 ({figure}), {many.name} / {plain.name}: {by_bare:.2f} (target 2)")


if __name__ == "__main__":
    main()
