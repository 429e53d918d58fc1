"""The benchmarks still run: on a tiny model, in seconds, with figures that mean nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


@pytest.mark.parametrize(
    ("name", "prints"), [("bench_train.py", "ours / trl:"), ("bench_banking.py", "exact match      base 0/8")]
)
def test_a_benchmark_runs_on_a_tiny_model(name, prints):
    if name == "bench_train.py":
        pytest.importorskip("trl")
    ended = subprocess.run([sys.executable, BENCH / name, "--short"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert prints in ended.stdout
