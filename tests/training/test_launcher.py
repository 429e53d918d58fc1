"""Two processes under torchrun train as one with two accumulated batches, and only the first of them reports."""

from __future__ import annotations

import subprocess
import sys

from studio.contract.events import read_all


def test_two_processes_equal_two_accumulated_batches(place, train):
    one, two = place.run("one", gradient_accumulation=2), place.run("two")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*launch, "-m", "studio.training", str(two)], check=True, capture_output=True)
    done, events = train(one)[1][-1].data, read_all(two)
    assert [event.seq for event in events] == list(range(1, len(events) + 1)) and events[-1].data["state"] == "done"
    assert events[-1].data["steps"] == done["steps"] and abs(events[-1].data["tuned_loss"] - done["tuned_loss"]) < 1e-5
