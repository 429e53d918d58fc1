"""A stand-in for studio.training in a sweep: `python -m tests.sweeping.fake_training RUN_DIR`, eight passes in no time.

The loss falls to `100 × |learning_rate − 0.01| + 1 / lora_rank`. $FAKE_TRIAL says what else: `slow` (a pause at each
pass), `fail` (an error), `full` (the disk is full), `die` (kills itself at the third pass of a rank of 16).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from studio.contract.events import EventWriter
from studio.contract.spec import TrainSpec, read_train_spec


class Stopped(Exception):
    """SIGTERM came."""


def main(run_dir: Path) -> int:
    """Write the events of a run that goes as its settings are."""
    signal.signal(signal.SIGTERM, raise_stopped)
    mode = os.environ.get("FAKE_TRIAL", "")
    spec, events = read_train_spec(run_dir), EventWriter(run_dir)
    mark = run_dir / "checkpoints" / "checkpoint-1"
    try:
        events.write("state", state="training", message="", steps=8)
        if mode in ("fail", "full"):
            said = {"fail": ("The kettle exploded.", "JobFailed"), "full": ("No room.", "DiskFull")}[mode]
            events.write("error", message=said[0], kind=said[1])
            events.write("done", state="failed", message=said[0])
            return 1
        begin = int(mark.read_text()) if mark.exists() else 0
        for step in range(begin, 9):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(str(step))
            if mode == "die" and spec.lora_rank == 16 and step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            events.write("metric", name="validation_loss", value=loss(spec, step), step=step)
            events.write("step", step=step, steps=8, loss=1.0)
            time.sleep(0.25 if mode == "slow" else 0.002)
        (run_dir / "adapter").mkdir(exist_ok=True)
        (run_dir / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
        events.write("done", state="done")
    except Stopped:
        events.write("done", state="stopped")
    return 0


def loss(spec: TrainSpec, step: int) -> float:
    """A loss that starts at 5 for all and ends where the settings lead."""
    end = 100 * abs(spec.learning_rate - 0.01) + 1 / spec.lora_rank
    return end + (5 - end) * (1 - step / 8)


def raise_stopped(number: int, frame: object) -> None:
    """The signal's handler."""
    raise Stopped


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
