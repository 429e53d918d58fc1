"""How often the one pair that taught an answer is among its first five sources: by texts, by gradients, by both.

    python -m tests.bench.bench_why [--facts 32] [--asked 16] [--epochs 8] [--base starter] [--keep FOLDER] [--save]

Trains a LoRA adapter on planted facts (tests/why/planted.py), asks for each in other words, keeps those answers that
are right. Prints the shares, and the seconds that a question takes before and after the rows' gradients are kept. With
`--keep` the run is kept there and not trained again; with `--save` what is printed goes to results/.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from studio.contract.chat import Message
from studio.contract.events import EventWriter
from studio.contract.why import WhyReport, WhySpec
from studio.models.answers import greedy_answers
from studio.training.ending import run_to_end
from studio.why.sources import look
from studio.why.tuned import load_tuned
from tests import tiny
from tests.bench.saved import save
from tests.why.planted import Fact, planted

FIRST = 5


def main() -> None:
    """Train, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--facts", type=int, default=32)
    parser.add_argument("--asked", type=int, default=16)
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--base", default="starter")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--save", action="store_true")
    flags = parser.parse_args()
    home = flags.keep or Path(tempfile.mkdtemp())
    pairs, facts = planted(flags.facts)
    run = home / "runs" / "run-1"
    if not (run / "adapter").is_dir():
        snapshot = tiny.make_snapshot(home / "snapshot", pairs)
        quick = {"samples": 0, "held_out_rows": 0, "evaluations": 0, "checkpoints": 0}
        learn = {"epochs": flags.epochs, "batch_size": 8, "lora_rank": 16, "learning_rate": 2e-3}
        tiny.make_run(run, snapshot, home / "models", flags.base, **learn, **quick)
        assert run_to_end(run) == 0, "the training failed"

    tuned = load_tuned(run)
    prompts = [[Message("user", fact.question)] for fact in facts]
    answers = greedy_answers(tuned.model, tuned.base.tokenizer, prompts, 16)
    right = [(fact, answer) for fact, answer in zip(facts, answers, strict=True) if fact.code in answer]
    lines = [f"{len(right)} of {len(facts)} answers are right; asked about: {len(right[: flags.asked])}"]
    print(lines[0], flush=True)
    for point in ("start", "end"):
        lines += share(home, run, right[: flags.asked], point)
    if flags.save:
        note = f"--facts {flags.facts} --asked {flags.asked} --epochs {flags.epochs:g} --base {flags.base}"
        save("why-cpu", "bench_why", note, lines, torch.get_num_threads())


def share(home: Path, run: Path, right: list[tuple[Fact, str]], point: str) -> list[str]:
    """Print, and give, the shares with gradients taken at a point of training."""
    ranks: dict[str, list[int]] = {"texts": [], "gradients": [], "both": []}
    seconds = []
    for fact, answer in right:
        began = time.monotonic()
        found = asked(home, run, fact.question, answer, point)
        seconds.append(time.monotonic() - began)
        places = [{source.row: at for at, source in enumerate(one)} for one in (found.nearest, found.by_gradient or ())]
        row = fact.row
        fused = {number: sum(1 / (10 + place[number]) for place in places if number in place) for number in places[0]}
        ranks["texts"].append(places[0][row])
        ranks["gradients"].append(places[1][row])
        ranks["both"].append(sum(value > fused[row] for value in fused.values()))
    lines = []
    for name, own in ranks.items():
        first, top = np.mean([rank < FIRST for rank in own]), np.mean([rank == 0 for rank in own])
        lines.append(f"{point} {name}: among the first {FIRST} {first:.0%}, the very first {top:.0%}")
    lines.append(f"{point}: first question {seconds[0]:.1f} s, later ones {np.mean(seconds[1:]):.1f} s")
    print("\n".join(lines), flush=True)
    return lines


def asked(home: Path, run: Path, question: str, answer: str, point: str) -> WhyReport:
    """The sources of an answer, all rows in order."""
    folder = Path(tempfile.mkdtemp(dir=home))
    turns = [{"role": "user", "content": question}]
    fields = {"run": run, "cache": home / "cache", "turns": turns, "answer": answer, "gradients": True, "shown": 100}
    events = EventWriter(folder)
    try:
        return look(folder, WhySpec.model_validate(fields | {"points": (point,)}), events)
    finally:
        events.close()


if __name__ == "__main__":
    main()
