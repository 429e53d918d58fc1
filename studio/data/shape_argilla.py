"""Shapes of Argilla: records of versions 1 and 2 as JSON, and as `datasets` columns. Suggestions are no answers.

Submitted responses answer, the first one of a question; spans are told and not taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studio.data.columns import Columns
from studio.data.rows import as_text
from studio.data.shape_base import TEXTS, Bound, Kind, Look, Values, context_field, dialogue, input_field, pair_fields
from studio.data.shape_doccano import given
from studio.data.targets import Unusable
from studio.language import mark, tr

_TITLE = mark("an export of Argilla")
_RESPONSES = ".responses"
_OLD = ("annotation_agent", "prediction_agent", "multi_label", "event_timestamp")
_BESIDE = ("id", "_server_id", "external_id", "metadata", "vectors", "status", "inserted_at", "updated_at")


@dataclass(frozen=True)
class _Record:
    """A record: its fields by name, and the values of the submitted responses by question."""

    fields: Mapping[str, object]
    answers: Mapping[str, Sequence[object]]


def _seems(look: Look) -> bool:
    if look.has("fields") and look.first("responses", "suggestions"):
        return True
    if look.has("annotation") and look.first(*_OLD):
        return True
    return any(name.endswith(_RESPONSES) for name in look.table.columns) or bool(_old_questions(look))


def _bind(look: Look) -> Bound:
    if not _seems(look) and not look.has("annotation"):
        raise look.lacks(_TITLE, mark("the columns fields and responses, or text and annotation"))
    old = _old_questions(look)
    records = [record for row in look.rows if (record := _quietly(row, old)) is not None]
    names = list(dict.fromkeys(name for record in records for name in record.fields))
    rows = [record.fields for record in records]
    question = _question(look.task, records)
    pair = pair_fields(names) or _ranked_pair(records, question) if look.task == "preference" else None
    asked = input_field([name for name in names if name not in (pair or ())], rows)
    if asked is None or (look.task == "preference" and pair is None):
        raise look.lacks(_TITLE, mark("fields of text, and two answers where the task is a preference"))
    fields = {"input": asked} | (dict(zip("ab", pair, strict=True)) if pair else {})
    if (context := context_field(name for name in names if name != asked)) is not None:
        fields["context"] = context

    def read(values: Values) -> Values:
        record = _record(values, old)
        given_fields = {name: dialogue(record.fields.get(field)) for name, field in fields.items()}
        return {**values, **given_fields, "output": _answer(look, record.answers.get(question, ()), pair)}

    titles = {"input": mark("Input"), "a": mark("Answer A"), "b": mark("Answer B"), "context": mark("Context")}
    parts = [(titles[name], tr("field {name}", name=field)) for name, field in fields.items()]
    where = tr("question '{name}', first submitted response", name=question) if question else tr("none in sight")
    parts.append((mark("Answer"), where))
    return Bound(Columns(**{name: name for name in (*fields, "output")}), read, tuple(parts))


def _record(values: Values, old: Sequence[str]) -> _Record:
    """A record of whichever version. Raises Unusable."""
    if as_text(values.get("status")).lower() == "discarded":
        raise Unusable(tr("it was discarded in Argilla"))
    if "fields" in values:
        if not isinstance(values["fields"], Mapping):
            raise Unusable(tr("its fields are no object"))
        return _Record(values["fields"], _of_record(values.get("responses")))
    if "annotation" in values and not old and not any(name.endswith(_RESPONSES) for name in values):
        return _of_version_1(values)
    answers = {name: _of_users(values.get(name)) for name in old}
    for name, cell in values.items():
        if name.endswith(_RESPONSES):
            done = values.get(f"{name}.status")
            answers[name.removesuffix(_RESPONSES)] = _submitted(cell, done)
    fields = {
        name: value
        for name, value in values.items()
        if name not in answers
        and name not in _BESIDE
        and "-suggestion" not in name
        and name.split(".")[0] not in answers
    }
    return _Record(fields, answers)


def _quietly(values: Values, old: Sequence[str]) -> _Record | None:
    try:
        return _record(values, old)
    except Unusable:
        return None


def _of_version_1(values: Values) -> _Record:
    inputs = values.get("inputs")
    text = values.get("text")
    if text is None and isinstance(inputs, Mapping):
        text = inputs.get("text") if "text" in inputs else "\n\n".join(map(as_text, inputs.values()))
    annotation = values.get("annotation")
    return _Record({"text": text}, {"annotation": [] if annotation is None else [annotation]})


def _of_record(responses: object) -> dict[str, Sequence[object]]:
    """Responses by question (version 2), or a list of what each user said (version 1)."""
    if isinstance(responses, Mapping):
        return {str(name): _of_users(cell) for name, cell in responses.items()}
    answers: dict[str, list[object]] = {}
    for response in responses if isinstance(responses, list) else ():
        if not isinstance(response, dict) or response.get("status") not in (None, "submitted"):
            continue
        values = response.get("values")
        for name, value in values.items() if isinstance(values, dict) else ():
            answers.setdefault(str(name), []).append(value.get("value") if isinstance(value, dict) else value)
    return dict(answers)


def _of_users(cell: object) -> list[object]:
    """Values of a list of {"user_id", "value", "status"}."""
    listed = cell if isinstance(cell, list) else []
    done = [item for item in listed if isinstance(item, dict) and item.get("status") in (None, "submitted")]
    return [item["value"] for item in done if item.get("value") is not None]


def _submitted(cell: object, status: object) -> list[object]:
    """Values of a list beside which a list of states stands."""
    values = cell if isinstance(cell, list) else []
    states = status if isinstance(status, list) else []
    return [
        value
        for index, value in enumerate(values)
        if value is not None and (index >= len(states) or states[index] in (None, "submitted"))
    ]


def _old_questions(look: Look) -> tuple[str, ...]:
    """Columns of version 1's `datasets` form: a list of what users said beside a column of suggestions."""
    return tuple(name for name in look.table.columns if f"{name}-suggestion" in look.table.columns)


