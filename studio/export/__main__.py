"""`python -m studio.export EXPORT_DIR`: a run or a base model as a folder that other programs read, with a model card.

Events: state `loading`, then `exporting`; `step` as it goes; `done` with state "done" or, after SIGTERM, "stopped". The
folder is written beside its place and renamed when it has answered as the studio does. What it leaves out: the
database, and sending it anywhere."""

from __future__ import annotations

import sys
from pathlib import Path

from studio.contract.events import EventWriter
from studio.contract.export import read_export_spec
from studio.contract.job import run_job

_NICE = 5


def main(argv: list[str]) -> int:
    """Run the export of the folder named in `argv`; the exit code."""
    return run_job("studio.export", argv, _NICE, _run)


def _run(folder: Path, events: EventWriter) -> None:
    spec = read_export_spec(folder)
    events.write("state", state="loading", message=f"Loading {spec.base_model}")
    from studio.export.exporting import export

    export(folder, spec, events)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
