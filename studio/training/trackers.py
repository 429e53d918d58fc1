"""A run's figures where other tools look for them: TensorBoard files always, and the trackers that its spec names.

Nothing leaves this machine unless the user's own environment says so (WANDB_MODE=online, MLFLOW_TRACKING_URI,
TRACKIO_SPACE_ID). A tracker that fails is given up with a warning: the run is worth more than its picture.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.contract.spec import TrainSpec
from studio.contract.trackers import TRACKERS, tracker_names
from studio.training import tensorboard

PROJECT = "sft-studio"

_OF_A_STEP = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "epoch", "memory_bytes")
_OFFLINE = {
    "wandb": {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"},
    "mlflow": {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"},
    "trackio": {},
}
"""What a tracker's environment is where the user's own says nothing."""


@dataclass(frozen=True)
class Tracker:
    """One place for figures: `log` takes values by name and their step."""

    name: str
    log: Callable[[Mapping[str, float], int], object]
    close: Callable[[], object]


class Trackers:
    """Listens to a run's events (see Report.listen) and hands their figures on to every tracker."""

    def __init__(self, trackers: list[Tracker], warn: Callable[[str], object]) -> None:
        self._trackers, self._warn = trackers, warn

    def __call__(self, kind: str, data: Mapping[str, object]) -> None:
        """Take up one event."""
        if values := figures_of(kind, data):
            step = data.get("step")
            self._each(lambda tracker: tracker.log(values, step if isinstance(step, int) else 0))

    def close(self) -> None:
        """End every tracker's run."""
        self._each(lambda tracker: tracker.close())
        self._trackers = []

    def _each(self, act: Callable[[Tracker], object]) -> None:
        for tracker in list(self._trackers):
            try:
                act(tracker)
            except Exception as error:  # foreign code; whatever it is, the run goes on
                self._trackers.remove(tracker)
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                self._warn(f"{tracker.name} takes no more figures of this run ({reason}); the run goes on.")


def open_trackers(run_dir: Path, spec: TrainSpec, step: int, warn: Callable[[str], object]) -> Trackers:
    """The trackers of a run that begins behind `step`. `warn` is told of those that do not start.

    Raises BadSpec for a tracker that is unknown or not installed.
    """
    names = tracker_names(spec.trackers)
    made: list[Tracker] = []
    for name in ("tensorboard", *names):
        try:
            made.append(_OPENERS[name](run_dir, spec, step))
        except Exception as error:  # as above
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            warn(f"{TRACKERS.get(name, 'TensorBoard')} did not start ({reason}); the run goes on without it.")
    return Trackers(made, warn)


def figures_of(kind: str, data: Mapping[str, object]) -> dict[str, float]:
    """The numbers of an event by the names that trackers show: train/loss …, and metrics by their own."""
    if kind == "step":
        found = {f"train/{name}": data.get(name) for name in _OF_A_STEP}
    elif kind == "metric":
        found = {str(data.get("name")): data.get("value")}
    else:
        return {}
    return {name: float(value) for name, value in found.items() if _is_number(value)}  # type: ignore[arg-type]


def settings_of(spec: TrainSpec) -> dict[str, object]:
    """The settings that a tracker shows, without where things lie on this machine."""
    shown = spec.model_dump(mode="json", exclude={"snapshot", "models", "start_from", "chat_template"})
    return shown | {"snapshot": spec.snapshot.name}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _tensorboard(run_dir: Path, spec: TrainSpec, step: int) -> Tracker:
    writer = tensorboard.ScalarWriter(run_dir / tensorboard.FOLDER, step)
    return Tracker("TensorBoard", writer.add, writer.close)


def _wandb(run_dir: Path, spec: TrainSpec, step: int) -> Tracker:
    _stay_here("wandb")
    import wandb

    folder = run_dir / "wandb"
    folder.mkdir(exist_ok=True)
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=run_dir.name,
        id=run_dir.name,
        resume="allow",
        dir=str(run_dir),
        config=settings_of(spec),
        settings=wandb.Settings(console="off", disable_git=True, disable_code=True, disable_job_creation=True),
    )
    return Tracker("Weights & Biases", lambda values, at: run.log(dict(values), step=at), run.finish)


def _mlflow(run_dir: Path, spec: TrainSpec, step: int) -> Tracker:
    _stay_here("mlflow")
    import mlflow

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(f"sqlite:///{run_dir / 'mlflow.db'}")  # its folders of files take no new runs any more
        if mlflow.get_experiment_by_name(name) is None:
            mlflow.create_experiment(name, artifact_location=(run_dir / "mlflow").as_uri())
    mlflow.set_experiment(name)
    noted = run_dir / "mlflow_run.txt"
    known = noted.read_text(encoding="utf-8") if noted.exists() else None
    run = mlflow.start_run(run_id=known, run_name=None if known else run_dir.name, log_system_metrics=False)
    if known is None:
        noted.write_text(run.info.run_id, encoding="utf-8")
        mlflow.log_params({name: str(value)[:500] for name, value in settings_of(spec).items()})
    return Tracker("MLflow", lambda values, at: mlflow.log_metrics(dict(values), step=at), mlflow.end_run)


def _trackio(run_dir: Path, spec: TrainSpec, step: int) -> Tracker:
    os.environ.setdefault("TRACKIO_DIR", str(run_dir / "trackio"))
    _stay_here("trackio")
    import trackio

    trackio.init(project=PROJECT, name=run_dir.name, resume="allow", config=settings_of(spec), embed=False)
    return Tracker("trackio", lambda values, at: trackio.log(dict(values), step=at), trackio.finish)


def _stay_here(name: str) -> None:
    for key, value in _OFFLINE[name].items():
        os.environ.setdefault(key, value)


_OPENERS: dict[str, Callable[[Path, TrainSpec, int], Tracker]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}
