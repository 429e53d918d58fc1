"""Shape of doccano's JSONL: a text with a list of labels, or of texts written for it. Spans are told and not taken."""

from __future__ import annotations

from collections.abc import Sequence

from studio.data.columns import Columns
from studio.data.rows import as_text
from studio.data.shape_base import TEXTS, Bound, Kind, Look, Values
from studio.data.targets import Unusable
from studio.language import mark, tr

_TEXT = ("text", "data")
_LABEL = ("label", "labels", "annotations", "entities")
_OWN = ("comments", "entities", "relations", "annotation_approver")


def _seems(look: Look) -> bool:
    text, label = look.first(*_TEXT), look.first(*_LABEL)
    if text is None or label is None or not all(isinstance(value, str) for value in look.values(text)):
        return False
    lists = look.values(label)
    own = look.has("id") or any(name in look.known for name in _OWN)
    return own and bool(lists) and all(isinstance(value, list) for value in lists)


def _bind(look: Look) -> Bound:
    text, label = look.first(*_TEXT), look.first(*_LABEL)
    if text is None or label is None or look.task == "preference":
        needs = mark("the columns text and label, and a task that is no preference")
        raise look.lacks(mark("doccano's JSONL"), needs)

    def read(values: Values) -> Values:
        found = [_name(item) for item in _listed(values.get(label))]
        return {**values, "text": values.get(text), "label": given(look, found)}

    answer = tr("column {name}, its labels", name=label)
    if look.task in TEXTS:
        answer = tr("column {name}, its first text", name=label)
    parts = ((mark("Input"), tr("column {name}", name=text)), (mark("Answer"), answer))
    return Bound(Columns("text", "label"), read, parts)


def given(look: Look, found: Sequence[object]) -> object:
    """Of several values what the task takes: all labels, the first text, the one label. Raises Unusable."""
    if look.task == "multi-label":
        return list(found)
    if len(found) > 1 and look.task in TEXTS:
        look.table.note(tr("Where a row has several answers, the first one is taken."))
    elif len(found) > 1:
        raise Unusable(tr("it has {count:,} labels, and this project takes one", count=len(found)))
    return found[0] if found else None


def _listed(cell: object) -> list[object]:
    if cell is None or cell == "":
        return []
    return cell if isinstance(cell, list) else [cell]


def _name(item: object) -> object:
    if isinstance(item, dict) and "start_offset" not in item and "text" in item:
        return as_text(item["text"])  # a text written for it, with who wrote it
    if isinstance(item, dict) and "start_offset" not in item and "label" in item:
        return item["label"]
    if isinstance(item, (list, tuple, dict)):
        raise Unusable(tr("it marks spans of the text, which no task here takes"))
    return item


DOCCANO = Kind("doccano", "doccano", _seems, _bind)
