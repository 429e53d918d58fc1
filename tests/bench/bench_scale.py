"""One process against two that share each step: tokens a second, seconds to the first step, and the losses of both.

    nice python tests/bench/bench_scale.py [--counts 1,2] [--rounds 3] [--rows 64] [--device cpu] [--short]

The same run, same effective batch and order, started as the app starts it. On a CPU the cores are shared out among the
processes, and one process that has the threads of a single rank says what a second one adds; on GPUs each process has
one of its own. Sides take turns within a round, so that a machine that slows down slows all of them. Ratios are of the
same round. `--short`: a random model of two layers, to see that it runs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from studio.contract.events import read_all  # noqa: E402
from tests import tiny  # noqa: E402
from tests.bench.train_rows import gsm8k  # noqa: E402

MODELS = Path(os.environ.get("STUDIO_BENCH_MODELS", Path.home() / ".cache" / "sft-studio-bench"))


@dataclass(frozen=True)
class Side:
    """So many processes with so many threads each."""

    count: int
    threads: int

    @property
    def name(self) -> str:
        """As a row of the table."""
        return f"{self.count} process{'es' * (self.count > 1)}, {self.threads} thread{'s' * (self.threads > 1)} each"


@dataclass(frozen=True)
class Measured:
    """One run of a side: non-padding tokens a second, seconds until the first step, the last validation loss."""

    tokens_per_second: float
    first_step: float
    loss: float


def main(argv: Sequence[str]) -> dict[Side, list[Measured]]:
    """Measure every side in every round and print the table."""
    options = _parse(argv)
    cores = os.cpu_count() or 1
    counts = [int(count) for count in options.counts.split(",")]
    shared = [Side(count, max(1, cores // count) if options.device == "cpu" else cores) for count in counts]
    one = Side(1, shared[-1].threads)
    sides = list(dict.fromkeys([*shared, *([one] if options.device == "cpu" else [])]))
    found: dict[Side, list[Measured]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            for side in sides if turn % 2 == 0 else sides[::-1]:
                found[side].append(_measure(Path(folder), side, turn, options))
    _show(found)
    return found


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="1,2", help="processes, with commas (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8, help="rows of a step (default: %(default)s)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--short", action="store_true")
    return parser.parse_args(argv)


def _measure(folder: Path, side: Side, turn: int, options: argparse.Namespace) -> Measured:
    run = _prepare(folder, f"{side.count}-{side.threads}-{turn}", side.count, options)
    print(f"{side.name} …", file=sys.stderr, flush=True)
    began = time.time()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(side.threads)}
    command = [sys.executable, "-m", "studio.training", str(run)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    events = read_all(run)
    first = next(event.at for event in events if event.kind == "step")
    losses = [event.data["value"] for event in events if event.data.get("name") == "validation_loss"]
    speed = events[-1].data["tokens_per_second"]
    return Measured(float(str(speed)), first.timestamp() - began, float(str(losses[-1])))


def _prepare(folder: Path, name: str, count: int, options: argparse.Namespace) -> Path:
    if options.short:
        base: Path | str = folder / "base"
        models, rows, held = folder / "models", tiny.pairs(16), tiny.pairs(4, 100)
        if not Path(base).is_dir():
            tiny.make_model(Path(base))
    else:
        base, models, rows, held = "starter", MODELS, gsm8k("train", options.rows), gsm8k("test", 8)
    snapshot = folder / "snapshot"
    if not snapshot.is_dir():
        tiny.make_snapshot(snapshot, rows, held, [])
    return tiny.make_run(
        folder / name, snapshot, models, base, processes=count, device=options.device, batch_size=options.batch,
        epochs=1, samples=0, held_out_rows=0, evaluations=1, checkpoints=0, compile="off", keep="last",
    )  # fmt: skip


def _show(found: dict[Side, list[Measured]]) -> None:
    first = next(iter(found.values()))
    print(f"{'':34}{'tokens/s':>10}{'ratio':>8}{'of rounds':>14}{'first step':>12}{'loss':>10}")
    for side, runs in found.items():
        ratios = [one.tokens_per_second / base.tokens_per_second for one, base in zip(runs, first, strict=True)]
        speed = statistics.median(one.tokens_per_second for one in runs)
        wait = statistics.median(one.first_step for one in runs)
        spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
        middle = statistics.median(ratios)
        print(f"{side.name:34}{speed:10.0f}{middle:8.2f}{spread:>14}{wait:10.1f} s{runs[-1].loss:10.5f}")


if __name__ == "__main__":
    main(sys.argv[1:])
