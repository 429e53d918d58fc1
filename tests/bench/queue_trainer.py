"""The least that a trainer is, for the drill of the queue: a few events in milliseconds, and then it is done.

Like a real one it takes a moment to leave after its last word.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from studio.contract.events import EventWriter


def main(run_dir: Path) -> int:
    """Say that it began, some steps, and that it is done."""
    events = EventWriter(run_dir)
    events.write("state", state="training", device="cpu", steps=3)
    for step in (1, 2, 3):
        time.sleep(0.05)
        events.write("step", step=step, steps=3, loss=1 / step, tokens=10 * step)
    events.write("done", state="done", base_loss=2.0, tuned_loss=1.0)
    events.close()
    time.sleep(0.3)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
