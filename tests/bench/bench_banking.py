"""Is one click a good click? BANKING77 as text → category: exact match of base and tuned on held-out rows.

    python tests/bench/bench_banking.py [--per-class 10] [--held-out 2] [--set field=value …] [--short]
    python tests/bench/bench_banking.py --encoder [--per-class N] [--held-out N] [--set field=value …] [--short]

A real training process with the defaults of TrainSpec on `per-class` rows of each of the 77 categories, then greedy
answers to `held-out` test rows of each category, by the base and by the tuned model. `--short` takes a tiny random
model: seconds, and no meaning.

`--encoder` fine-tunes the starter encoder in full on every training row (10,003) and prints its accuracy on every test
row (3,080). Nothing of the test rows is seen before: there is no validation split, and the last weights are kept.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests import tiny  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
MODELS = Path(os.environ.get("STUDIO_BENCH_MODELS", Path.home() / ".cache" / "sft-studio-bench"))
ENCODER = {
    **{"method": "full", "epochs": "3", "batch_size": "32", "learning_rate": "2e-4", "max_length": "128"},
    **{"schedule": "linear", "warmup_ratio": "0.1", "weight_decay": "0.01"},
}
"""What the planner sets for an encoder on ten thousand short rows."""

SYSTEM = "Name the category of the customer's message."


def main() -> None:
    """Train, answer, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", action="store_true")
    parser.add_argument("--per-class", type=int)
    parser.add_argument("--held-out", type=int)
    parser.add_argument("--set", nargs="*", default=[], metavar="field=value")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    options.per_class = options.per_class or (10_000 if options.encoder else 10)
    options.held_out = options.held_out or (10_000 if options.encoder else 2)
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        bench(Path(folder), options)


def bench(folder: Path, options: argparse.Namespace) -> None:
    """One run in `folder`, and its lines on stdout."""
    rows = tiny.labeled if options.encoder else tiny.pairs
    train, test = (rows(24), rows(8, 100)) if options.short else data(options.per_class, options.held_out)
    base: Path | str = "starter-encoder" if options.encoder else "starter"
    if options.short:
        base = tiny.make_model(folder / "base", "bert" if options.encoder else "llama")
    spec = {"snapshot": folder / "snapshot", "models": MODELS, "base_model": str(base)}
    fields = (ENCODER if options.encoder else {}) | dict(pair.split("=", 1) for pair in options.set)
    run = write_run(folder / "run", spec, fields)
    tiny.make_snapshot(folder / "snapshot", train, [] if options.encoder else test[::3], test, SYSTEM)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "studio.training", str(run)], check=True, cwd=ROOT, stdout=sys.stderr)
    minutes = (time.perf_counter() - began) / 60
    (report_encoder if options.encoder else report)(run, test, minutes, fields, options.short)


def write_run(run: Path, spec: dict[str, object], fields: dict[str, str]) -> Path:
    """A run folder with the studio's own defaults but for `fields`."""
    from studio.contract.spec import parse_train_spec

    run.mkdir()
    (run / "spec.json").write_text(parse_train_spec({**spec, **fields}).model_dump_json())
    return run


def data(per_class: int, held_out: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The first rows of each category, from the training and the test file."""
    return first_of_each(DATA / "banking77_train.csv", per_class), first_of_each(DATA / "banking77_test.csv", held_out)


def first_of_each(path: Path, count: int) -> list[tuple[str, str]]:
    """`count` rows of each category, one of each category in turn, so that any part of the list is balanced."""
    rows: dict[str, list[str]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["category"]].append(row["text"].strip())
    return [(texts[turn], category) for turn in range(count) for category, texts in rows.items() if turn < len(texts)]


def report_encoder(run: Path, test: list[tuple[str, str]], minutes: float, fields: dict[str, str], short: bool) -> None:
    """Classify the test rows with the saved model and print accuracy, losses and minutes."""
    from studio.contract.chat import Message
    from studio.contract.events import read_all
    from studio.models.classify import classified
    from studio.models.loading import load_base

    done, tuned = read_all(run)[-1].data, load_base(MODELS, str(run / "model"), "cpu")
    prompts = [[Message("system", SYSTEM), Message("user", question)] for question, _ in test]
    given = [verdict.text for verdict in classified(tuned.model, tuned.tokenizer, prompts)]
    right = sum(a == category for a, (_, category) in zip(given, test, strict=True))
    print(f"spec {fields}; {done['rows']} rows, {done['steps']} steps, {done['tokens']} tokens")
    print(f"training process {minutes:.1f} min, {done['tokens_per_second']} tokens/s")
    print(f"held-out loss    base {done['base_loss']:.3f} (a random head)   tuned {done['tuned_loss']:.3f}")
    print(f"accuracy         tuned {right}/{len(test)} = {right / len(test):.4f}")


def report(run: Path, test: list[tuple[str, str]], minutes: float, fields: dict[str, str], short: bool) -> None:
    """Answer the held-out rows with both models and print exact match, losses and minutes."""
    from peft import PeftModel

    from studio.contract.chat import Message
    from studio.contract.events import read_all
    from studio.contract.spec import read_train_spec
    from studio.models.answers import greedy_answers
    from studio.models.loading import load_base

    spec, done = read_train_spec(run), read_all(run)[-1].data
    base = load_base(spec.models, spec.base_model, "cpu")
    model = PeftModel.from_pretrained(base.model, run / "adapter")
    prompts = [[Message("system", SYSTEM), Message("user", question)] for question, _ in test]
    tuned = greedy_answers(model, base.tokenizer, prompts, 24, batch_size=32)
    with model.disable_adapter():
        plain = greedy_answers(model, base.tokenizer, prompts, 24, batch_size=32)
    scores = [sum(a == category for a, (_, category) in zip(given, test, strict=True)) for given in (plain, tuned)]
    print(f"spec {fields or 'defaults'}; {done['rows']} rows, {done['steps']} steps, {done['tokens']} tokens")
    print(f"training process {minutes:.1f} min, {done['tokens_per_second']} tokens/s")
    print(f"held-out loss    base {done['base_loss']:.3f}   tuned {done['tuned_loss']:.3f}")
    print(f"exact match      base {scores[0]}/{len(test)}   tuned {scores[1]}/{len(test)}")
    for answer, (question, category) in [] if short else list(zip(tuned, test, strict=True))[:3]:
        print(f"  {question!r}: {answer!r} ({category})")


if __name__ == "__main__":
    main()
