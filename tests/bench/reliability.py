"""The table of the README's reliability section, made of nothing but what the drills have saved in results/.

    python tests/bench/reliability.py        prints it

A drill saves its figures as JSON in the last line of its page, and prints the row that is made of them here.
`tests/bench/test_reliability.py` holds README's table against this one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
HEAD = ("| fault | tried | survived | lost | seen beside it |", "|---|---|---|---|---|")

Figures = Mapping[str, Any]


def kill_rows(found: Figures) -> list[str]:
    """Of drill_kill: the app."""
    lost = f"{found['lost']:,} of {found['acknowledged']:,} acknowledged answers"
    wrong = found["repeated"] + found["unknown"] + found["broken"] + found["leases"]
    beside = (
        f"{wrong} rows or leases wrong; next start: median {found['start_seconds_median']:.1f} s, "
        f"most {found['start_seconds_most']:.1f} s; its run taken up to the end: {_yes(found['run_done'])}"
    )
    return [_row("kill -9 of the app while annotators work and a run trains", found, lost, beside)]


def jobs_rows(found: Figures) -> list[str]:
    """Of drill_jobs: a row a kind of job."""
    rows = []
    for kind, one in found.items():
        lost = f"{one['tried'] - one['survived']} jobs"
        beside = f"state true after {one['slowest_look']:.1f} s at the most; no process left"
        rows.append(_row(f"kill -9 of {'an' if kind[0] in 'aeiou' else 'a'} {kind}", one, lost, beside))
    return rows


def queue_rows(found: Figures) -> list[str]:
    """Of drill_queue: the app while runs wait."""
    good = not (found["lost"] or found["doubled"] or found["told_wrong"] or found["overlaps"])
    tried = {"tried": found["kills"], "survived": found["kills"] if good else 0}
    beside = f"{found['doubled']} started twice, {found['told_wrong']} told wrong, {found['overlaps']} too many at once"
    return [_row("kill -9 of the app while runs wait", tried, f"{found['lost']} of {found['runs']} runs", beside)]


def serve_rows(found: Figures) -> list[str]:
    """Of drill_serve: hostile requests to the server of models."""
    bad = found["fives"] + found["in_stream"] + found["late"]
    tried = {"tried": found["requests"], "survived": found["requests"] - bad}
    beside = f"memory {found['memory']:+.1%} and {found['files']:+d} open files from the second tenth to the last"
    lost = f"{found['doubled']} lines of its log twice, {found['log_lost']} lost"
    return [_row("hostile, broken and cut off requests to a served model", tried, lost, beside)]


def soak_rows(found: Figures) -> list[str]:
    """Of drill_soak: everything at once for an hour."""
    tried = {"tried": found["submits"], "survived": found["submits"] - found["wrong"]}
    beside = (
        f"memory {found['app_slope_mb']:+.1f} MB an hour (app), {found['server_slope_mb']:+.1f} (server); handles "
        f"{found['app_handles_first']} → {found['app_handles_last']}, {found['server_handles_first']} → "
        f"{found['server_handles_last']}; p95 {found['p95_first']:.0f} → {found['p95_last']:.0f} ms; "
        f"{found['request_failures']} of {found['requests']:,} requests failed; {found['runs']} runs trained"
    )
    what = f"submits in a soak of {found['minutes']:g} minutes"
    return [_row(what, tried, f"{found['lost']} acknowledged answers", beside)]


def inputs_rows(found: Figures) -> list[str]:
    """Of drill_inputs: what hypothesis made up."""
    tried = {"tried": found["inputs"], "survived": found["inputs"] - found["failing"]}
    return [_row("inputs made up for properties", tried, "–", f"{found['tests']} properties")]


PAGES: dict[str, Callable[[Figures], list[str]]] = {
    "kill-cpu": kill_rows,
    "jobs-cpu": jobs_rows,
    "queue-cpu": queue_rows,
    "drill-serve-cpu": serve_rows,
    "inputs-cpu": inputs_rows,
    "soak-cpu": soak_rows,
}
"""Pages of results/ in the order of their rows."""


def table(results: Path = RESULTS) -> str:
    """All rows of the drills that were saved."""
    found = [(rows_of, figures_of(results / f"{page}.md")) for page, rows_of in PAGES.items()]
    rows = [row for rows_of, figures in found if figures for row in rows_of(figures)]
    return "\n".join([*HEAD, *rows])


def figures_of(page: Path) -> Figures:
    """The figures that a drill saved; {} where it was not saved. Raises ValueError for a page without any."""
    if not page.exists():
        return {}
    for line in reversed(page.read_text(encoding="utf-8").splitlines()):
        if line.startswith("{"):
            found: Figures = json.loads(line)
            return found
    raise ValueError(f"{page} has no figures")


def _row(what: str, tried: Figures, lost: str, beside: str) -> str:
    return f"| {what} | {tried['tried']:,} | {tried['survived']:,} | {lost} | {beside} |"


def _yes(said: bool) -> str:
    return "yes" if said else "no"


if __name__ == "__main__":
    print(table())
