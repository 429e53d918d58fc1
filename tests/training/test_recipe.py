"""Whole runs on a tiny model: what they write, and what they say about bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from studio.contract.events import read_all
from studio.models.hashes import adapter_hash, file_hash
from tests import tiny


def data_of(events, kind):
    return [dict(event.data) for event in events if event.kind == kind]


def test_a_run_lowers_the_held_out_loss_and_leaves_only_safetensors(place, train):
    run = place.run(learning_rate=5e-3)
    code, events = train(run)
    done = data_of(events, "done")[0]
    assert (code, done["state"], done["held_out"], done["rows"], done["steps"]) == (0, "done", "test", 40, 20)
    assert done["tuned_loss"] < done["base_loss"]
    assert sorted(path.name for path in (run / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert done["adapter_hash"] == adapter_hash(run / "adapter")
    assert done["base_hash"] == file_hash([place.base / "model.safetensors"])


def test_events_tell_the_whole_story_in_order(place, train):
    _, events = train(place.run(evaluations=2, samples=3))
    assert [state["state"] for state in data_of(events, "state")] == [
        "starting", "loading", "training", "evaluating", "sampling",
    ]  # fmt: skip
    assert {"pid", "device_name", "versions"} <= set(data_of(events, "state")[1])
    assert [metric["step"] for metric in data_of(events, "metric") if metric["name"] == "validation_loss"] == [
        0,
        10,
        20,
    ]
    steps = data_of(events, "step")
    assert steps[-1]["step"] == 20 and steps[-1]["tokens"] == data_of(events, "done")[0]["tokens"]
    assert len(data_of(events, "sample")) == 3 and events[-1].kind == "done"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


def test_the_same_seed_gives_the_same_adapter_and_another_seed_does_not(place, train):
    runs = [place.run("a", seed=1), place.run("b", seed=1), place.run("c", seed=2)]
    hashes = [data_of(train(run)[1], "done")[0]["adapter_hash"] for run in runs]
    assert hashes[0] == hashes[1] != hashes[2]


def test_accumulation_gives_the_same_first_step_as_one_large_batch(place, train):
    losses = []
    for name, batch, accumulated in (("a", 8, 1), ("b", 40, 1), ("c", 8, 5)):
        run = place.run(name, batch_size=batch, gradient_accumulation=accumulated, max_steps=1, samples=0)
        losses.append(data_of(train(run)[1], "step")[0]["loss"])
    assert losses[1] == pytest.approx(losses[2], rel=1e-5) and losses[0] != pytest.approx(losses[1], rel=1e-5)


def test_max_steps_goes_round_the_rows_as_often_as_it_takes(place, train):
    _, events = train(place.run(max_steps=25))
    assert data_of(events, "step")[-1]["epoch"] == 2.5


def test_gpt2_without_a_chat_template_trains(place, train, tmp_path):
    base = tiny.make_model(tmp_path / "gpt2", "gpt2", template=None)
    code, events = train(place.run(base_model=base, learning_rate=5e-3))
    done = data_of(events, "done")[0]
    assert code == 0 and done["tuned_loss"] < done["base_loss"]
    assert load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")


def test_no_validation_rows_means_no_curve_and_a_warning(place, train, tmp_path):
    snapshot = tiny.make_snapshot(tmp_path / "s", tiny.pairs(8), [], tiny.pairs(2, 50))
    code, events = train(place.run(snapshot=snapshot))
    assert code == 0 and "no usable validation rows" in data_of(events, "warning")[0]["message"]
    assert {metric["name"] for metric in data_of(events, "metric")} == {"base_loss", "tuned_loss"}


def test_no_held_out_rows_at_all_still_leaves_an_adapter(place, train, tmp_path):
    code, events = train(place.run(snapshot=tiny.make_snapshot(tmp_path / "s", tiny.pairs(8))))
    done = data_of(events, "done")[0]
    assert code == 0 and done["base_loss"] is None and done["held_out"] is None
    assert len(data_of(events, "warning")) == 2 and (tmp_path / "run" / "adapter").is_dir()


def test_rows_that_do_not_fit_are_left_out_and_named(place, train, tmp_path):
    rows = [*tiny.pairs(6), ("Why?", "Because. " * 80)]
    code, events = train(place.run(snapshot=tiny.make_snapshot(tmp_path / "s", rows, tiny.pairs(2)), max_length=120))
    warning = data_of(events, "warning")[0]
    assert code == 0 and (warning["split"], warning["count"], warning["rows"]) == ("train", 1, [7])
    assert "max_length=120" in warning["message"] and data_of(events, "done")[0]["skipped"] == 1


def test_a_run_with_no_row_left_fails_with_one_sentence(place, train):
    code, events = train(place.run(max_length=8))
    error = data_of(events, "error")[0]
    assert code == 1 and "raise max_length" in error["message"] and error["kind"] == "BadFile"
    assert data_of(events, "done")[0]["state"] == "failed"


@pytest.mark.parametrize("content", [None, b"", b"PAR1 this is no parquet"])
def test_a_missing_or_damaged_split_is_one_sentence(place, train, content):
    path = place.snapshot / "train.parquet"
    path.unlink() if content is None else path.write_bytes(content)
    code, events = train(place.run())
    message = data_of(events, "error")[0]["message"]
    assert code == 1 and "snapshot" in message and "Traceback" not in message


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_saved(place, train):
    run = place.run(base_model=poison(place.base, place.root / "poisoned"), checkpoints=20)
    code, events = train(run)
    assert code == 1 and "lower learning_rate" in data_of(events, "error")[0]["message"]
    assert not list((run / "checkpoints").glob("checkpoint-*"))


def poison(base: Path, folder: Path) -> Path:
    """A copy of the model with one infinite weight."""
    from safetensors.torch import save_file

    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = float("inf")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_spec_out_of_its_limits_fails_before_any_loading(place, train):
    code, events = train(place.run(epochs=-1))
    assert code == 1 and "'epochs'" in data_of(events, "error")[0]["message"]
    assert [state["state"] for state in data_of(events, "state")] == ["starting"]


def test_a_run_that_is_done_says_so_and_changes_nothing(place, train):
    run = place.run()
    train(run)
    before = (run / "events.jsonl").read_bytes()
    again = subprocess.run(
        [sys.executable, "-m", "studio.training", str(run)], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0 and "already done" in again.stdout
    assert (run / "events.jsonl").read_bytes() == before


def test_a_second_trainer_is_kept_out_of_the_folder(place, capsys):
    from filelock import FileLock

    from studio.training.ending import run_to_end

    run = place.run()
    with FileLock(str(run / ".training.lock")):
        assert run_to_end(run) == 1
    assert "Another process is training" in capsys.readouterr().err
    assert not (run / "events.jsonl").exists()


def test_an_unexpected_error_is_a_sentence_for_people_and_a_traceback_for_the_log(place, train, monkeypatch, capsys):
    monkeypatch.setattr("studio.training.recipe.attach", lambda *_: {}["nothing"])
    code, events = train(place.run())
    message = data_of(events, "error")[0]["message"]
    assert code == 1 and "KeyError" in message and "\n" not in message
    assert "Traceback" in capsys.readouterr().err


def test_the_adapter_names_the_base_model_and_no_class_of_ours(place, train):
    run = place.run()
    train(run)
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(place.base) and config["peft_type"] == "LORA"


def test_a_run_whose_folder_was_removed_ends(place, train, monkeypatch, capsys):
    from studio.training.report import Report

    run, metric = place.run(max_steps=2000, checkpoints=0), Report.metric
    monkeypatch.setattr(Report, "metric", lambda *given: (metric(*given), shutil.rmtree(run, ignore_errors=True)))
    assert train(run)[0] == 1
    assert "folder was removed" in capsys.readouterr().err and not run.exists()


def test_samples_that_fail_are_a_warning_and_the_run_is_done(place, train, monkeypatch):
    monkeypatch.setattr("studio.training.recipe.report_samples", lambda *_: {}["nothing"])
    code, events = train(place.run())
    assert code == 0 and data_of(events, "done")[0]["state"] == "done"
    assert "samples could not be generated (KeyError" in data_of(events, "warning")[0]["message"]


def test_samples_longer_than_the_context_end_with_it(place, train, tmp_path):
    base = tiny.make_model(tmp_path / "gpt2", "gpt2", template=None, positions=64)
    snapshot = tiny.make_snapshot(tmp_path / "s", [("Why?", "So.")] * 8, [], [("Where is Monday?", "There.")] * 2)
    code, events = train(place.run(base_model=base, snapshot=snapshot, sample_tokens=128))
    assert code == 0 and not data_of(events, "warning")[1:] and len(data_of(events, "sample")) == 2


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
)
def test_too_little_memory_says_what_to_lower(place, train, monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr("studio.training.trainer.AnswerTrainer.compute_loss", fail)
    code, events = train(place.run())
    assert code == 1 and "lower max_length" in data_of(events, "error")[0]["message"]


def test_what_fails_behind_the_steps_leaves_the_adapter_and_its_name(place, train, monkeypatch):
    monkeypatch.setattr("studio.training.recipe._held_out_losses", lambda *_: {}["nothing"])
    run = place.run()
    code, events = train(run)
    assert code == 1 and data_of(events, "done")[0]["adapter_hash"] == adapter_hash(run / "adapter")


def test_step_events_get_rare_once_there_are_many(place, monkeypatch):
    from studio.training import report as reports
    from studio.training.stop import Stop

    clock = iter(range(10_000))
    monkeypatch.setattr(reports.time, "monotonic", lambda: next(clock) * 0.25)
    run = place.run()
    report = reports.Report(run, Stop())
    for step in range(1, 502):
        report.step(last=step == 501, step=step)
    report.close()
    steps = [event["step"] for event in data_of(read_all(run), "step")]
    assert steps[:300] == list(range(1, 301)) and steps[300:302] == [304, 308] and steps[-2:] == [500, 501]


def test_its_threads_wait_without_spinning_unless_told_otherwise(place, monkeypatch):
    from studio.training import __main__ as process

    monkeypatch.setattr(process, "run_to_end", lambda run_dir: 0)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert process.main([str(place.run())]) == 0 and os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert process.main([str(place.run())]) == 0 and os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
