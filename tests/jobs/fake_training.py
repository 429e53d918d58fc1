"""A stand-in for studio.training, the process contract in milliseconds: `python -m tests.jobs.fake_training RUN_DIR`.

What it does is told by $FAKE_TRAINING: `quick` (three steps, done), `slow` (steps until it is stopped), `crash` (one
step, last words on stderr, no done), `mute` (ends at SIGTERM without a word), `linger` (answers SIGTERM with done and
stays for a second more), `deaf` (ignores SIGTERM). A stop leaves checkpoint.json, from which the next process of the
folder goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from studio.contract.events import EventWriter
from studio.contract.spec import read_train_spec


class Stopped(Exception):
    """SIGTERM came."""


def main(run_dir: Path) -> int:
    """Write the events of a small run."""
    mode = os.environ.get("FAKE_TRAINING", "quick")
    if mode != "mute":
        signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else raise_stopped)
    spec = read_train_spec(run_dir)
    events = EventWriter(run_dir)
    checkpoint = run_dir / "checkpoint.json"
    step = json.loads(checkpoint.read_text())["step"] if checkpoint.exists() else 0
    try:
        events.write("state", state="training", message="", device="CPU test", steps=spec.max_steps)
        while mode != "quick" or step < 3:
            step += 1
            events.write("step", step=step, steps=spec.max_steps, loss=1 / step, tokens_per_second=10.0)
            if mode == "crash":
                print("first words\nthe kettle exploded", file=sys.stderr)
                return 3
            time.sleep(0.0 if mode == "quick" else 0.02)
    except Stopped:
        checkpoint.write_text(json.dumps({"step": step}))
        events.write("done", state="stopped", step=step)
        if mode == "linger":
            time.sleep(1.5)
        return 0
    events.write("done", state="done", base_loss=2.0, tuned_loss=1.0, adapter_hash="a" * 64, base_hash="b" * 64)
    events.close()
    return 0


def raise_stopped(number: int, frame: object) -> None:
    """The signal's handler."""
    raise Stopped


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
