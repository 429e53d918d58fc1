"""Prompts of a file: the column that is meant, and refusals that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.data.prompt_files import read_prompts
from studio.errors import BadFile


def written(folder: Path, text: str, name: str = "prompts.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("column", ["prompt", "question", "text"])
def test_the_column_is_found(tmp_path: Path, column: str) -> None:
    assert read_prompts(written(tmp_path, f"id,{column}\n1,Where?\n2,=1+1\n"), 10) == ["Where?", "=1+1"]


def test_prompt_is_taken_before_others(tmp_path: Path) -> None:
    assert read_prompts(written(tmp_path, '{"text": "no", "prompt": "yes"}\n', "prompts.jsonl"), 10) == ["yes"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "no column 'prompt'; there are: a, b"), ("prompt,x\nhi,1\n ,2\n", "Line 3 .* empty prompt")],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadFile, match=said):
        read_prompts(written(tmp_path, text), 10)


def test_too_many_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="more than 2 prompts"):
        read_prompts(written(tmp_path, "prompt\na\nb\nc\n"), 2)
