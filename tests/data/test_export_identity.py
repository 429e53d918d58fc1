"""Import, export, import: the same pairs again, for every shape, file and task, hostile texts too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage.database import Database
from storage.examples import list_pairs
from storage.projects import create_project, get_project
from storage.records import Label, Project, Settings
from studio.data.exporting import export_project
from studio.data.importing import import_file
from studio.data.prompts import to_target

TEXTS = [
    "plain",
    '"quoted", and a comma; a | too',
    "two\nlines",
    "line end\r\nof another system",
    "a lone \r return",
    "=1+1",
    "'=1+1",
    "''-2",
    "+49 30 1234",
    "-5",
    "@name",
    "\ttab first",
    "'apostrophe",
    " spaces around ",
    "é composed, e\u0301 not; 日本語 😀",
    "\u202eright to left \u0645\u0631\u062d\u0628\u0627",
    '{"looks": "like JSON"}',
    '[{"role": "user", "content": "no message"}]',
    "007",
    "1e5",
    "null",
    "NaN",
    "True",
    "<script>alert(1)</script>",
    "a" * 3000,
    "\u2028line separator\u0085next",
    "\\n no line end \\",
]
LABELS = ("refund", "a, b", "x|y; z", "=cmd()", "'-quoted", "007", '["json"]', "[x", "日本", "true")
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": "=1"}'}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


def say(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def pairs_of_texts() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"input": f"{n}{t}", "output": t} for n, t in enumerate(TEXTS)]
    rows += [{"input": t, "output": "answer"} for t in TEXTS]
    return rows


def with_context() -> list[dict[str, Any]]:
    return [{"input": f"q{n}", "output": "a", "context": text} for n, text in enumerate(TEXTS)]


def talks(answer: str = "a") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, text in enumerate(TEXTS):
        turns = [say("user", text), say("assistant", text), say("user", f"{number} more {text}")]
        rows.append({"messages": [say("system", "own " + text), *turns, say("assistant", answer)], "context": ""})
        rows.append({"messages": [*turns, say("assistant", answer)], "context": text if number % 2 else ""})
    return rows


def flagged() -> list[dict[str, Any]]:
    rows = talks()
    for number, row in enumerate(rows):
        answers = [turn for turn in row["messages"] if turn["role"] == "assistant"]
        answers[0]["weight"], answers[1]["weight"] = (1, 0) if number % 2 else (1, 1)
    return rows


def tooled(tools: bool = True) -> list[dict[str, Any]]:
    turns = [say("user", "look"), say("assistant", "", tool_calls=[CALL]), say("tool", "=found", tool_call_id="c1")]
    called = {"messages": [say("user", "look it up"), say("assistant", "", tool_calls=[CALL])]}
    rows: list[dict[str, Any]] = [{"messages": [*turns, say("assistant", "done")]}, called]
    return [{**row, "tools": TOOLS} for row in rows] if tools else rows


def choices() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, text in enumerate(TEXTS):
        asked = {"prompt": f"{number} {text}", "a": f"a {text}", "b": text}
        said = {"choice": ("A", "B", "tie")[number % 3], "margin": None if number % 3 == 2 else 1 + number % 3}
        rows.append({**asked, **said, "reason": text if number % 2 else ""})
    turns = [say("user", "one"), say("assistant", "two"), say("user", "three")]
    rows.append({"prompt": turns, "a": "x", "b": "y", "choice": "B", "context": "C"})
    return rows


def labeled(name: str, values: list[Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"text": f"{n} {t}", name: values[n % len(values)]} for n, t in enumerate(TEXTS)]
    return [*rows, {"text": "with", "context": "=C", name: values[0]}]


SOURCES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "texts": ("instruction", pairs_of_texts()),
    "contexts": ("question-answering", with_context()),
    "talks": ("instruction", talks()),
    "tools": ("instruction", tooled()[:1]),
    "chat": ("chat", [{"input": t, "output": f"{n} {t}"} for n, t in enumerate(TEXTS)]),
    "chats": ("chat", talks()),
    "flags": ("chat", flagged()),
    "chat tools": ("chat", tooled() + tooled(False) + talks()),
    "summaries": ("summarisation", pairs_of_texts()),
    "translations": ("translation", pairs_of_texts()),
    "code": ("code", pairs_of_texts()),
    "labels": ("classification", labeled("label", list(LABELS))),
    "label talks": ("classification", talks("refund")),
    "several labels": ("multi-label", labeled("labels", [[name] for name in LABELS] + [list(LABELS), ["a, b", "007"]])),
    "plain labels": ("multi-label", labeled("labels", [["refund"], ["refund", "=cmd()", "007"], ["日本"]])),
    "ratings": ("rating", labeled("rating", [1, 2, 5])),
    "choices": ("preference", choices()),
}
FILES = [
    *(("messages", kind) for kind in (".jsonl", ".csv", ".parquet", "")),
    *(("openai", kind) for kind in (".jsonl",)),
    *((shape, kind) for shape in ("alpaca", "sharegpt", "preference") for kind in (".jsonl", ".csv", ".parquet", "")),
]
CANNOT: dict[str, set[str]] = {
    "alpaca": {"choices", "talks", "chats", "flags", "tools", "chat tools", "label talks"},
    "sharegpt": {"choices", "flags", "tools"},
    "preference": set(SOURCES) - {"choices"},
    "openai": {"several labels"},  # its one text of several names can be taken apart where no name has a comma
}
"""What a shape can hold nothing of, or (sharegpt, flags) only a part, which is told in test_export_shapes."""

CASES = [(source, shape, kind) for source in SOURCES for shape, kind in FILES if source not in CANNOT.get(shape, set())]


def make(db: Database, name: str, task: str) -> Project:
    known = LABELS if task in ("classification", "multi-label") else ()
    settings = Settings(labels=tuple(Label(label, "#888888") for label in known), ask_margin=True, ask_reason=True)
    return create_project(db, name, task, "You help.", settings=settings)


def content(db: Database, project: Project) -> set[tuple[Any, ...]]:
    pairs = list_pairs(db, project.id)
    found = {(p.prompt, p.context, json.dumps(dict(sorted(p.payload.items()))), p.response, p.value) for p in pairs}
    assert len(found) == len(pairs)
    return found


@pytest.mark.parametrize(("source", "shape", "kind"), CASES)
def test_an_export_comes_back_as_the_same_pairs(
    db: Database, tmp_path: Path, source: str, shape: str, kind: str
) -> None:
    task, rows = SOURCES[source]
    first, again = make(db, "First", task), make(db, "Again", task)
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report = import_file(db, first.id, file)
    assert (report.labeled, report.rejected_count) == (len(rows), 0), report.rejected[:3]
    assert get_project(db, first.id).settings.labels == first.settings.labels
    path = tmp_path / f"out{kind}"
    written = export_project(db, first.id, path, shape)
    assert written.rows + sum(written.left_out.values()) == len(rows)
    report = import_file(db, again.id, path)
    assert (report.labeled, report.rejected_count) == (written.rows, 0), report.rejected[:3]
    look = seen if written.notes else content
    expected, found = look(db, first), look(db, again)
    assert found == expected if not written.left_out else found <= expected
    assert len(found) == written.rows


def seen(db: Database, project: Project) -> set[tuple[Any, ...]]:
    """What a model sees of each pair: it stays the same where a note says what is not kept beside."""
    targets = [to_target(project, pair) for pair in list_pairs(db, project.id)]
    return {(target.messages, target.rejected, target.tools) for target in targets if target}
