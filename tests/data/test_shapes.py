"""Shapes: which one a file has, and what each of its rows becomes for a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from storage.records import Project, Settings
from studio.data.columns import Columns, Draft, to_draft
from studio.data.readers import open_rows
from studio.data.rows import Row
from studio.data.shapes import SHAPES, detect_shape, find_shape, nested_columns, shape_for, unfold
from studio.data.targets import Unusable
from studio.errors import BadInput

Values = dict[str, Any]


def write(folder: Path, rows: list[Values]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(folder: Path, rows: list[Values], task: str = "instruction", shape: str = "auto") -> list[Draft | str]:
    """Each row as an example, or the reason why not."""
    table = open_rows(write(folder, rows))
    found, columns = shape_for(table, shape, None, task)
    project = Project("p", "p", task, "", "", Settings(), None, None)  # type: ignore[arg-type]
    drafts: list[Draft | str] = []
    for row in table.rows():
        assert isinstance(row, Row)
        try:
            drafts.append(to_draft(unfold(found, row.values), columns, "", project))
        except Unusable as unusable:
            drafts.append(str(unusable))
    return drafts


def short(draft: Draft | str) -> tuple[object, ...] | str:
    if isinstance(draft, str):
        return draft
    return ([turn.content for turn in draft.prompt], draft.response)


def said(*turns: str, keys: str = "role content") -> list[Mapping[str, str]]:
    """Turns of "user: hello"."""
    names = keys.split()
    return [dict(zip(names, turn.split(": ", 1), strict=True)) for turn in turns]


ALPACA = {"instruction": "i", "input": "c", "output": "o"}
SHAREGPT = {"conversations": said("human: h", "gpt: g", keys="from value")}
OPENAI = {"messages": said("user: h", "assistant: g")}
RESULT = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["good"]}}
STUDIO = {"id": 1, "data": {"text": "t"}, "annotations": [{"result": [RESULT]}], "predictions": []}
MIN = {"id": 1, "text": "t", "mood": "good", "annotator": 1, "annotation_id": 2, "lead_time": 1.5}
OLD_ARGILLA = {
    "text": "t",
    "inputs": {"text": "t"},
    "annotation": "good",
    "annotation_agent": "x",
    "status": "Validated",
}
RECORD = {"fields": {"text": "t"}, "responses": {"mood": [{"value": "good", "user_id": "u"}]}, "suggestions": {}}
FEEDBACK = {"fields": {"text": "t"}, "responses": [{"values": {"mood": {"value": "good"}}, "status": "submitted"}]}
FLAT = {"text": "t", "mood.responses": ["good"], "mood.responses.status": ["submitted"], "mood.suggestion": "bad"}
SPAN = {"start": 0, "end": 1, "labels": ["P"]}
DOCCANO = {"id": 1, "text": "t", "label": ["good"]}


@pytest.mark.parametrize(
    ("row", "task", "shape"),
    [
        (ALPACA, "instruction", "alpaca"),
        ({"prompt": "p", "completion": "c"}, "instruction", "prompt-completion"),
        ({"prompt": said("user: h"), "completion": said("assistant: g")}, "chat", "prompt-completion"),
        (SHAREGPT, "chat", "sharegpt"),
        (OPENAI, "instruction", "messages"),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "preference", "preference"),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "instruction", "preference"),
        ({"text": "t", "label": 1}, "classification", "text-label"),
        ({"id": 7, "text": "t", "label": "x"}, "classification", "text-label"),
        (STUDIO, "classification", "label-studio"),
        (MIN, "classification", "label-studio"),
        (OLD_ARGILLA, "classification", "argilla"),
        (RECORD, "classification", "argilla"),
        (FEEDBACK, "classification", "argilla"),
        (FLAT, "classification", "argilla"),
        (DOCCANO, "classification", "doccano"),
        ({"question": "q", "answer": "a"}, "question-answering", "columns"),
    ],
)
def test_a_shape_is_known_by_its_columns_and_first_rows(tmp_path: Path, row: Values, task: str, shape: str) -> None:
    assert detect_shape(open_rows(write(tmp_path, [row])), task) == shape


@pytest.mark.parametrize("row", [STUDIO, MIN, OLD_ARGILLA, RECORD, FEEDBACK, FLAT, DOCCANO])
@pytest.mark.parametrize(
    ("task", "answer"), [("classification", "good"), ("multi-label", "good"), ("instruction", "good")]
)
def test_what_a_labeling_tool_exports_is_an_answer(tmp_path: Path, row: Values, task: str, answer: str) -> None:
    assert [short(draft) for draft in read(tmp_path, [row], task)] == [(["t"], answer)]


def test_alpaca_takes_a_system_prompt_and_earlier_turns(tmp_path: Path) -> None:
    row = {**ALPACA, "system": "s", "history": [["q", "a"]]}
    draft = read(tmp_path, [row, {**ALPACA, "system": "", "history": None}])
    assert short(draft[0]) == (["s", "q", "a", "i"], "o") and short(draft[1]) == (["i"], "o")
    assert [isinstance(one, Draft) and one.context for one in draft] == ["c", "c"]


def test_messages_keep_tools_calls_and_what_came_of_them(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns: list[Values] = [
        {"role": "user", "content": "h"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    turns += [{"role": "tool", "tool_call_id": "1", "content": "3"}, {"role": "assistant", "content": "done"}]
    tool = {"type": "function", "function": {"name": "look"}}
    whole, ends_in_call = read(tmp_path, [{"messages": turns, "tools": [tool]}, {"messages": turns[:2]}], "chat")
    assert isinstance(whole, Draft) and [turn.role for turn in whole.prompt] == ["user", "assistant", "tool"]
    assert json.loads(whole.prompt[1].extra)["tool_calls"] == [call] and json.loads(whole.payload["tools"]) == [tool]
    assert isinstance(ends_in_call, Draft) and ends_in_call.response == "look({})"
    assert "only a chat project" in str(read(tmp_path, [{"messages": turns[:2]}])[0])


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        (["a", {"text": "b"}], "a\nb"),
        ([{"type": "image_url", "image_url": {"url": "x"}}], "image_url"),
        ([{"type": "text"}], "only text"),
        ([], "no text"),
        ({"text": "a"}, "no text"),
    ],
)
def test_texts_in_parts_are_joined_and_pictures_refused(tmp_path: Path, content: object, taken: str) -> None:
    found = read(tmp_path, [{"messages": [{"role": "user", "content": content}]}])[0]
    assert found.prompt[0].content == taken if isinstance(found, Draft) else taken in found


def test_sharegpt_calls_and_observations_are_tool_turns(tmp_path: Path) -> None:
    turns = said(
        "human: h",
        'function_call: {"name": "look", "arguments": {"a": 1}}',
        "observation: 3",
        "gpt: g",
        keys="from value",
    )
    found = read(tmp_path, [{"conversations": turns, "system": "s", "tools": "[]"}], "chat")[0]
    assert isinstance(found, Draft) and [turn.role for turn in found.prompt] == ["system", "user", "assistant", "tool"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "chosen": "good", "rejected": "bad"},
        {"prompt": said("user: p"), "chosen": said("assistant: good"), "rejected": said("assistant: bad")},
        {"chosen": said("user: p", "assistant: good"), "rejected": said("user: p", "assistant: bad")},
        {"chosen": "\n\nHuman: p\n\nAssistant: good", "rejected": "\n\nHuman: p\n\nAssistant: bad"},
        {"conversations": said("human: p", keys="from value"), "chosen": {"from": "gpt", "value": "good"},
         "rejected": {"from": "gpt", "value": "bad"}},
        {"input": {"messages": said("user: p")}, "preferred_output": said("assistant: good"),
         "non_preferred_output": said("assistant: bad")},
    ],
)  # fmt: skip
def test_preferences_come_in_many_forms(tmp_path: Path, row: Values) -> None:
    draft = read(tmp_path, [row], "preference")[0]
    assert isinstance(draft, Draft) and draft.prompt[-1].content == "p"
    assert draft.payload["a" if draft.response == "A" else "b"] == "good"
    assert [short(draft) for draft in read(tmp_path, [row], "instruction")] == [(["p"], "good")]


def result(kind: str, value: Values) -> Values:
    return {
        "data": {"text": "t", "answer1": "x", "answer2": "y"},
        "annotations": [{"result": [{"from_name": "c", "type": kind, "value": value}]}],
    }


@pytest.mark.parametrize(
    ("task", "row", "response"),
    [
        ("instruction", result("textarea", {"text": ["one", "two"]}), "one\ntwo"),
        ("rating", result("rating", {"rating": 4}), "4"),
        ("multi-label", result("choices", {"choices": ["x", "y"]}), "x\ny"),
        ("classification", result("taxonomy", {"taxonomy": [["a", "b"]]}), "b"),
        ("preference", result("pairwise", {"selected": "right"}), "B"),
    ],
)
def test_label_studio_results_answer_their_tasks(tmp_path: Path, task: str, row: Values, response: str) -> None:
    draft = read(tmp_path, [row], task)[0]
    assert isinstance(draft, Draft) and draft.response == response and draft.prompt[0].content == "t"


def test_label_studio_takes_the_first_completed_annotation_and_says_so(tmp_path: Path) -> None:
    cancelled: Values = {"was_cancelled": True, "result": [{**RESULT, "value": {"choices": ["bad"]}}]}
    other = {"result": [{**RESULT, "value": {"choices": ["fine"]}}]}
    rows = [{**STUDIO, "annotations": [cancelled, *STUDIO["annotations"], other]}, {**STUDIO, "annotations": []}]
    table = open_rows(write(tmp_path, rows))
    shape, _ = shape_for(table, "auto", None, "classification")
    found = [unfold(shape, row.values)["output"] for row in table.rows() if isinstance(row, Row)]
    assert found == ["good", None] and any("several annotations" in note for note in table.notes)


@pytest.mark.parametrize(
    "row",
    [
        {**STUDIO, "annotations": [{"result": [{"from_name": "c", "type": "labels", "value": SPAN}]}]},
        {**DOCCANO, "label": [[0, 1, "P"]]},
        {"id": 1, "text": "t", "entities": [{"label": "P", "start_offset": 0, "end_offset": 1}], "relations": []},
        {**OLD_ARGILLA, "tokens": ["t"], "annotation": [{"label": "P", "start": 0, "end": 1}]},
        {**RECORD, "responses": {"spans": [{"value": [{"label": "P", "start": 0, "end": 1}]}]}},
    ],
)  # fmt: skip
def test_spans_are_rejected_with_the_reason(tmp_path: Path, row: Values) -> None:
    assert "marks spans" in str(read(tmp_path, [row], "classification")[0])


def test_an_argilla_ranking_of_two_is_a_preference(tmp_path: Path) -> None:
    ranking = [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2}]
    fields = {"prompt": "p", "response-1": "x", "response-2": "y"}
    tie = [{**item, "rank": 1} for item in ranking]
    rows = [{"fields": fields, "responses": {"best": [{"value": value}]}} for value in (ranking, tie)]
    drafts = read(tmp_path, rows, "preference")
    assert [isinstance(draft, Draft) and draft.response for draft in drafts] == ["B", "tie"]


def test_discarded_and_draft_responses_of_argilla_are_no_answers(tmp_path: Path) -> None:
    draft = {"fields": {"text": "t"}, "responses": {"mood": [{"value": "good", "status": "draft"}]}}
    found = read(tmp_path, [RECORD, draft, {**RECORD, "status": "discarded"}], "classification")
    assert [short(one) for one in found] == [(["t"], "good"), (["t"], None), "it was discarded in Argilla"]


def test_several_labels_are_too_many_for_a_project_of_one(tmp_path: Path) -> None:
    row = {**DOCCANO, "label": ["x", "y"]}
    assert "2 labels" in str(read(tmp_path, [row], "classification")[0])
    assert short(read(tmp_path, [row], "multi-label")[0]) == (["t"], "x\ny")


def test_a_named_shape_wins_and_one_that_does_not_fit_says_what_it_needs(tmp_path: Path) -> None:
    table = open_rows(write(tmp_path, [{"text": "t", "label": "x", "instruction": "i", "output": "o"}]))
    assert shape_for(table, "text-label", None, "classification")[1].input == "text"
    assert shape_for(table, "Alpaca", None, "instruction")[1].input == "instruction"
    for shape in (name for name in SHAPES if name not in ("auto", "columns", "alpaca", "text-label", "doccano")):
        with pytest.raises(BadInput, match="it needs"):
            shape_for(table, shape, None, "instruction")
    with pytest.raises(BadInput, match="no shape"):
        find_shape("xml")


def test_columns_inside_of_objects_can_be_named(tmp_path: Path) -> None:
    row = {"q": {"text": "t", "who": {"id": 7.0}}, "a": "x"}
    table = open_rows(write(tmp_path, [row]))
    assert nested_columns(table) == ("q", "a", "q.text", "q.who", "q.who.id")
    _, columns = shape_for(table, "auto", Columns("q.text", "a", group="q.who.id"), "instruction")
    draft = to_draft(row, columns)
    assert (draft.prompt[0].content, draft.group) == ("t", "7")


@pytest.mark.parametrize("group", ["x" * 201, "a\0b", "\ud800"])
def test_a_group_is_a_short_name(group: str) -> None:
    with pytest.raises(Unusable, match="group"):
        to_draft({"q": "x", "g": group}, Columns("q", group="g"))
