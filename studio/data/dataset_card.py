"""The card of a dataset on the Hub, made of what the records say and of nothing else.

Licence, language and intended use are for the person who publishes: the card names them as left open. What it leaves
out: names of annotators, guidelines and prompts, which may not be meant for others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.origins import Origins

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_TASKS = {
    "classification": "text-classification",
    "multi-label": "text-classification",
    "summarisation": "summarization",
    "translation": "translation",
    "question-answering": "question-answering",
}


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. `agreement` is a sentence's words, '' where none was measured; `version` and `hash` are of a
    snapshot, else 0 and ''; `left_out` and `notes` as in ExportReport."""

    project: str
    task: str
    title: str
    shape: str
    rows: Mapping[str, int]
    columns: tuple[str, ...]
    origins: Origins
    reviewed: bool
    agreement: str
    studio: str
    version: int = 0
    hash: str = ""
    seed: int | None = None
    remarks: tuple[str, ...] = ()


def card_text(facts: CardFacts) -> str:
    """The README.md of the dataset: YAML for the Hub, Markdown for people."""
    return f"---\n{_yaml(facts)}---\n\n{_text(facts)}"


def _yaml(facts: CardFacts) -> str:
    total = sum(facts.rows.values())
    size = next((name for limit, name in _SIZES if total < limit), "n>1M")
    files = "".join(f"      - split: {split}\n        path: data/{split}-*.parquet\n" for split in facts.rows)
    task = f"task_categories:\n  - {_TASKS[facts.task]}\n" if facts.task in _TASKS else ""
    tags = "tags:\n  - sft-studio\n" + ("  - preference\n" if facts.task == "preference" else "")
    name = f"pretty_name: {json.dumps(facts.project)}\n"  # JSON is YAML, whatever the name holds
    return (
        f"{name}{task}{tags}size_categories:\n  - {size}\nconfigs:\n  - config_name: default\n    data_files:\n{files}"
    )


def _text(facts: CardFacts) -> str:
    of = f", version {facts.version}" if facts.version else ""
    origins = facts.origins
    given = origins.answers - origins.imported
    lines = [
        f"# {plain(facts.project)}",
        f"{plain(facts.title)} data of the project “{plain(facts.project)}”{of}, exported from SFT Studio "
        f"{facts.studio} on {datetime.now(UTC):%Y-%m-%d}.",
        "## Data",
        "| Split | Rows |\n|---|---:|\n" + "\n".join(f"| {split} | {count:,} |" for split, count in facts.rows.items()),
        f"Shape: {facts.shape}. Columns: {', '.join(f'`{name}`' for name in facts.columns)}.",
        *(plain(remark) for remark in facts.remarks),
    ]
    if facts.hash:
        seed = f" Splits are drawn with seed {facts.seed}." if facts.seed is not None else ""
        lines.append(f"Content hash of the snapshot (SHA-256): `{facts.hash}`.{seed}")
    lines += [
        "## How it was labeled",
        f"- Answers given in the studio: {given:,}, by {_people(origins.annotators)}; imported with the data: "
        f"{origins.imported:,}.",
        f"- Of them, {origins.suggested:,} began from a model's suggestion.",
        f"- Review: {_review(facts)}",
        f"- Agreement between annotators: {plain(facts.agreement) if facts.agreement else 'not measured'}.",
        "## To be filled in by the publisher",
        "Licence, languages, source of the prompts, intended use and limits: the studio does not know them.",
    ]
    return "\n\n".join(_joined(lines)) + "\n"


def _joined(lines: list[str]) -> list[str]:
    """List items stand together, other parts apart."""
    parts: list[str] = []
    for line in lines:
        if line.startswith("- ") and parts and parts[-1].startswith("- "):
            parts[-1] += f"\n{line}"
        else:
            parts.append(line)
    return parts


def _people(count: int) -> str:
    return "1 annotator" if count == 1 else f"{count:,} annotators"


def _review(facts: CardFacts) -> str:
    if not facts.reviewed:
        return f"not asked for by the project; {facts.origins.reviewed:,} answers were accepted by a reviewer."
    return f"asked for by the project; {facts.origins.reviewed:,} answers were accepted by a reviewer."


def plain(text: str) -> str:
    """Text that Markdown shows as it is: no link, no HTML, no heading comes out of a name."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&$])", r"\\\1", " ".join(text.split()))
