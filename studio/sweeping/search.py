"""Which values come next, and which trial is not worth its end: an optuna study, kept as a journal in the folder.

The journal is lines of JSON, one a change, forced onto the disk; so a killed sweep knows all it did. Values are chosen
with a seed of the trial's own, so a resumed sweep tries what the uninterrupted one would have tried.
"""

from __future__ import annotations

import math
import os
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from studio.contract.sweep import Choices, Range, SweepReport, SweepSpec, Trial, Value, combinations, holds

STUDY_FILE = "study.jsonl"
_NAME = "sweep"
_RANDOM_TRIALS = 5
"""Trials with values drawn at random before the estimator has something to learn from."""
_LEAST_FOR_IMPORTANCE = 4

_STATES: dict[TrialState, Any] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Asked:
    """A trial that is to be run, or to be gone on with."""

    number: int
    values: Mapping[str, Value]


class Search:
    """The study of a sweep's folder, opened where it stands. Raises OSError when the folder cannot be written."""

    def __init__(self, folder: Path, spec: SweepSpec) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._spec = spec
        self._weighed: tuple[int, dict[str, float]] = (0, {})
        self._space = {name: _distribution(tried) for name, tried in sorted(spec.over.items())}
        self._storage = optuna.storages.JournalStorage(_journal(folder / STUDY_FILE))
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=_NAME,
            load_if_exists=True,
            direction="minimize",
            sampler=_Sampler(spec, self._space),
            pruner=optuna.pruners.MedianPruner(spec.full_trials, spec.warmup_passes),
        )

    def unfinished(self) -> Asked | None:
        """The trial that an earlier process began and did not see to its end."""
        for found in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._whole(found):
                return Asked(found.number, dict(found.params))
            self._study.tell(found.number, state=TrialState.FAIL)  # killed before all of its values were noted
        return None

    def more(self) -> bool:
        """Whether another trial is wanted, and there is one that was not tried."""
        return len(self._begun()) < min(self._spec.trials, combinations(self._spec.over) or self._spec.trials)

    def begin(self) -> Asked:
        """The next trial."""
        trial = self._study.ask(self._space)
        return Asked(trial.number, dict(trial.params))

    def hopeless(self, number: int, place: int, loss: float) -> bool:
        """Note a validation pass (`place` counts them over the run, 0 before the first step), and whether the trial
        should end here."""
        if place not in self._frozen(number).intermediate_values and math.isfinite(loss):
            self._storage.set_trial_intermediate_value(self._id(number), place, loss)
        return self._spec.prune and self._study.pruner.prune(self._study, self._frozen(number))

    def finish(self, trial: Trial) -> None:
        """Note how a trial ended; it must not be `running`."""
        number, loss = trial.number, trial.loss
        for name in ("before", "step", "steps", "seconds", "reason"):
            self._storage.set_trial_user_attr(self._id(number), name, getattr(trial, name))
        if trial.state == "pruned" and loss is not None:
            self._storage.set_trial_user_attr(self._id(number), "loss", loss)
        if trial.state == "done" and loss is not None and math.isfinite(loss):
            self._study.tell(number, loss)
        else:
            self._study.tell(number, state=TrialState.PRUNED if trial.state == "pruned" else TrialState.FAIL)

    def report(self, now: Trial | None = None) -> SweepReport:
        """All trials; `now`: the one at work, in place of what is noted of it."""
        trials = [_trial(frozen) for frozen in self._begun()]
        done = [trial for trial in trials if trial.state == "done"]
        best = min(done, key=lambda trial: (trial.loss, trial.number), default=None)
        return SweepReport(
            trials=tuple(now if now and trial.number == now.number else trial for trial in trials),
            best=best.number if best else None,
            importances=self._importances(done),
        )

    def _importances(self, done: Sequence[Trial]) -> dict[str, float]:
        if len(done) != self._weighed[0]:
            self._weighed = (len(done), self._weigh(done))
        return self._weighed[1]

    def _weigh(self, done: Sequence[Trial]) -> dict[str, float]:
        """Share of the spread of the losses by field (functional ANOVA over random forests)."""
        if len(self._space) < 2 or len(done) < _LEAST_FOR_IMPORTANCE or len({trial.loss for trial in done}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._spec.seed)
        try:
            found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        except RuntimeError:  # the forest saw no spread
            return {}
        return {name: float(share) for name, share in found.items() if math.isfinite(share)}

    def _begun(self) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if self._whole(trial)]

    def _whole(self, trial: FrozenTrial) -> bool:
        return set(trial.params) == set(self._space)

    def _id(self, number: int) -> int:
        study = self._storage.get_study_id_from_name(_NAME)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._id(number))


