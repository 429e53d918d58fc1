"""Going on from what a finished run has left, and a run's own chat template from its first row to its last file."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from studio.models.templates import read_template, write_template
from tests import tiny

SHORT = {"max_steps": 3, "samples": 1, "evaluations": 1, "checkpoints": 0}


def data_of(events, kind):
    return [event.data for event in events if event.kind == kind]


def curve(events, name):
    return {data["step"]: data["value"] for data in data_of(events, "metric") if data["name"] == name}


@pytest.mark.parametrize("method", ["lora", "rslora", "ia3", "vera", "full"])
def test_the_next_run_begins_where_the_finished_one_ended(place, train, method):
    fields = SHORT | {"method": method, "learning_rate": 1e-2, "keep": "last"}
    first = place.run("first", **fields)
    ended = curve(train(first)[1], "validation_loss")
    left = first / ("model" if method == "full" else "adapter")
    # Another rank is of no account: the adapter brings its own.
    second = place.run("second", **fields, start_from=str(left), lora_rank=9)
    _, events = train(second)
    assert events[-1].data["state"] == "done", data_of(events, "error")
    began = curve(events, "validation_loss")
    assert began[0] == pytest.approx(ended[3], rel=1e-5) and began[0] < ended[0]
    assert events[-1].data["base_loss"] == pytest.approx(data_of(train(first)[1], "done")[-1]["base_loss"], rel=1e-5)
    files = [next((run / left.name).glob("*.safetensors")) for run in (first, second)]
    one, other = (load_file(file) for file in files)
    assert one.keys() == other.keys() and any(not torch.equal(one[name], other[name]) for name in one)


def test_a_pissa_run_is_gone_on_from_by_lora(place, train):
    first = place.run("first", **SHORT, method="pissa", learning_rate=1e-2, keep="last")
    ended = curve(train(first)[1], "validation_loss")
    _, events = train(place.run("second", **SHORT, method="lora", start_from=str(first / "adapter")))
    assert curve(events, "validation_loss")[0] == pytest.approx(ended[3], rel=1e-4)


def test_what_another_method_or_model_left_is_refused_in_a_sentence(place, train, tmp_path):
    first = place.run("first", **SHORT)
    train(first)
    _, events = train(place.run("second", **SHORT, method="ia3", start_from=str(first / "adapter")))
    assert data_of(events, "error")[0]["kind"] == "BadSpec"
    other = tiny.make_model(tmp_path / "gpt2", "gpt2")
    _, events = train(place.run("third", **SHORT, base_model=other, start_from=str(first / "adapter")))
    assert data_of(events, "error")[0]["kind"] == "BadModel"


def test_a_template_of_the_user_s_is_trained_with_and_kept_beside_the_adapter(place, train):
    plain, own = place.run("plain", **SHORT), place.run("own", **SHORT, chat_template=tiny.LLAMA3)
    losses = [curve(train(run)[1], "validation_loss")[0] for run in (plain, own)]
    assert losses[0] != losses[1]
    assert read_template(own / "adapter") == tiny.LLAMA3 and read_template(plain / "adapter") == ""


def test_a_whole_model_brings_the_template_as_its_own(place, train):
    run = place.run(**SHORT, method="full", chat_template=tiny.LLAMA3)
    train(run)
    assert read_template(run / "model") == tiny.LLAMA3


def test_a_broken_template_ends_the_run_with_its_line(place, train):
    _, events = train(place.run(**SHORT, chat_template="{% for m in messages %}\n{{ m['content'] }"))
    told = data_of(events, "error")[0]
    assert told["kind"] == "BadSpec" and "line 2" in told["message"]


def test_an_empty_template_leaves_no_file(tmp_path):
    write_template(tmp_path, "  \n")
    assert list(tmp_path.iterdir()) == []
