"""`python -m studio.evaluation EVAL_DIR`: base and tuned model answer held-out rows; the report says what it shows.

Events: state `loading`, then `evaluating`; `step` as answers come (step and steps count answers of all models),
`warning` for a part that could not be done; `done` with state "done" or, after SIGTERM, "stopped". Answers that were
finished are kept, so an evaluation that was stopped goes on where it was. What it leaves out: the database."""

from __future__ import annotations

import sys
from pathlib import Path

from studio.contract.evaluation import read_eval_spec
from studio.contract.events import EventWriter
from studio.contract.job import run_job

_NICE = 5


def main(argv: list[str]) -> int:
    """Run the evaluation of the folder named in `argv`; the exit code."""
    return run_job("studio.evaluation", argv, _NICE, _run)


def _run(folder: Path, events: EventWriter) -> None:
    spec = read_eval_spec(folder)
    events.write("state", state="loading", message=f"Loading {spec.base_model}")
    from studio.evaluation.running import evaluate

    evaluate(folder, spec, events)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
