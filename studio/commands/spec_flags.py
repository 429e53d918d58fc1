"""What the flags `--set` and `--method` of a command say of a run."""

from __future__ import annotations

from studio.contract.spec import TRAIN_FIELDS
from studio.errors import BadInput


def settings_of(assignments: list[str]) -> dict[str, object]:
    """The settings of a run from `field=value`. Raises BadInput for a field that a user may not set."""
    settings: dict[str, object] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise BadInput(f"'{assignment}' is no setting: write --set field=value.")
        if name not in TRAIN_FIELDS:
            raise BadInput(f"There is no setting '{name}'; there are: {', '.join(sorted(TRAIN_FIELDS))}.")
        settings[name] = value
    return settings


def with_method(settings: dict[str, object], method: str | None) -> dict[str, object]:
    """The settings with `--method`, which may not be set a second time otherwise."""
    if method is None:
        return settings
    if settings.get("method", method) != method:
        raise BadInput(f"--method {method} and --set method={settings['method']} contradict each other: give one.")
    return settings | {"method": method}
