"""Label sets: names with colours, which imports and people let grow. What it leaves out: changing a name that answers
hold (storage.relabeling)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from storage.projects import decode_settings
from storage.records import Label, Settings
from studio.errors import BadInput, NotFound

PALETTE = (
    *("#0e7f77", "#b9530f", "#1e71cf", "#c73291", "#1c8235", "#d3342f"),
    *("#8556d5", "#72760a", "#0c7b97", "#8f6a45", "#cf3362", "#61728b"),
)
"""Colours of labels: white text on them has a contrast of 4.8, they stand out 3.5 against the dark surface."""

LABEL_LIMIT = 1000
NAME_LIMIT = 200


def checked_label(name: str) -> str:
    """A label's name as it is stored: one line, no white space around it. Raises BadInput."""
    found = " ".join(name.split())
    if not found:
        raise BadInput("A label needs a name.")
    if len(found) > NAME_LIMIT:
        raise BadInput(f"A label has at most {NAME_LIMIT} characters; this one has {len(found)}.")
    return found


def with_labels(settings: Settings, names: Sequence[str]) -> Settings:
    """Settings with the labels that are new among `names` behind those there are, each with the next colour.

    Raises BadInput beyond LABEL_LIMIT.
    """
    known = {label.name for label in settings.labels}
    new = [name for name in dict.fromkeys(checked_label(name) for name in names) if name not in known]
    if len(known) + len(new) > LABEL_LIMIT:
        raise BadInput(f"A project has at most {LABEL_LIMIT:,} labels: is this a classification?")
    start = len(settings.labels)
    added = [Label(name, PALETTE[at % len(PALETTE)]) for at, name in enumerate(new, start)]
    return replace(settings, labels=(*settings.labels, *added))


def stored_settings(cursor: Any, project_id: str) -> Settings:
    """The settings as they are within an open transaction. Raises NotFound."""
    row = cursor.execute("SELECT settings FROM projects WHERE id = ?", [project_id]).fetchone()
    if row is None:
        raise NotFound("This project does not exist any more.")
    return decode_settings(row[0])
