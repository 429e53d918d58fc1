"""`python -m tests.sweeping.fake_sweep SWEEP_DIR`: the real sweeping process over the fake trainer."""

from __future__ import annotations

import sys

from studio.sweeping import trials
from studio.sweeping.__main__ import main

if __name__ == "__main__":
    trials.TRAINING_MODULE = "tests.sweeping.fake_training"
    sys.exit(main(sys.argv[1:]))
