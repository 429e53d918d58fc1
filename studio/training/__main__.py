"""`python -m studio.training RUN_DIR`: the process around the recipe.

It takes the signals before anything slow is imported, keeps a second trainer out of the folder, and turns every ending
into a `done` event and an exit code: 0 done or stopped, 1 failed, 2 called wrongly.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from studio.contract.events import read_all
from studio.training.ending import run_to_end
from studio.training.helpers import follow_first, helped, is_helper


def main(argv: list[str]) -> int:
    """Train the run of folder `argv[0]`, or say that it is done already."""
    if len(argv) != 1 or not Path(argv[0]).is_dir():
        print("usage: python -m studio.training RUN_DIR", file=sys.stderr)
        return 2
    run_dir = Path(argv[0]).resolve()
    if is_helper():
        follow_first()
    events = read_all(run_dir)
    if events and events[-1].kind == "done" and events[-1].data.get("state") == "done":
        print(f"The run in {run_dir} is already done.")
        return 0
    # Threads that wait by spinning starve an engine, or any process, that shares the cores. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if is_helper():
        code = run_to_end(run_dir)
        sys.stderr.flush()
        os._exit(code)  # a library that fails while it is taken down would pass for a process that died
    with helped(run_dir):
        return run_to_end(run_dir)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
