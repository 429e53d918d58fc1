"""Shapes of Label Studio's JSON and JSON-MIN: choices, texts, ratings, pairs. Spans and regions are told and not taken.

The first completed annotation of a task answers; cancelled ones are passed over, and predictions are no answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studio.data.columns import Columns, guess_columns
from studio.data.rows import as_text
from studio.data.shape_base import (
    Bound,
    Kind,
    Look,
    Values,
    context_field,
    dialogue,
    input_field,
    pair_fields,
)
from studio.data.shape_doccano import given
from studio.data.targets import Unusable
from studio.language import mark, tr

_TITLE = mark("Label Studio's JSON")
_FITTING = {
    "classification": ("choices", "taxonomy", "rating"),
    "multi-label": ("choices", "taxonomy"),
    "rating": ("rating", "number", "choices"),
    "preference": ("pairwise", "choices"),
}
"""Types of results that answer a task, best first."""

_FITTING_TEXT = ("textarea", "choices", "taxonomy", "rating", "number")
_OF_MIN = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "inner_id")


@dataclass(frozen=True)
class _Control:
    """What of an annotation is the answer: a control of the labeling page, '' where the first rows have none."""

    name: str
    kind: str


def _seems(look: Look) -> bool:
    if look.has("annotations", "data") or look.has("completions", "data"):
        return any(isinstance(row.get("data"), dict) for row in look.rows)
    return look.has("annotator", "annotation_id")


def _bind(look: Look) -> Bound:
    if look.has("data") and any(isinstance(row.get("data"), dict) for row in look.rows):
        return _bind_tasks(look)
    if look.has("id") and look.first("annotator", "annotation_id"):
        return _bind_min(look)
    raise look.lacks(_TITLE, mark("the columns data and annotations"))


def _bind_tasks(look: Look) -> Bound:
    data: list[Values] = [found for row in look.rows if isinstance(found := row.get("data"), dict)]
    columns, fields, parts = _fields_of(look, [name for row in data for name in row], data)
    control = _control(look)
    what = tr("none in sight")
    if control.name:
        told = {"kind": control.kind, "name": control.name}
        what = tr("the {kind} of '{name}', first completed annotation", **told)

    def read(values: Values) -> Values:
        found = values.get("data")
        if not isinstance(found, Mapping):
            raise Unusable(tr("its data is no object"))
        results = _results(look, values)
        return {**values, **_taken(found, fields), "output": _answer(look, results, control)}

    return Bound(columns, read, (*parts, (mark("Answer"), what)))


def _bind_min(look: Look) -> Bound:
    own = [name for name in look.table.columns if name.strip().lower() not in _OF_MIN]
    columns, fields, parts = _fields_of(look, own, look.rows)
    rest = [name for name in own if name not in fields.values()]
    guessed = guess_columns(("text", *rest), look.task)
    answer = guessed.output if guessed and guessed.output else (rest[-1] if rest else "")

    def read(values: Values) -> Values:
        found = _values(values.get(answer)) if answer else []
        if look.task == "preference":
            return {**values, **_taken(values, fields), "output": found[0] if found else None}
        return {**values, **_taken(values, fields), "output": given(look, found)}

    where = tr("column {name}", name=answer) if answer else tr("none in sight")
    return Bound(columns, read, (*parts, (mark("Answer"), where)))


def _fields_of(
    look: Look, names: Sequence[str], rows: Sequence[Values]
) -> tuple[Columns, dict[str, str], tuple[tuple[str, str], ...]]:
    """Which fields are what, as the columns that are given, the fields by those, and in words."""
    unique = list(dict.fromkeys(names))
    pair = pair_fields(unique) if look.task == "preference" else None
    if look.task == "preference" and pair is None:
        needs = mark("two answers in its data, as in answer1 and answer2")
        raise look.lacks(mark("a preference in Label Studio"), needs)
    asked = input_field([name for name in unique if name not in (pair or ())], rows)
    if asked is None:
        raise look.lacks(_TITLE, mark("a text in its data"))
    fields = {"input": asked}
    if pair:
        fields |= {"a": pair[0], "b": pair[1]}
    if (context := context_field(name for name in unique if name != asked)) is not None:
        fields["context"] = context
    columns = Columns(**{name: name for name in (*fields, "output")})
    titles = {"input": mark("Input"), "a": mark("Answer A"), "b": mark("Answer B"), "context": mark("Context")}
    return columns, fields, tuple((titles[name], field) for name, field in fields.items())


def _taken(data: Mapping[str, object], fields: Mapping[str, str]) -> dict[str, object]:
    return {name: dialogue(data.get(field)) for name, field in fields.items()}


def _control(look: Look) -> _Control:
    """The control that is most often filled in among those of the type that fits the task best."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in look.rows:
        for result in _completed(row)[:1]:
            counts.update({(as_text(item.get("type")), as_text(item.get("from_name"))) for item in result})
    for kind in _FITTING.get(look.task, _FITTING_TEXT):
        found = [(number, name) for (kind_of, name), number in counts.items() if kind_of == kind]
        if found:
            return _Control(max(found, key=lambda item: item[0])[1], kind)
    return _Control("", "")


def _completed(row: Values) -> list[list[Mapping[str, object]]]:
    """The results of each annotation that was not cancelled."""
    listed = row.get("annotations", row.get("completions"))
    found: list[list[Mapping[str, object]]] = []
    for annotation in listed if isinstance(listed, list) else ():
        if not isinstance(annotation, dict) or annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        result = annotation.get("result")
        found.append([item for item in result if isinstance(item, dict)] if isinstance(result, list) else [])
    return found


def _results(look: Look, values: Values) -> list[Mapping[str, object]]:
    done = _completed(values)
    if len(done) > 1:
        look.table.note(tr("Some tasks have several annotations: the first completed one answers."))
    return done[0] if done else []


def _answer(look: Look, results: Sequence[Mapping[str, object]], control: _Control) -> object:
    values = [item.get("value") for item in results if as_text(item.get("from_name")) == control.name]
    found = [one for value in values for one in _values(value)]
    if not found and results and all(_marks(item.get("value")) for item in results):
        raise Unusable(tr("it marks spans or regions, which no task here takes"))
    if control.kind == "textarea":
        return "\n".join(map(as_text, found)) or None
    if look.task == "preference":
        return found[0] if found else None
    return given(look, found)


def _values(value: object) -> list[object]:
    """What a result says, whatever its type. Raises Unusable for spans."""
    if isinstance(value, dict):
        for name in ("choices", "text", "taxonomy", "rating", "number", "selected"):
            if name in value and not _marks(value):
                return _values(value[name])
        if _marks(value):
            raise Unusable(tr("it marks spans or regions, which no task here takes"))
        return []
    if isinstance(value, (list, tuple)):
        found = []
        for item in value:
            if isinstance(item, dict):
                found += _values(item)
            else:
                found.append(as_text(item[-1]) if isinstance(item, (list, tuple)) and item else item)
        return found
    return [] if value is None or value == "" else [value]


def _marks(value: object) -> bool:
    """Whether a value lies somewhere in a text, a picture or a sound."""
    places = ("start", "end", "x", "points", "startOffset", "labels", "rle")
    return isinstance(value, dict) and any(name in value for name in places)


LABEL_STUDIO = Kind("label-studio", "Label Studio", _seems, _bind)
