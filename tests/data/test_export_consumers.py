"""Exports in the hands of those they are made for: `datasets`, TRL's trainers, pandas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from storage.database import Database
from storage.projects import create_project
from storage.records import Project
from studio.data.exporting import export_project, export_snapshot
from studio.data.importing import import_file
from studio.data.safecells import plain_values, safe_cell
from studio.data.snapshots import freeze
from studio.settings import Workspace
from tests import tiny
from tests.data.test_export_identity import SOURCES, TEXTS, choices, labeled, say, tooled

datasets = pytest.importorskip("datasets")


def fill(db: Database, folder: Path, task: str, rows: list[dict[str, Any]]) -> Project:
    project = create_project(db, f"P {task}", task, "You help.")
    path = folder / f"{task}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report = import_file(db, project.id, path)
    assert (report.labeled, report.rejected_count) == (len(rows), 0)
    return project


def load(path: Path, folder: Path) -> Any:
    """The one split of a file, as `datasets` reads it."""
    builder = {".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}[path.suffix]
    found = datasets.load_dataset(builder, data_files=str(path), cache_dir=str(folder / "cache"), split="train")
    return list(found)


@pytest.mark.parametrize("source", ["texts", "chats", "flags", "chat tools", "several labels", "choices"])
@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_datasets_loads_messages(db: Database, tmp_path: Path, source: str, kind: str) -> None:
    task, rows = SOURCES[source]
    project = fill(db, tmp_path, task, rows)
    written = export_project(db, project.id, tmp_path / f"out{kind}")
    found = load(tmp_path / f"out{kind}", tmp_path)
    assert len(found) == written.rows == len(rows)
    turns = found[0]["prompt" if task == "preference" else "messages"]
    assert turns[0]["content"].startswith(("You help.", "own", "look")) and turns[-1]["content"] is not None
    if task == "multi-label":
        assert found[0]["labels"] == ["refund"]


@pytest.mark.parametrize("shape", ["openai", "alpaca", "sharegpt"])
def test_datasets_loads_the_other_shapes(db: Database, tmp_path: Path, shape: str) -> None:
    project = fill(db, tmp_path, *SOURCES["contexts"])
    kinds = [".jsonl"] if shape == "openai" else [".jsonl", ".parquet", ".csv"]
    found = []
    for kind in kinds:
        export_project(db, project.id, tmp_path / f"out{kind}", shape)
        found.append(load(tmp_path / f"out{kind}", tmp_path))
    assert len({len(rows) for rows in found}) == 1
    keys = {"openai": {"messages"}, "alpaca": {"instruction", "input", "output", "system"}}
    keys["sharegpt"] = {"conversations", "context"}
    assert set(found[0][0]) == keys[shape]
    if shape != "openai":
        assert set(found[2][0]) == keys[shape] | {"made_safe"} and found[1] == found[0]


def test_openai_rows_are_what_its_fine_tuning_documents(db: Database, tmp_path: Path) -> None:
    project = fill(db, tmp_path, "chat", [*SOURCES["flags"][1][:1], *tooled()])
    export_project(db, project.id, tmp_path / "out.jsonl", "openai")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [turn.get("weight") for turn in rows[0]["messages"]] == [None, None, 1, None, 1]
    assert [set(row) for row in rows] == [{"messages"}, {"messages", "tools"}, {"messages", "tools"}]
    called = next(turn for turn in rows[1]["messages"] if "tool_calls" in turn)
    assert "content" not in called and isinstance(called["tool_calls"][0]["function"]["arguments"], str)
    assert [turn["role"] for turn in rows[1]["messages"]] == ["system", "user", "assistant", "tool", "assistant"]


def test_openai_preferences_are_what_its_fine_tuning_documents(db: Database, tmp_path: Path) -> None:
    project = fill(db, tmp_path, "preference", choices())
    report = export_project(db, project.id, tmp_path / "out.jsonl", "openai")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert set(rows[0]) == {"input", "preferred_output", "non_preferred_output"}
    assert rows[0]["preferred_output"] == [say("assistant", "a plain")]
    assert rows[0]["input"]["messages"] == [say("system", "You help."), say("user", "0 plain")]
    assert report.left_out == {"a tie prefers neither answer": 9} and len(rows) == report.rows == len(choices()) - 9


def test_load_from_disk_opens_the_folder(db: Database, workspace: Workspace, tmp_path: Path) -> None:
    project = fill(db, tmp_path, *SOURCES["chats"])
    export_project(db, project.id, tmp_path / "whole")
    whole = datasets.load_from_disk(str(tmp_path / "whole"))
    assert whole.num_rows == 54 and whole[0]["messages"][-1] == say("assistant", "a")
    frozen = freeze(db, workspace, project.id, 0.2, 0.2).snapshot
    export_snapshot(workspace, frozen.id, tmp_path / "splits")
    splits = datasets.load_from_disk(str(tmp_path / "splits"))
    assert dict(splits.num_rows) == {"train": frozen.train_rows, "validation": frozen.validation_rows, "test": 11}
    again = tmp_path / "again"
    splits.save_to_disk(str(again))  # its own way to write it agrees with ours
    assert list(datasets.load_from_disk(str(again))["test"]) == list(splits["test"])


def test_pandas_reads_the_csv(db: Database, tmp_path: Path) -> None:
    project = fill(db, tmp_path, "instruction", [{"input": f"{n}: q", "output": text} for n, text in enumerate(TEXTS)])
    export_project(db, project.id, tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False, lineterminator=None)
    assert list(found.columns) == ["input", "output", "system", "made_safe"] and len(found) == len(TEXTS)
    rows = found.to_dict("records")
    assert [plain_values(row)["output"] for row in rows] == TEXTS
    plain = [text for row, text in zip(rows, TEXTS, strict=True) if row["output"] == text]
    assert len(plain) == len(TEXTS) - sum(safe_cell(text) != text for text in TEXTS)  # line ends and all
    assert not found["output"].str.match(r"[=+\-@\t\r]").any()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_trl_prepares_our_messages(db: Database, tmp_path: Path, model: Path, kind: str) -> None:
    asked = [say("user", "Where is my order?"), say("assistant", "It left on Monday.")]
    rows = [{"messages": asked, "context": ""}, *SOURCES["talks"][1][:2]]
    project = fill(db, tmp_path, "instruction", rows)
    export_project(db, project.id, tmp_path / f"out{kind}")
    prepared = sft(model, tmp_path, tmp_path / f"out{kind}")
    text = tiny.make_tokenizer().decode(prepared[0]["input_ids"])
    before = "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nWhere is my order?<|im_end|>\n"
    assert text.rstrip("\n") == f"{before}<|im_start|>assistant\nIt left on Monday.<|im_end|>"
    assert len(prepared) == 3


def test_trl_prepares_a_snapshot_from_its_folder(
    db: Database, workspace: Workspace, tmp_path: Path, model: Path
) -> None:
    project = fill(db, tmp_path, "instruction", [{"input": q, "output": a} for q, a in tiny.pairs(12)])
    frozen = freeze(db, workspace, project.id, 0.2, 0.2).snapshot
    export_snapshot(workspace, frozen.id, tmp_path / "folder")
    rows = datasets.load_from_disk(str(tmp_path / "folder"))["train"]
    assert len(sft(model, tmp_path, rows)) == frozen.train_rows


def test_trl_prepares_our_preferences(db: Database, tmp_path: Path, model: Path) -> None:
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    asked = [say("user", "one"), say("assistant", "two"), say("user", "three")]
    rows = [{"prompt": "Where?", "a": "Left.", "b": "Right.", "choice": "B"}]
    project = fill(db, tmp_path, "preference", [*rows, {"prompt": asked, "a": "x", "b": "y", "choice": "A"}])
    for kind in (".jsonl", ".parquet"):
        export_project(db, project.id, tmp_path / f"out{kind}", "preference")
        config = DPOConfig(output_dir=str(tmp_path), report_to=[], use_cpu=True, per_device_train_batch_size=2)
        base, tokenizer = AutoModelForCausalLM.from_pretrained(model), tiny.make_tokenizer()
        trainer = DPOTrainer(base, args=config, train_dataset=dataset(tmp_path, kind), processing_class=tokenizer)
        first = {name: tokenizer.decode(ids) for name, ids in trainer.train_dataset[0].items() if name.endswith("_ids")}
        assert first["prompt_ids"].endswith("<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n")
        assert first["chosen_ids"].startswith("Right.<|im_end|>")
        assert first["rejected_ids"].startswith("Left.<|im_end|>")
        assert len(trainer.train_dataset) == 2


def dataset(folder: Path, kind: str) -> Any:
    builder = {".jsonl": "json", ".parquet": "parquet"}[kind]
    path = str(folder / f"out{kind}")
    return datasets.load_dataset(builder, data_files=path, cache_dir=str(folder / "cache"), split="train")


def sft(model: Path, folder: Path, source: Any) -> Any:
    """TRL's own preparation of a file or a Dataset: the rows it would train on."""
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    rows = dataset(folder, source.suffix) if isinstance(source, Path) else source
    config = SFTConfig(output_dir=str(folder), report_to=[], use_cpu=True, max_length=None)
    base, tokenizer = AutoModelForCausalLM.from_pretrained(model), tiny.make_tokenizer()
    return SFTTrainer(base, args=config, train_dataset=rows, processing_class=tokenizer).train_dataset


def test_label_rows_load_with_their_labels(db: Database, tmp_path: Path) -> None:
    project = fill(db, tmp_path, "classification", labeled("label", ["007", "true"]))
    export_project(db, project.id, tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    assert set(found["output"]) == {"007", "true"}
