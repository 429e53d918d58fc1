"""The property tests with many inputs each, counted: importers, files, cells, splits, leases, undo, and the machine of
annotators over the queue.

    python tests/bench/drill_inputs.py [--examples 300] [--save] [FILE …]

Runs pytest on these files (or on others) with so many examples a property, and adds up what hypothesis says that it
tried. What is found is for pytest to tell; here it is only counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench import saved  # noqa: E402
from tests.bench.reliability import inputs_rows  # noqa: E402

FILES = (
    "tests/attacks/test_properties.py",
    "tests/attacks/test_queue_machine.py",
    "tests/attacks/test_files.py",
    "tests/attacks/test_judge_injection.py",
    "tests/data/test_fuzzed_files.py",
    "tests/data/test_hostile_files.py",
    "tests/data/test_splits.py",
    "tests/data/test_snapshots.py",
    "tests/data/test_blocks.py",
)
_COUNTED = re.compile(r"- (\d+) passing, (\d+) failing, and \d+ invalid test cases")


@dataclass(frozen=True)
class Found:
    """Properties that ran, the inputs that hypothesis tried on them, and those that a property did not hold for."""

    tests: int
    inputs: int
    failing: int
    passed: bool


def main(arguments: Sequence[str] | None = None) -> Found:
    """Run them and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=FILES, metavar="FILE")
    parser.add_argument("--examples", type=int, default=300, help="inputs a property (default: %(default)s)")
    parser.add_argument("--save", action="store_true", help="keep the page in results/")
    options = parser.parse_args(arguments)
    command = [sys.executable, "-m", "pytest", "-q", "--hypothesis-show-statistics", "-p", "no:cacheprovider"]
    environment = os.environ | {"SFT_STUDIO_EXAMPLES": str(options.examples)}
    done = subprocess.run(
        [*command, *options.files], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    found = counted(done.stdout, done.returncode == 0)
    if not found.passed:
        print(done.stdout[-4000:], file=sys.stderr)
    figures = asdict(found)
    lines = [*inputs_rows(figures), json.dumps(figures)]
    print("\n".join(lines))
    if options.save:
        saved.save("inputs-cpu", "drill_inputs", f"--examples {options.examples}", lines, os.cpu_count() or 1)
    return found


def counted(said: str, passed: bool) -> Found:
    """The sums of what hypothesis says."""
    _, _, statistics = said.partition("Hypothesis Statistics")
    tests = [part for part in re.split(r"\n(?=\S+::)", statistics) if _COUNTED.search(part)]
    sums = [tuple(map(int, pair)) for part in tests for pair in _COUNTED.findall(part)]
    return Found(len(tests), sum(good + bad for good, bad in sums), sum(bad for _, bad in sums), passed)


if __name__ == "__main__":
    sys.exit(0 if main().passed else 1)
