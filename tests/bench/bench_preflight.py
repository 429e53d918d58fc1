"""Does the preflight find what is wrong, and nothing else? Faults planted in real rows; and how fast each check is.

    python tests/bench/bench_preflight.py [--rows 5000] [--seeds 3] [--model tiny|starter] [--data ../shared/data]

Plants near-duplicates, conflicts, personal data, secrets, cut answers and more in gsm8k rows, wrong labels and leaks in
banking77 rows (a made-up set of rows where the folder is missing), runs the process, and prints recall and precision of
each check over all seeds, then rows a second. Rows of the real data that are near-duplicates of each other by another
measure (words) are left out first; what else is found in unchanged rows counts against precision.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import pyarrow.parquet as pq  # noqa: E402

from studio.contract.preflight import NAMED_FILE, Report, read_report  # noqa: E402
from tests.preflight import planted  # noqa: E402
from tests.preflight.planted import Planted, Row  # noqa: E402

COUNTS = {
    "personal-data": 40, "secrets": 22, "encoding": 20, "refusals": 18, "languages": 10, "answer-cut": 20,
    "no-target": 10, "near-duplicates": 100, "conflicts": 50, "exact-duplicates": 20,
}  # fmt: skip
LEAKS, FLIPPED = 30, 0.05
RECALL, PRECISION, FLIPPED_FOUND = 0.95, 0.9, 0.6
_NAMES = ("card lost", "card broken", "transfer late", "transfer wrong", "refund", "exchange rate", "app", "identity")


@dataclass(frozen=True)
class Score:
    """One check on one planted set."""

    check: str
    planted: int
    named: int
    recall: float
    precision: float


def main(arguments: list[str] | None = None) -> dict[str, list[Score]]:
    """Plant, run, print; the scores by check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="tiny", help="tiny (made here), starter, or a model's folder")
    parser.add_argument("--models", type=Path, default=None, help="where starter models lie or are made")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args(arguments)
    scores: dict[str, list[Score]] = defaultdict(list)
    speeds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="sft-bench-preflight-") as name:
        model = _model(Path(name), options.model)
        for seed in range(options.seeds):
            for kind, made in _sets(options.data, options.rows, seed):
                folder = Path(name) / f"{kind}-{seed}"
                task = "instruction" if kind == "texts" else "classification"
                spec = {"base_model": model, "models": str(options.models or Path(name) / "models"), "max_length": 2048}
                planted.write(folder, made.rows, task, **spec)
                report = run(folder)
                for score in measure(folder, report, made):
                    scores[score.check].append(score)
                for check, seconds in report.seconds.items():
                    speeds[f"{check} ({kind})"].append(len(made.rows) / max(1e-6, seconds))
    show(scores, speeds)
    return scores


def run(folder: Path) -> Report:
    """The preflight process on a folder. Raises CalledProcessError when it fails."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-m", "studio.preflight", str(folder)], cwd=ROOT, check=True, env=environment)
    return read_report(folder)


def measure(folder: Path, report: Report, made: Planted) -> list[Score]:
    """How many of the planted rows each check named, and how many of those it named were planted.

    A wrong label is looked for in order: its recall is the share found in the first tenth of the rows.
    """
    named: dict[str, list[int]] = defaultdict(list)
    for line in pq.read_table(folder / NAMED_FILE).to_pylist():
        check = report.findings[line["finding"]].check
        named[check].append(int(line["example_id"].removeprefix("row-")))
    scores = []
    for check, truth in made.truth.items():
        found = named[check][: len(made.rows) // 10] if check == "flipped-labels" else named[check]
        scores.append(Score(check, len(truth), len(named[check]), *planted.scores(found, truth)))
    return scores


def show(scores: dict[str, list[Score]], speeds: dict[str, list[float]]) -> None:
    """The tables, and the checks that miss their aim."""
    print("\n| check | planted | named | recall | precision |\n|---|---|---|---|---|")
    for check, all_of in scores.items():
        recall, precision = (
            sum(getattr(one, name) for one in all_of) / len(all_of) for name in ("recall", "precision")
        )
        named = sum(one.named for one in all_of)
        print(f"| {check} | {sum(one.planted for one in all_of)} | {named} | {recall:.3f} | {precision:.3f} |")
        aim = (FLIPPED_FOUND, 0.0) if check == "flipped-labels" else (RECALL, PRECISION)
        if recall < aim[0] or precision < aim[1]:
            print(f"  below the aim of {aim[0]} / {aim[1]}")
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} threads\n\n| check | rows/s |\n|---|---|")
    for check, rates in speeds.items():
        print(f"| {check} | {sum(rates) / len(rates):,.0f} |")


def _sets(data: Path, rows: int, seed: int) -> list[tuple[str, Planted]]:
    texts, labeled = _texts(data, rows, seed), _labeled(data, rows, seed)
    share = min(1.0, rows / 2000)
    counts = {check: max(6, round(count * share)) for check, count in COUNTS.items()}
    return [
        ("texts", planted.plant_text(texts, seed, counts)),
        ("labels", planted.plant_labels(labeled, seed, FLIPPED, max(6, round(LEAKS * share)))),
    ]


def _texts(data: Path, rows: int, seed: int) -> list[Row]:
    path = data / "gsm8k_train.jsonl"
    if not path.exists():
        return planted.clean(rows, seed)
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    random.Random(seed).shuffle(found)
    made = [Row(one["question"], one["answer"]) for one in found]
    return apart(made[: rows + rows // 10])[:rows]


def _labeled(data: Path, rows: int, seed: int) -> list[Row]:
    path = data / "banking77_train.csv"
    if not path.exists():
        return [_named(row, seed) for row in planted.clean(rows, seed)]
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    random.Random(seed).shuffle(found)
    made = [
        Row(one["text"], one["category"], "train", one["category"]) for one in found if len(one["text"].split()) > 3
    ]
    return apart(made[: 2 * rows])[:rows]


def _named(row: Row, seed: int) -> Row:
    """A made-up row with one of eight labels that its words tell."""
    place = _NAMES[sum(map(ord, row.prompt.split(" while ")[0].split()[-1])) % len(_NAMES)]
    return Row(f"{row.prompt} It is about the {place}.", place, "train", place)


def apart(rows: Sequence[Row], most: float = 0.6) -> list[Row]:
    """Rows of which no two are alike by their words (cosine of word counts at most `most`): another measure than the
    one that is put to the test."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    counts = CountVectorizer(token_pattern=r"(?u)\w+", binary=True).fit_transform([row.prompt for row in rows])
    unit = normalize(counts).tocsr()
    kept: list[int] = []
    taken = [False] * len(rows)
    for first in range(0, len(rows), 1000):
        likeness = (unit[first : first + 1000] @ unit.T).tocsr()
        for place in range(likeness.shape[0]):
            start, end = likeness.indptr[place : place + 2]
            close = likeness.indices[start:end][likeness.data[start:end] > most]
            if not any(taken[other] for other in close):
                taken[first + place] = True
                kept.append(first + place)
    return [rows[place] for place in kept]


def _model(folder: Path, name: str) -> str:
    if name != "tiny":
        return name
    from tests.tiny import make_model

    return str(make_model(folder / "tiny"))


if __name__ == "__main__":
    main()
