"""The labels of a snapshot: the texts of its training answers, and how an answer of several labels is taken apart."""

from __future__ import annotations

import json
from pathlib import Path

from studio.contract.plain import question_and_answer
from studio.errors import BadFile
from studio.models.heads import SEPARATOR, LabelSet
from studio.training.data import conversations

MOST = 10_000
FREE_TEXT = 0.5
"""Where more than this share of (20 or more) rows have an answer of their own, the answers are no labels."""


def snapshot_labels(snapshot: Path) -> LabelSet:
    """The labels of the training rows, in alphabetical order; several a row where the project's task was multi-label.

    Raises BadFile where the answers are no labels, with what to do about it.
    """
    task, known = _told(snapshot)
    several = task == "multi-label"
    listed, found, rows = LabelSet(known, several), set[str](), 0
    for messages, _ in conversations(snapshot / "train.parquet"):
        try:
            answer = question_and_answer(messages)[1]
        except ValueError:
            continue
        rows += 1
        found.update(label_parts(answer, listed))
    if len(found) < 2:
        raise BadFile("A classifier needs training rows of at least two labels: label more, or choose another model.")
    if len(found) > MOST or (rows >= 20 and len(found) > FREE_TEXT * rows):
        raise BadFile(
            f"The {rows} training answers are {len(found)} different texts, too many to be labels: choose a model that "
            "writes (causal or seq2seq) instead of an encoder."
        )
    return LabelSet(tuple(sorted(found)), several)


def label_parts(answer: str, labels: LabelSet) -> list[str]:
    """The labels that an answer names: itself, or the parts between its commas where there may be several.

    A label that has a comma of its own is found where it is known.
    """
    text = answer.strip()
    if not labels.several:
        return [text]
    parts, known, found, at = text.split(SEPARATOR), set(labels.names), list[str](), 0
    while at < len(parts):
        ends = range(len(parts), at, -1)
        end = next((end for end in ends if SEPARATOR.join(parts[at:end]).strip() in known), at + 1)
        found.append(SEPARATOR.join(parts[at:end]).strip())
        at = end
    return [part for part in dict.fromkeys(found) if part]


def _told(snapshot: Path) -> tuple[str, tuple[str, ...]]:
    """Task and label names by the snapshot's manifest; older ones and foreign folders say neither."""
    try:
        manifest = json.loads((snapshot / "manifest.json").read_text(encoding="utf-8"))
        return str(manifest.get("task", "")), tuple(str(name) for name in manifest.get("label_names", ()))
    except (OSError, ValueError, AttributeError, TypeError):
        return "", ()
