"""`python -m studio.preflight JOB_DIR`: look through a data set and write a report, as studio.contract.preflight says.

Events: state `loading`, then `evaluating`; `step` as checks go on, at most one a second besides one a check (step and
steps are parts of the whole, `message` names the check); `warning` for a check that failed; `done` with state "done"
or, after SIGTERM, "stopped". What it leaves out: repairing anything, and the database."""

from __future__ import annotations

import sys
from pathlib import Path

from studio.contract.events import EventWriter
from studio.contract.job import run_job
from studio.contract.preflight import read_preflight_spec
from studio.language import mark

_NICE = 5


def main(argv: list[str]) -> int:
    """Run the preflight of the folder named in `argv`; the exit code."""
    return run_job("studio.preflight", argv, _NICE, _run)


def _run(job_dir: Path, events: EventWriter) -> None:
    events.write("state", state="loading", message=mark("Reading the rows"))
    from studio.preflight.looking import look

    look(job_dir, read_preflight_spec(job_dir), events)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
