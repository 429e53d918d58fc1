"""A stand-in for studio.why: `python -m tests.jobs.fake_why JOB_DIR`, the nearest pair at once, the others when told.

$FAKE_WHY says how it goes on: nothing more is `quick`; `slow` waits to be stopped; `fail` is an error.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from studio.contract.events import EventWriter
from studio.contract.job import run_job
from studio.contract.why import Source, WhyReport, read_why_spec, write_report
from studio.errors import BadFile


def work(folder: Path, events: EventWriter) -> None:
    """Write the report of a question."""
    spec, mode = read_why_spec(folder), os.environ.get("FAKE_WHY", "quick")
    if mode == "fail":
        raise BadFile("The kettle exploded.")
    pair = Source(row=3, example_id="e3", prompt="Where?", answer="There.", score=0.9)
    report = WhyReport(answer=spec.answer or "There.", rows=40, nearest=(pair,))
    write_report(folder, report)
    events.write("step", step=200, steps=1000, message="Comparing gradients: 0 of 40")
    while mode == "slow":
        time.sleep(0.02)
    if spec.gradients:
        write_report(folder, report.model_copy(update={"by_gradient": (pair,), "compared": 40}))


if __name__ == "__main__":
    raise SystemExit(run_job("tests.jobs.fake_why", sys.argv[1:], 0, work))
