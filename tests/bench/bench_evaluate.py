"""Held-out answers in batches of like length against one at a time, by the same engine and model.

    python tests/bench/bench_evaluate.py [--rows 48] [--tokens 48] [--batch 32] [--models FOLDER] [--save]

The questions are rows of gsm8k_test and banking77_test, answered greedily by the starter model. Both ways answer the
same rows in turns (batched, alone, alone, batched …), so that what else runs on the machine meets both. Printed are
answer tokens a second by the clock and by processor time, their ratios, and how many answers are the same text.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT))

from studio.contract.chat import Message  # noqa: E402
from studio.evaluation.answering import Asked, Given, answer_all  # noqa: E402
from studio.inference.engine import Engine  # noqa: E402
from studio.models.loading import load_base  # noqa: E402
from tests.bench import saved  # noqa: E402

CHUNKS = 2


@dataclass
class Side:
    """One way to answer: its tokens, and the seconds of clock and processor that it took."""

    name: str
    tokens: int = 0
    clock: float = 0.0
    processor: float = 0.0

    def line(self) -> str:
        """Tokens a second."""
        return f"{self.name:9s} {self.tokens / self.clock:7.1f} tokens/s by the clock, " + (
            f"{self.tokens / self.processor:7.1f} by processor time ({self.tokens} tokens, {self.clock:.0f} s)"
        )


@dataclass(frozen=True)
class Measured:
    """Both sides, and how many of how many answers are the same text."""

    batched: Side
    alone: Side
    same: int
    rows: int

    def lines(self) -> list[str]:
        """What is printed."""
        clock = self.alone.clock / self.batched.clock
        processor = self.alone.processor / self.batched.processor
        return [
            self.batched.line(),
            self.alone.line(),
            f"batched / alone: {clock:.2f}x by the clock, {processor:.2f}x by processor time",
            f"same answers: {self.same} of {self.rows}",
        ]


def main(arguments: Sequence[str] | None = None) -> Measured:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "sft-studio-bench")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(options.threads)
    engine = Engine(load_base(options.models, "starter", "cpu", "float32"), options.models / "no-runs")
    measured = measure(engine, questions(options.rows, options.tokens), options.batch)
    lines = measured.lines()
    print("\n".join(lines))
    if options.save:
        note = f"--rows {options.rows} --tokens {options.tokens} --batch {options.batch}"
        saved.save("evaluate-cpu", "bench_evaluate", note, lines, options.threads)
    return measured


def measure(engine: Engine, asked: Sequence[Asked], batch: int) -> Measured:
    """Answer all rows both ways."""
    answer_all(engine, [Asked(asked[0].messages, max_tokens=2)])
    batched, alone = Side("batched"), Side("alone")
    same = 0
    size = -(-len(asked) // CHUNKS)
    for number, start in enumerate(range(0, len(asked), size)):
        rows = asked[start : start + size]
        turns = [(batched, batch), (alone, 1)]
        found = {
            side.name: timed(engine, rows, side, most) for side, most in (turns if number % 2 == 0 else turns[::-1])
        }
        same += sum(one.text == other.text for one, other in zip(found["batched"], found["alone"], strict=True))
    return Measured(batched, alone, same, len(asked))


def timed(engine: Engine, rows: Sequence[Asked], side: Side, batch: int) -> list[Given]:
    """Answer rows, counting on `side`."""
    clock, processor = time.perf_counter(), time.process_time()
    given = answer_all(engine, rows, batch)
    side.clock += time.perf_counter() - clock
    side.processor += time.process_time() - processor
    side.tokens += sum(one.tokens for one in given)
    return given


def questions(count: int, tokens: int) -> list[Asked]:
    """Long and short questions by turns."""
    with (DATA / "gsm8k_test.jsonl").open(encoding="utf-8") as file:
        long = [json.loads(line)["question"] for line, _ in zip(file, range(count), strict=False)]
    with (DATA / "banking77_test.csv").open(encoding="utf-8", newline="") as file:
        short = [row["text"] for row, _ in zip(csv.DictReader(file), range(count * 40), strict=False)][::40]
    texts = [text for pair in zip(long, short, strict=True) for text in pair][:count]
    return [Asked((Message("user", text),), max_tokens=tokens) for text in texts]


if __name__ == "__main__":
    main()
