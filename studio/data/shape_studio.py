"""Shape of our own CSV files: an input and an output a row, or the whole conversation as JSON, in cells made safe.

Read exactly as it was written (studio.data.export_files). What it leaves out: the other files that we write, which are
laid out as everybody's.
"""

from __future__ import annotations

import json

from studio.data.columns import Columns
from studio.data.rows import as_text
from studio.data.safecells import MADE_SAFE
from studio.data.shape_base import Bound, Kind, Look, Values
from studio.data.targets import Unusable
from studio.language import mark, tr


def _seems(look: Look) -> bool:
    ours = MADE_SAFE in look.table.columns and look.has("input", "output")
    return ours and not look.has("instruction")  # an Alpaca file of ours, laid out as everybody's


def _bind(look: Look) -> Bound:
    if not _seems(look):
        needs = tr("the columns input, output and {column}", column=MADE_SAFE)
        raise look.lacks(mark("our CSV"), needs)
    beside = {name: name for name in ("context", "group", "tools") if look.has(name)}
    if look.task != "preference":
        labels = "labels" if look.task == "multi-label" and look.has("labels") else None
        return Bound(Columns("messages", labels, **beside), _with_answer)
    if look.has("a", "b", "choice"):
        more = {name: name for name in ("margin", "reason") if look.has(name)}
        return Bound(Columns("messages", "choice", a="a", b="b", **more, **beside), _with_prompt)
    return Bound(Columns("messages", a="chosen", b="rejected", **beside), _with_prompt)


def _with_answer(values: Values) -> Values:
    turns, whole = _turns(values)
    said = as_text(values.get("output"))
    if not whole and said:
        turns = [*turns, {"role": "assistant", "content": said}]
    return {**values, "messages": turns}


def _with_prompt(values: Values) -> Values:
    return {**values, "messages": _turns(values)[0], "chosen": values.get("output")}


def _turns(values: Values) -> tuple[list[object], bool]:
    """The conversation, and whether it is the whole one or only what was asked."""
    packed, context, own = (as_text(values.get(name)) for name in ("messages", "context", "system"))
    if packed.strip():
        try:
            found = json.loads(packed)
        except (ValueError, RecursionError):
            raise Unusable(tr("its messages are not JSON")) from None
        if not isinstance(found, list):
            raise Unusable(tr("it has no list of messages"))
        return found, True
    # With the context in front, as in the messages that every other file has; it is taken out again there.
    asked = as_text(values.get("input"))
    turns: list[object] = [{"role": "system", "content": own}] if own else []
    return [*turns, {"role": "user", "content": f"{context}\n\n{asked}" if context else asked}], False


STUDIO_CSV = Kind("studio-csv", "SFT Studio CSV", _seems, _bind)
