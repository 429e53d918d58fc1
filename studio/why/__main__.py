"""`python -m studio.why JOB_DIR`: which training pairs speak most for an answer, as studio.contract.why says.

Events: state `loading`, then `evaluating`; `step` as rows are read (step and steps are parts of the whole, `message`
counts the rows); `done` with state "done" or, after SIGTERM, "stopped": what was worked out of rows until then is kept
for the next question. What it leaves out: the database.
"""

from __future__ import annotations

import sys
from pathlib import Path

from studio.contract.events import EventWriter
from studio.contract.job import run_job
from studio.contract.why import read_why_spec

_NICE = 5


def main(argv: list[str]) -> int:
    """Answer the question of the folder named in `argv`; the exit code."""
    return run_job("studio.why", argv, _NICE, _run)


def _run(job_dir: Path, events: EventWriter) -> None:
    events.write("state", state="loading", message="Reading the training pairs")
    from studio.why.sources import look

    look(job_dir, read_why_spec(job_dir), events)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
