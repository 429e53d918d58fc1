"""What a rank of a launcher runs in a test: one run after the other, `… several_runs RUN_DIR RUN_DIR`."""

from __future__ import annotations

import sys
from pathlib import Path

from studio.training.ending import run_to_end

if __name__ == "__main__":
    sys.exit(max(run_to_end(Path(run_dir)) for run_dir in sys.argv[1:]))
