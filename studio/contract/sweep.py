"""A sweep: which settings are tried, trial by trial, and what came of each: what app and sweeping process share.

A sweep's folder holds `spec.json` (SweepSpec), `events.jsonl` (as studio.contract.events), `trials.json` (SweepReport,
replaced as a whole) and `trials/NNN`, each a whole run folder. What it leaves out: how values are chosen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from studio.contract.spec import SPEC_FILE, TrainSpec, parse_train_spec
from studio.errors import BadSpec

REPORT_FILE = "trials.json"
TRIALS_FOLDER = "trials"

SWEPT_FIELDS: tuple[str, ...] = (
    "learning_rate",
    "lora_rank",
    "batch_size",
    "epochs",
    "max_steps",
    "method",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "lora_plus_ratio",
    "prompt_tokens",
    "gradient_accumulation",
    "warmup_ratio",
    "schedule",
    "weight_decay",
    "max_grad_norm",
    "neftune",
    "label_smoothing",
    "seed",
)
"""Fields that may be tried, the most telling first. What changes the rows or the loss that is measured (max_length,
chat_template, beta, …) is not among them: losses of such trials could not be compared."""

MOST_VALUES = 50
_LOG_RATIO = 10.0
_RANGE = re.compile(r"\s*(\S+?)\s*\.\.\s*(\S+)\s*")

Value = str | int | float


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choices(_Part):
    """Values to choose from."""

    choices: tuple[Value, ...] = Field(min_length=2, max_length=MOST_VALUES)


class Range(_Part):
    """The numbers from `low` to `high`, both included: whole ones when `whole`; evenly over exponents when `log`."""

    low: float
    high: float
    whole: bool = False
    log: bool = False


class SweepSpec(_Part):
    """What to try: `base` with `over`'s fields set anew in each trial, to the lowest validation loss.

    `bases`: what stands in for `base` in a trial of a method, as another method wants another learning rate.
    `alpha_by_rank`: in trials of a rank lora_alpha is so many times the rank; 0 leaves it as it is.
    """

    base: TrainSpec
    bases: dict[str, TrainSpec] = Field(default_factory=dict, max_length=50)
    alpha_by_rank: float = Field(0.0, ge=0, le=4096)
    over: dict[str, Choices | Range] = Field(min_length=1, max_length=len(SWEPT_FIELDS))
    trials: int = Field(8, ge=1, le=1000)
    timeout_minutes: float = Field(
        0.0, ge=0, le=100_000, description="no trial begins after so much training; 0 = no limit"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the choice of values")
    metric: Literal["validation_loss"] = "validation_loss"
    prune: bool = Field(True, description="end a trial whose loss is above the median of the finished ones")
    warmup_passes: int = Field(2, ge=0, le=1000, description="validation passes before a trial may be ended early")
    full_trials: int = Field(3, ge=1, le=1000, description="trials that must be finished before one is ended early")
    keep: Literal["best", "all"] = Field("best", description="whose weights stay on the disk")


class Trial(_Part):
    """One trial. `loss` is the best validation loss in nats a target token, of those that training led to (the last
    one where the run keeps the last); `before` the one before the first step. None: not measured."""

    number: int
    values: dict[str, Value]
    state: Literal["running", "done", "pruned", "failed"]
    loss: float | None = None
    before: float | None = None
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    reason: str = ""


class SweepReport(_Part):
    """All trials so far. `best`: number of the one with the lowest loss that went to its end; `importances`: share of
    the losses' spread that a field explains, the biggest first, empty while too few trials are done."""

    trials: tuple[Trial, ...] = ()
    best: int | None = None
    importances: dict[str, float] = Field(default_factory=dict)

    @property
    def best_trial(self) -> Trial | None:
        """The best trial."""
        return next((trial for trial in self.trials if trial.number == self.best), None)

    @property
    def ended(self) -> int:
        """Trials that are not at work any more."""
        return sum(trial.state != "running" for trial in self.trials)


def parse_over(assignments: Iterable[str]) -> dict[str, Choices | Range]:
    """Fields from `field=a,b,c` or `field=low..high`. A range over a factor of ten and more is tried by exponents.

    Raises BadSpec with one sentence for an unknown field, a value outside its limits, or fewer than two values.
    """
    found: dict[str, Choices | Range] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals:
            raise BadSpec(f"'{_short(assignment)}' is nothing to try: write field=value,value or field=low..high.")
        if name in found:
            raise BadSpec(f"'{_short(name)}' is named twice: write all of its values in one place.")
        found[name] = tried_values(name, text)
    if not found:
        raise BadSpec("Name at least one field to try, such as learning_rate=1e-4,5e-4.")
    return found


def tried_values(field: str, text: str) -> Choices | Range:
    """What `a,b,c` or `low..high` means for a field. Raises BadSpec."""
    _check_name(field)
    if bounds := _RANGE.fullmatch(text):
        return _range(field, *bounds.groups())
    parts = [part.strip() for part in text.split(",") if part.strip()]
    values = list(dict.fromkeys(_value(field, part) for part in parts[: MOST_VALUES + 1]))
    if not 2 <= len(values) <= MOST_VALUES:
        raise BadSpec(f"Name 2 to {MOST_VALUES} different values of {field}, with commas: one value is no choice.")
    return Choices(choices=tuple(values))