def _question(task: str, records: Sequence[_Record]) -> str:
    """The question whose answers fit the task best: the longest texts for a text, the fewest names for a label."""
    best: tuple[float, str] = (0.0, "")
    for name in dict.fromkeys(name for record in records for name in record.answers):
        values = [value for record in records for value in record.answers.get(name, ())]
        if values and (score := _fit(task, values)) > best[0]:
            best = (score, name)
    return best[1]


def _fit(task: str, values: Sequence[object]) -> float:
    """How well answers fit a task, above 0."""
    first = values[0]
    different = len({as_text(value) for value in values}) / len(values)
    if task in TEXTS:
        return 1.0 + sum(len(value) for value in values if isinstance(value, str)) / len(values)
    if task == "preference":
        return 3.0 if _is_ranking(first) else 2.0 - different / 2
    fitting = {"rating": (int, float), "multi-label": (list,), "classification": (str,)}[task]
    number = isinstance(first, fitting) and not _is_ranking(first)
    return (3.0 if number else 1.0) - different / 2


def _is_ranking(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "rank" in v for v in value)


def _ranked_pair(records: Sequence[_Record], question: str) -> tuple[str, str] | None:
    """The two fields that a ranking names."""
    for record in records:
        for value in record.answers.get(question, ()):
            if _is_ranking(value) and isinstance(value, list):
                names = sorted(as_text(item.get("value")) for item in value)
                if len(names) == 2 and all(name in record.fields for name in names):
                    return names[0], names[1]
    return None


def _answer(look: Look, values: Sequence[object], pair: tuple[str, str] | None) -> object:
    if len(values) > 1:
        look.table.note(tr("Some records have several responses: the first submitted one answers."))
    if not values:
        return None
    value = values[0]
    if _is_ranking(value) and isinstance(value, list):
        if look.task == "preference" and pair:
            return _preferred(value, pair)
        raise Unusable(tr("its answer is a ranking, which only a preference takes"))
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        raise Unusable(tr("it marks spans of the text, which no task here takes"))
    if look.task == "preference" and pair and isinstance(value, str):
        sides = {_same(pair[0]): "A", _same(pair[1]): "B"}
        return sides.get(_same(value), value)
    return given(look, value if isinstance(value, list) else [value])


def _preferred(ranking: Sequence[Mapping[str, object]], pair: tuple[str, str]) -> str:
    """A, B or tie of a ranking of two. Raises Unusable."""
    if len(ranking) != 2 or not all(isinstance(item.get("rank"), int) for item in ranking):
        raise Unusable(tr("its ranking is not one of two answers"))
    ranks = {_same(as_text(item.get("value"))): int(str(item["rank"])) for item in ranking}
    names = [_same(name) for name in pair]
    if {*ranks} != {*names}:
        names = sorted(ranks)  # names of its own, as in "response-1": in the order of their numbers
    if len(names) != 2:
        raise Unusable(tr("its ranking is not one of two answers"))
    first, second = (ranks[name] for name in names)
    return "tie" if first == second else "A" if first < second else "B"


def _same(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


ARGILLA = Kind("argilla", "Argilla", _seems, _bind)
