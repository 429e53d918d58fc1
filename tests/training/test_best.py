"""What a run keeps, and when it ends by itself: the best adapter, early, or with the reason why it went wrong."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from studio.contract.events import read_all
from studio.errors import JobFailed
from studio.models.hashes import adapter_hash
from studio.training.best import Best
from studio.training.callbacks import Progress
from tests import tiny
from tests.training.test_recipe import data_of
from tests.training.test_stopping import stop_at


class _Silent:
    """A report that nobody reads."""

    def step(self, **data):
        pass


class _Weights:
    """Stands for a model: what it holds when an adapter is written."""

    def save_pretrained(self, folder, **kwargs):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "adapter_model.safetensors").write_bytes(b"weights")


def overfitting(place, tmp_path):
    """A snapshot whose validation rows contradict what is trained, so that validation gets worse with each step."""
    rows = [(f"Question {number}?", "yes yes yes") for number in range(32)]
    other = [(f"Question {number}?", "no no no no") for number in range(100, 108)]
    return tiny.make_snapshot(tmp_path / "over", rows, other, other)


def test_the_best_adapter_is_kept_by_default_and_the_last_on_demand(place, train, tmp_path):
    snapshot = overfitting(place, tmp_path)
    spec = {"snapshot": snapshot, "learning_rate": 2e-2, "evaluations": 6, "samples": 0}
    done = {}
    for keep in ("best", "last"):
        run = place.run(keep, keep=keep, **spec)
        done[keep] = data_of(train(run)[1], "done")[0]
        assert done[keep]["adapter_hash"] == adapter_hash(run / "adapter")
    curve = {m["step"]: m["value"] for m in data_of(read_all(run), "metric") if m["name"] == "validation_loss"}
    assert done["best"]["best_step"] == min(curve, key=lambda step: (curve[step], step)) < done["last"]["steps"]
    assert done["best"]["tuned_loss"] < done["last"]["tuned_loss"]


def test_a_run_that_gets_no_better_ends_early_and_says_so(place, train, tmp_path):
    snapshot = overfitting(place, tmp_path)
    run = place.run(snapshot=snapshot, learning_rate=2e-2, evaluations=8, patience=2, samples=0)
    _, events = train(run)
    done = data_of(events, "done")[0]
    assert done["state"] == "done" and done["steps"] < 16
    assert any(state.get("message", "").startswith("Ended at step") for state in data_of(events, "state"))


def test_a_run_killed_behind_its_early_end_does_not_train_on(place, train, tmp_path):
    snapshot = overfitting(place, tmp_path)
    run = place.run(snapshot=snapshot, learning_rate=2e-2, evaluations=8, patience=2, samples=0)
    first = data_of(train(run)[1], "done")[0]
    lines = (run / "events.jsonl").read_text().splitlines()
    (run / "events.jsonl").write_text("\n".join(lines[:-1]) + "\n")  # as if killed before `done`
    again = data_of(train(run)[1], "done")[-1]
    assert (again["steps"], again["adapter_hash"]) == (first["steps"], first["adapter_hash"])


def test_passes_behind_the_checkpoint_are_measured_again(tmp_path):
    best = Best(tmp_path, keep=True, patience=0)
    for step, loss in ((0, 3.0), (10, 2.0), (20, 1.0)):
        best.offer(_Weights(), step, loss)
    assert best.step == 20 and [path.name for path in (tmp_path / "best").glob("[0-9]*")] == ["20"]
    resumed = Best(tmp_path, keep=True, patience=0, from_step=15)
    assert resumed.passes == [] and resumed.step is None  # the adapter of step 10 is gone: nothing is promised of it
    assert Best(tmp_path, keep=True, patience=0, from_step=20).step == 20  # its adapter is there


def test_half_written_notes_are_no_notes(tmp_path):
    best = Best(tmp_path, keep=True, patience=0)
    best.offer(_Weights(), 5, 1.0)
    (tmp_path / "best" / "losses.json").write_text("[[5, ")
    assert Best(tmp_path, keep=True, patience=0, from_step=9).step is None


def test_patience_counts_passes_since_the_best_one(tmp_path):
    best = Best(tmp_path, keep=True, patience=2)
    said = []
    for step, loss in ((0, 2.0), (1, 1.0), (2, 1.5), (3, 1.0)):
        best.offer(_Weights(), step, loss)
        said.append(best.exhausted)
    assert said == [False, False, False, True]


@pytest.mark.parametrize(("losses", "ends"), [([3.0, *[9.0] * 9, 4.0, *[9.0] * 9], False), ([3.0, *[6.0] * 10], True)])
def test_a_loss_that_stays_far_above_its_start_ends_the_run_with_the_reason(losses, ends):
    progress = Progress(_Silent(), [0] * 50, 10, 2)
    arguments = SimpleNamespace(learning_rate=0.5, device=torch.device("cpu"))
    taken = 0
    with pytest.raises(JobFailed, match="lower learning_rate") if ends else nullcontext():
        for step, loss in enumerate(losses, 1):
            state = SimpleNamespace(global_step=step, max_steps=49)
            progress.on_log(arguments, state, None, {"loss": loss})
            taken = step
    assert taken == (len(losses) - 1 if ends else len(losses))


@pytest.mark.parametrize("schedule", ["linear", "constant", "polynomial", "inverse-sqrt"])
def test_every_schedule_takes_its_steps(place, train, schedule):
    _, events = train(place.run(schedule=schedule, max_steps=4, samples=0, evaluations=0))
    assert data_of(events, "done")[0]["steps"] == 4


def test_smoothing_and_noise_change_the_training_loss_and_not_the_measured_one(place, train):
    seen = {}
    for name, fields in (("plain", {}), ("smooth", {"label_smoothing": 0.2}), ("noise", {"neftune": 5.0})):
        _, events = train(place.run(name, max_steps=2, samples=0, **fields))
        seen[name] = (data_of(events, "step")[0]["loss"], data_of(events, "done")[0]["base_loss"])
    assert seen["plain"][0] != seen["smooth"][0] and seen["plain"][0] != seen["noise"][0]
    assert len({base for _, base in seen.values()}) == 1


def test_the_adapter_that_is_kept_is_the_one_that_was_measured(place, train, tmp_path):
    run = place.run(snapshot=overfitting(place, tmp_path), learning_rate=2e-2, evaluations=6, samples=0)
    best_step = data_of(train(run)[1], "done")[0]["best_step"]
    kept = load_file(run / "best" / str(best_step) / "adapter_model.safetensors")
    final = load_file(run / "adapter" / "adapter_model.safetensors")
    assert kept.keys() == final.keys() and all(torch.equal(kept[name], final[name]) for name in kept)
    assert json.loads((run / "best" / "losses.json").read_text())


def test_a_stop_before_the_last_pass_is_made_up_for(place, train, tmp_path, monkeypatch):
    run = place.run(snapshot=overfitting(place, tmp_path), learning_rate=2e-2, evaluations=6, samples=0)
    stop_at(monkeypatch, 16)
    first = data_of(train(run)[1], "done")[0]
    assert first["state"] == "stopped" and first["adapter_hash"] == adapter_hash(run / "adapter")
    done = data_of(train(run)[1], "done")[-1]
    curve = {m["step"]: m["value"] for m in data_of(read_all(run), "metric") if m["name"] == "validation_loss"}
    assert 16 in curve and done["best_step"] == min(curve, key=lambda step: (curve[step], step)) < 16
