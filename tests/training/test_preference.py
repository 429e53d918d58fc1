"""Preference runs: a planted preference is learnt, by every objective; stopped, resumed and gone on from as any run."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from studio.contract.events import read_all
from studio.contract.spec import TrainSpec
from studio.training import preference
from studio.training.loss import RowLoss
from studio.training.preference import Known, pair_loss
from tests.training.test_stopping import stop_at

WORDS = ["kettle", "order", "water", "Monday", "warehouse", "boils"]


def preferences(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Questions with a short answer, which is the better one, and a long one."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        short = " ".join(draw.choices(WORDS, k=2))
        long = " ".join(draw.choices(WORDS, k=8))
        made.append((f"Where is the {draw.choice(WORDS)} {draw.randrange(100)}?", short, long))
    return made


def make_preferences(folder: Path, sizes=(48, 12, 12)) -> Path:
    """A snapshot of preferences as the data room writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    turn = pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string()), ("train", pa.bool_())])
    for seed, (name, size) in enumerate(zip(("train", "validation", "test"), sizes, strict=True)):
        rows = preferences(size, seed)
        talks = [
            [
                {"role": "user", "content": question, "extra": None, "train": False},
                {"role": "assistant", "content": better, "extra": None, "train": True},
            ]
            for question, better, _ in rows
        ]
        columns = {
            "messages": pa.array(talks, pa.list_(turn)),
            "rejected": pa.array([worse for *_, worse in rows], pa.string()),
            "tools": pa.array([None] * size, pa.string()),
            "example_id": pa.array([f"{name}-{at}" for at in range(size)], pa.string()),
        }
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def liked(tmp_path_factory):
    return make_preferences(tmp_path_factory.mktemp("liked"))


def data_of(events, kind):
    return [event.data for event in events if event.kind == kind]


def curve(events, name):
    return {data["step"]: data["value"] for data in data_of(events, "metric") if data["name"] == name}


QUICK = {"samples": 1, "evaluations": 2, "checkpoints": 1, "epochs": 1}


def test_a_planted_preference_is_learnt_and_its_rewards_are_told(place, train, liked):
    code, events = train(place.run(snapshot=liked, objective="dpo", epochs=4, learning_rate=2e-2, samples=1))
    done = data_of(events, "done")[-1]
    assert code == 0 and done["state"] == "done", data_of(events, "error")
    assert done["held_out_rewards_accuracy"] > 0.8 and done["tuned_loss"] < done["base_loss"] == pytest.approx(
        0.6931, abs=1e-3
    )
    margins, accuracies = curve(events, "rewards_margin"), curve(events, "validation_rewards_accuracy")
    assert margins[max(margins)] > margins[1] + 0.05 and accuracies[max(accuracies)] > 0.8
    assert accuracies[0] <= 0.5 and abs(curve(events, "validation_rewards_margin")[0]) < 1e-4