def combinations(over: Mapping[str, Choices | Range]) -> int | None:
    """How many different trials there can be; None where a range makes them countless."""
    if any(isinstance(tried, Range) for tried in over.values()):
        return None
    return math.prod(len(tried.choices) for tried in over.values() if isinstance(tried, Choices))


def holds(tried: Choices | Range, value: object) -> bool:
    """Whether a value is among those tried."""
    if isinstance(tried, Choices):
        return value in tried.choices
    return isinstance(value, (int, float)) and tried.low <= value <= tried.high


def settings_with(sweep: SweepSpec, values: Mapping[str, object]) -> dict[str, object]:
    """All fields of a run with a trial's values."""
    fields = sweep.bases.get(str(values.get("method", "")), sweep.base).model_dump() | dict(values)
    if sweep.alpha_by_rank and "lora_rank" in values and "lora_alpha" not in values:
        fields["lora_alpha"] = min(4096.0, sweep.alpha_by_rank * float(str(values["lora_rank"])))
    return fields


def trial_spec(sweep: SweepSpec, values: Mapping[str, object]) -> TrainSpec:
    """The run of a trial, without what only a run of its own needs. Raises BadSpec."""
    small = {"samples": 0, "held_out_rows": 0, "checkpoints": min(1, sweep.base.checkpoints), "trackers": ""}
    return parse_train_spec(settings_with(sweep, values) | small)


def parse_sweep_spec(fields: Mapping[str, object]) -> SweepSpec:
    """Validate a sweep. Raises BadSpec with one sentence."""
    try:
        spec = SweepSpec.model_validate(dict(fields))
    except ValidationError as error:
        raise BadSpec(_sentence(error)) from None
    _check(spec)
    return spec


def read_sweep_spec(folder: Path) -> SweepSpec:
    """The spec of a sweep's folder. Raises BadSpec when it is missing or damaged."""
    path = folder / SPEC_FILE
    try:
        spec = SweepSpec.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSpec(f"Cannot read {path}: {error.strerror or error}.") from None
    except ValidationError as error:
        raise BadSpec(_sentence(error)) from None
    _check(spec)
    return spec


def write_report(folder: Path, report: SweepReport) -> None:
    """Put a report into a sweep's folder, whole or not at all. Raises OSError."""
    path = folder / REPORT_FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(report.model_dump_json(), encoding="utf-8")
    temporary.replace(path)


def read_report(folder: Path) -> SweepReport:
    """The report of a sweep's folder; an empty one where there is none that can be read."""
    try:
        return TypeAdapter(SweepReport).validate_json((folder / REPORT_FILE).read_bytes())
    except (OSError, ValidationError):
        return SweepReport()


def _check(spec: SweepSpec) -> None:
    """What the types do not say: names, values, and that there is a loss to go by. Raises BadSpec."""
    for name, tried in spec.over.items():
        _check_name(name)
        if isinstance(tried, Range):
            _check_range(name, tried)
        for value in _ends(tried):
            _value(name, value)
    if spec.base.evaluations < 1:
        raise BadSpec("A sweep compares validation losses: set evaluations to at least 1.")


def _check_name(name: str) -> None:
    if name not in SWEPT_FIELDS:
        raise BadSpec(f"A sweep cannot try '{_short(name)}'; it can try: {', '.join(SWEPT_FIELDS)}.")


def _ends(tried: Choices | Range) -> tuple[Value, ...]:
    if isinstance(tried, Choices):
        return tried.choices
    ends = (tried.low, tried.high)
    return tuple(int(end) for end in ends) if tried.whole else ends


def _value(field: str, given: object) -> Value:
    """A value in its field's type, within its limits."""
    spec = parse_train_spec({"snapshot": Path("/"), "models": Path("/"), field: given})
    value = getattr(spec, field)
    assert isinstance(value, (str, int, float))
    return value


def _range(field: str, low: str, high: str) -> Range:
    first, last = _value(field, low), _value(field, high)
    if isinstance(first, str) or isinstance(last, str):
        raise BadSpec(f"{field} has no numbers in a row: name its values with commas.")
    found = Range(low=first, high=last, whole=isinstance(first, int), log=first > 0 and last / first >= _LOG_RATIO)
    _check_range(field, found)
    return found


def _check_range(field: str, tried: Range) -> None:
    whole = isinstance(TrainSpec.model_fields[field].default, int)
    number = isinstance(TrainSpec.model_fields[field].default, (int, float))
    fits = number and math.isfinite(tried.low) and math.isfinite(tried.high) and tried.low < tried.high
    if not fits or tried.whole != whole or (tried.log and tried.low <= 0):
        raise BadSpec(f"The range of {field} must go from a number to a greater one.")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = next((part for part in reversed(place) if part in SweepSpec.model_fields), place[-1] if place else "spec")
    return f"The sweep's '{_short(name)}' cannot be used: {first['msg'][:1].lower()}{first['msg'][1:200]}."
