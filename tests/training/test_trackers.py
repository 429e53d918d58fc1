"""A run's figures in TensorBoard files, always, and in other trackers where they are asked for."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from studio.contract.spec import TrainSpec
from studio.contract.trackers import TRACKERS, tracker_names
from studio.errors import BadSpec
from studio.training import trackers
from studio.training.tensorboard import ScalarWriter
from studio.training.trackers import figures_of, open_trackers

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

SPEC = TrainSpec(snapshot="/somewhere/0123", models="/m")


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads."""
    reader = accumulator.EventAccumulator(str(folder))
    reader.Reload()
    return {name: [(one.step, one.value) for one in reader.Scalars(name)] for name in reader.Tags()["scalars"]}


def test_tensorboard_reads_what_is_written(tmp_path):
    writer = ScalarWriter(tmp_path / "t")
    for step in (1, 2, 300, 70_000):
        writer.add({"train/loss": 1 / step, "größe": -step}, step)
    assert scalars(tmp_path / "t")["train/loss"] == [(step, pytest.approx(1 / step)) for step in (1, 2, 300, 70_000)]
    assert scalars(tmp_path / "t")["größe"][-1] == (70_000, -70_000.0)  # whole before it is closed
    writer.close()


def test_a_run_that_goes_on_takes_the_place_of_the_steps_that_it_does_again(tmp_path):
    first = ScalarWriter(tmp_path)
    for step in range(1, 6):
        first.add({"loss": 1.0}, step)
    second = ScalarWriter(tmp_path, step=3)
    for step in range(4, 7):
        second.add({"loss": 2.0}, step)
    assert scalars(tmp_path)["loss"] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0), (6, 2.0)]


def test_a_whole_run_leaves_its_curves(place, train):
    run = place.run(max_steps=3, samples=0, evaluations=1)
    _, events = train(run)
    found = scalars(run / "tensorboard")
    assert {"train/loss", "train/learning_rate", "validation_loss", "tuned_loss"} <= set(found)
    told = [(event.data["step"], event.data["loss"]) for event in events if event.kind == "step"]
    assert found["train/loss"] == [(step, pytest.approx(loss)) for step, loss in told]


def test_only_numbers_are_figures():
    step = {"step": 3, "loss": float("nan"), "learning_rate": 0.1, "grad_norm": None, "epoch": True}
    assert figures_of("step", step) == {"train/learning_rate": 0.1}
    assert figures_of("metric", {"name": "tuned_loss", "value": 1.5, "step": 3}) == {"tuned_loss": 1.5}
    assert figures_of("warning", {"message": "x"}) == {}


def test_unknown_and_missing_trackers_are_refused_before_any_work(place, train, monkeypatch):
    monkeypatch.setattr("studio.contract.trackers.find_spec", lambda name: None)
    for text, told in (("wandb", "pip install wandb"), ("mlflow, nonsense", "is not installed|no tracker")):
        with pytest.raises(BadSpec, match=told):
            tracker_names(text)
    _, events = train(place.run(trackers="wandb"))
    assert events[-1].data["state"] == "failed" and not any(event.data.get("state") == "loading" for event in events)


@pytest.fixture
def fakes(monkeypatch):
    """Modules in the place of wandb, mlflow and trackio that note what is said to them."""
    said: list[tuple] = []

    def note(name):
        return lambda *args, **kwargs: said.append((name, args, kwargs))

    run = SimpleNamespace(log=note("wandb.log"), finish=note("wandb.finish"))
    modules = {
        "wandb": SimpleNamespace(init=lambda **k: said.append(("wandb.init", (), k)) or run, Settings=dict),
        "mlflow": SimpleNamespace(
            start_run=lambda **k: (
                said.append(("mlflow.start", (), k)) or SimpleNamespace(info=SimpleNamespace(run_id="7"))
            ),
            **{
                n: note(f"mlflow.{n}")
                for n in (
                    "set_tracking_uri",
                    "create_experiment",
                    "get_experiment_by_name",
                    "set_experiment",
                    "log_params",
                    "log_metrics",
                    "end_run",
                )
            },
        ),
        "trackio": SimpleNamespace(**{name: note(f"trackio.{name}") for name in ("init", "log", "finish")}),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("studio.contract.trackers.find_spec", lambda name: True)
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "TRACKIO_DIR", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "x")  # so that what the opener sets is taken back afterwards
        monkeypatch.delenv(name)
    return said


def test_every_tracker_gets_settings_figures_and_an_end_and_stays_on_this_machine(tmp_path, fakes, monkeypatch):
    import os

    opened = open_trackers(tmp_path, SPEC.model_copy(update={"trackers": ",".join(TRACKERS)}), 0, pytest.fail)
    opened("step", {"step": 2, "loss": 1.5})
    opened.close()
    assert os.environ["WANDB_MODE"] == "offline" and os.environ["TRACKIO_DIR"].startswith(str(tmp_path))
    said = {name: (args, kwargs) for name, args, kwargs in fakes}
    assert said["mlflow.set_tracking_uri"][0][0].startswith(f"sqlite:///{tmp_path}")
    assert said["wandb.init"][1]["config"]["snapshot"] == "0123" and "models" not in said["wandb.init"][1]["config"]
    for name in ("wandb.log", "mlflow.log_metrics", "trackio.log"):
        assert said[name] == (({"train/loss": 1.5},), {"step": 2})
    assert {"wandb.finish", "mlflow.end_run", "trackio.finish"} <= set(said)


def test_the_user_s_own_environment_comes_first(tmp_path, fakes, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking")
    open_trackers(tmp_path, SPEC.model_copy(update={"trackers": "wandb, mlflow"}), 0, pytest.fail).close()
    import os

    assert os.environ["WANDB_MODE"] == "online" and not [
        name for name, *_ in fakes if name == "mlflow.set_tracking_uri"
    ]


def test_a_tracker_that_fails_is_given_up_and_the_run_goes_on(tmp_path):
    told, seen = [], []

    def broken(values, step):
        raise RuntimeError("no route\nto host")

    made = [
        trackers.Tracker("W&B", broken, lambda: None),
        trackers.Tracker("B", lambda v, s: seen.append(s), lambda: None),
    ]
    opened = trackers.Trackers(made, told.append)
    for step in (1, 2):
        opened("step", {"step": step, "loss": 1.0})
    assert told == ["W&B takes no more figures of this run (no route); the run goes on."] and seen == [1, 2]