@pytest.mark.parametrize("objective", ["ipo", "kto"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_other_objectives_and_methods_run_save_and_reload(place, train, liked, objective, method):
    run = place.run(snapshot=liked, objective=objective, method=method, max_steps=3, **(QUICK | {"epochs": 1}))
    code, events = train(run)
    done = data_of(events, "done")[-1]
    assert code == 0 and done["steps"] == 3, data_of(events, "error")
    assert curve(events, "rewards_margin") and "validation_rewards_accuracy" in {
        m["name"] for m in data_of(events, "metric")
    }
    weights = load_file(run / ("adapter/adapter_model.safetensors" if method == "lora" else "model/model.safetensors"))
    assert weights and not any("ref" in name.split(".") for name in weights)
    again = place.run(
        "again", snapshot=liked, objective="sft", start_from=str(run / ("adapter" if method == "lora" else "model"))
    )
    assert again


def test_a_stopped_run_goes_on_to_the_same_adapter(place, train, liked, monkeypatch):
    fields = {"snapshot": liked, "objective": "dpo", "max_steps": 6, **QUICK, "keep": "last"}
    whole = place.run("whole", **fields)
    train(whole)
    halved = place.run("halved", **fields)
    stop_at(monkeypatch, 3)
    assert data_of(train(halved)[1], "done")[-1]["state"] == "stopped"
    monkeypatch.undo()
    assert data_of(train(halved)[1], "done")[-1]["state"] == "done"
    one, other = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (whole, halved))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_reference_is_the_adapter_that_the_run_began_with(place, train, liked):
    first = place.run("first", samples=0, learning_rate=1e-2)
    train(first)
    run = place.run("second", snapshot=liked, objective="dpo", start_from=str(first / "adapter"), **QUICK)
    code, events = train(run)
    assert code == 0, data_of(events, "error")
    # At the start the model is its own reference, though it is far from the base.
    assert abs(curve(events, "validation_rewards_margin")[0]) < 1e-4
    assert abs(data_of(events, "done")[-1]["base_loss"] - 0.6931) > 0.001


def test_the_reference_is_asked_once(place, train, liked, monkeypatch):
    run = place.run(snapshot=liked, objective="dpo", max_steps=4, **QUICK)
    stop_at(monkeypatch, 2)
    train(run)
    monkeypatch.undo()
    monkeypatch.setattr(preference, "_measure", lambda *_: pytest.fail("asked again"))
    assert train(run)[0] == 0
    (run / preference.REFERENCE_FILE).write_bytes(b"half")
    assert preference._read(run / preference.REFERENCE_FILE, "x") is None


def test_objective_and_snapshot_must_fit(place, train, liked):
    refused = data_of(train(place.run("a", snapshot=liked))[1], "error")[0]
    assert refused["kind"] == "BadSpec" and "holds preferences" in refused["message"]
    refused = data_of(train(place.run("b", objective="dpo"))[1], "error")[0]
    assert refused["kind"] == "BadSpec" and "this snapshot has none" in refused["message"]


def test_pairs_that_cannot_be_used_are_counted(place, train, tmp_path):
    folder = make_preferences(tmp_path / "odd")
    table = pq.read_table(folder / "train.parquet")
    worse = table["rejected"].to_pylist()
    worse[0] = table["messages"][0].as_py()[-1]["content"]
    worse[1] = "water " * 500
    table = table.set_column(table.schema.get_field_index("rejected"), "rejected", pa.array(worse, pa.string()))
    pq.write_table(table, folder / "train.parquet")
    _, events = train(place.run(snapshot=folder, objective="dpo", max_steps=1, **QUICK))
    told = " ".join(data["message"] for data in data_of(events, "warning"))
    assert "both answers are the same" in told and "answer cut" in told
    assert data_of(events, "done")[-1]["rows"] == 46


def test_the_losses_of_a_pair_are_the_papers():
    spec = TrainSpec(snapshot="/s", models="/m", objective="dpo", beta=0.5)
    known, better, worse = Known(-10.0, -12.0), RowLoss(8.0, 4), RowLoss(16.0, 8)
    margin = 0.5 * (2.0 - -4.0)
    one = pair_loss(spec, known, better, worse)
    assert one.margin == margin and one.total == pytest.approx(np.log1p(np.exp(-margin)))
    ipo = pair_loss(spec.model_copy(update={"objective": "ipo"}), known, better, worse)
    assert ipo.total == pytest.approx((2.0 / 4 - -4.0 / 8 - 1.0) ** 2)
    kto = pair_loss(spec.model_copy(update={"objective": "kto"}), known, better, worse)
    assert kto.total == pytest.approx((1 / (1 + np.exp(1.0)) + 1 / (1 + np.exp(2.0))) / 2)


@pytest.mark.parametrize("objective", ["dpo", "ipo"])
def test_our_loss_and_rewards_of_pairs_are_trl_s(place, train, tmp_path, objective):
    folder = make_preferences(tmp_path / "same", (8, 8, 2))
    shutil.copy(folder / "train.parquet", folder / "validation.parquet")
    fields = {"max_steps": 2, "evaluations": 2, "batch_size": 8, "learning_rate": 2e-2, "warmup_ratio": 0.0}
    _, events = train(place.run(snapshot=folder, objective=objective, samples=0, **fields))
    # What the second step's forward sees is the model that was measured behind the first.
    measured, told = curve(events, "validation_loss"), {data["step"]: data["loss"] for data in data_of(events, "step")}
    assert told[1] == pytest.approx(measured[0], rel=1e-4) and told[2] == pytest.approx(measured[1], rel=1e-4)
    assert measured[1] < measured[0] - 1e-4
    margins = curve(events, "validation_rewards_margin")
    assert curve(events, "rewards_margin")[2] == pytest.approx(margins[1], rel=1e-3)


def test_a_run_of_preferences_leaves_no_second_adapter_and_no_card(place, train, liked):
    run = place.run(snapshot=liked, objective="kto", max_steps=2, **QUICK)
    train(run)
    left = {path.name for path in run.rglob("*")}
    assert "README.md" not in left and "ref" not in left
    assert read_all(run)[-1].data["state"] == "done"
    shutil.rmtree(run)
