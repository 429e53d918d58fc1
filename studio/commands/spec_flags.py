"""What the flags `--set` and `--method` of a command say of a run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

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


def add_share(verb: ArgumentParser) -> None:
    """The flags that say how many devices share a run."""
    verb.add_argument("--devices", metavar="N,N", help="GPUs that share each step, by number: 0,1")
    verb.add_argument("--processes", type=int, metavar="N", help="so many GPUs, whichever are free (or CPU processes)")


def with_share(settings: dict[str, object], flags: Namespace) -> dict[str, object]:
    """The settings with `--devices` or `--processes`, which may not be set a second time otherwise."""
    given = {name: getattr(flags, name, None) for name in ("devices", "processes")}
    for name, value in given.items():
        if value is not None and str(settings.get(name, value)) != str(value):
            raise BadInput(f"--{name} {value} and --set {name}={settings[name]} contradict each other: give one.")
    return settings | {name: value for name, value in given.items() if value is not None}
