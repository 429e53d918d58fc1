"""Trackers beside TensorBoard: their names as a spec gives them, and whether their packages are here.

Asked by the app before a run is started and by the run before any work, so that a missing one costs nobody an hour.
"""

from __future__ import annotations

from importlib.util import find_spec

from studio.errors import BadSpec

TRACKERS: dict[str, str] = {"wandb": "Weights & Biases", "mlflow": "MLflow", "trackio": "trackio"}
"""The module of each tracker, and what people call it."""


def tracker_names(text: str) -> list[str]:
    """The trackers of a setting such as "wandb, mlflow", each once. Raises BadSpec for one that is unknown or not
    installed."""
    names = list(dict.fromkeys(name for part in text.split(",") if (name := part.strip().lower())))
    for name in names:
        if name not in TRACKERS:
            raise BadSpec(
                f"There is no tracker '{name[:40]}'; there are: {', '.join(TRACKERS)} (TensorBoard is always on)."
            )
        if find_spec(name) is None:
            raise BadSpec(f"{TRACKERS[name]} is not installed: `pip install {name}`, or take it out of trackers.")
    return names