class _Sampler(optuna.samplers.BaseSampler):
    """Proposes values for all fields at once: first the settings as they stand, then some at random, then what
    optuna's tree-structured Parzen estimator expects most of. Of choices alone none is tried twice."""

    def __init__(self, spec: SweepSpec, space: dict[str, BaseDistribution]) -> None:
        self._spec, self._space = spec, space

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._space

    def sample_relative(self, study: Any, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        tried = {_key(one.params) for one in study.get_trials(deepcopy=False) if one.params}
        found = (not tried and self._as_it_stands()) or self._proposal(study, trial)
        if combinations(self._spec.over) is None or _key(found) not in tried:
            return found
        names = list(self._space)
        every = product(*(self._spec.over[name].choices for name in names))  # type: ignore[union-attr]
        left = [values for one in every if _key(values := dict(zip(names, one, strict=True))) not in tried]
        return random.Random(self._seed(trial)).choice(left) if left else found  # noqa: S311

    def sample_independent(self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        drawn = optuna.samplers.RandomSampler(seed=self._seed(trial))
        return drawn.sample_independent(study, trial, param_name, param_distribution)

    def _proposal(self, study: Any, trial: FrozenTrial) -> dict[str, Any]:
        known = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        seed = self._seed(trial)
        if len(known) >= _RANDOM_TRIALS:
            estimator = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=_RANDOM_TRIALS)
            if found := estimator.sample_relative(study, trial, self._space):
                return dict(found)
        drawn = optuna.samplers.RandomSampler(seed=seed)
        return {name: drawn.sample_independent(study, trial, name, kind) for name, kind in self._space.items()}

    def _as_it_stands(self) -> dict[str, Any]:
        """The base settings, where they are among what is tried."""
        now = {name: getattr(self._spec.base, name) for name in self._space}
        return now if all(holds(self._spec.over[name], value) for name, value in now.items()) else {}

    def _seed(self, trial: FrozenTrial) -> int:
        return (self._spec.seed * 1009 + trial.number) % 2**31


class _NoLock:
    """The journal's lock file would outlive a killed sweep; that nobody else writes is what the sweep's lock says."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def _journal(path: Path) -> Any:
    """The journal, without the half line that a kill has left."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
    return JournalFileBackend(str(path), lock_obj=_NoLock())  # type: ignore[arg-type]


def _distribution(tried: Choices | Range) -> BaseDistribution:
    if isinstance(tried, Choices):
        return CategoricalDistribution(tried.choices)
    if tried.whole:
        return IntDistribution(int(tried.low), int(tried.high), log=tried.log)
    return FloatDistribution(tried.low, tried.high, log=tried.log)


def _key(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(values.items()))


def _trial(frozen: FrozenTrial) -> Trial:
    noted = frozen.user_attrs
    loss = frozen.value if frozen.state == TrialState.COMPLETE else noted.get("loss")
    about = {name: noted[name] for name in ("before", "step", "steps", "seconds", "reason") if name in noted}
    return Trial(number=frozen.number, values=frozen.params, state=_STATES[frozen.state], loss=loss, **about)
