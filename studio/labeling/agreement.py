"""How far annotators agree beyond chance: for the project, for each label, for each pair of annotators.

Compared is each annotator's newest standing answer to each example that several answered. What was imported, what a
reviewer edited and answers to gold examples are left out: they are not independent labels. Labels and preferences are
compared as equal or not, ratings by rank, label sets by MASI; of a preference only the choice counts. Free text has no
chance level: its figure is mean pairwise chrF (0 to 100, both directions averaged), on a seeded sample.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from storage.database import Database
from storage.projects import get_project
from storage.quality import list_shared_answers
from storage.records import Project
from studio.labeling.reliability import (
    Distance,
    Estimate,
    Patterns,
    alpha,
    binary,
    collapse,
    kappa,
    masi_distances,
    mean,
    merged,
)
from studio.language import mark, tr

TEXT_PAIRS = 2_000
"""Pairs of texts that are compared at most (about a millisecond each)."""

MOST_PAIRS = 60
"""Pairs of annotators that are shown: those with the most examples in common."""

_MOST_SETS = 1_200
_LONGEST = 4_000
_SEED = 1
_LABELED = {"classification": "nominal", "preference": "nominal", "rating": "ordinal", "multi-label": "MASI"}


@dataclass(frozen=True)
class LabelAgreement:
    """Alpha of one label against all others, on the examples to which somebody gave it."""

    label: str
    alpha: Estimate


@dataclass(frozen=True)
class PairAgreement:
    """Two annotators: Cohen's kappa, or mean chrF for text."""

    first: str
    second: str
    agreement: Estimate


@dataclass(frozen=True)
class PersonAgreement:
    """One annotator with all others: the share of equal answers (0 to 1), or mean chrF (0 to 100) for text."""

    annotator: str
    agreement: Estimate


@dataclass(frozen=True)
class Agreement:
    """`measure` is 'alpha' or 'chrf'; `distance` nominal, ordinal, MASI or ''; `notes` say what the figures rest on."""

    measure: str
    distance: str
    overall: Estimate
    labels: tuple[LabelAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    people: tuple[PersonAgreement, ...]
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The overall figure in a few words, for a dataset's card; '' where none is shown."""
        if self.overall.value is None:
            return ""
        name = "mean chrF" if self.measure == "chrf" else f"Krippendorff's alpha ({self.distance})"
        between = (
            f" (95 % interval {self.overall.low:.2f} to {self.overall.high:.2f})"
            if self.overall.low is not None
            else ""
        )
        return f"{name} {self.overall.value:.2f}{between} on {self.overall.examples:,} examples with several answers"


Unit = list[tuple[str, str]]
"""One example's answers: annotator and response."""


def agreement(db: Database, project_id: str) -> Agreement:
    """All figures of a project. Raises NotFound. Seconds at a hundred thousand answers: not for an event loop."""
    project = get_project(db, project_id)
    units = _units(project, list_shared_answers(db, project_id))
    return _of_labels(project, units) if project.task in _LABELED else _of_texts(units)


def _units(project: Project, rows: Sequence[tuple[str, str, str, str]]) -> list[Unit]:
    found: dict[str, Unit] = {}
    for example, annotator, response, _ in rows:
        if project.task != "rating" or response.isdigit():
            found.setdefault(example, []).append((annotator, response.strip()))
    return [unit for unit in found.values() if len(unit) > 1]


def _of_labels(project: Project, units: list[Unit]) -> Agreement:
    notes: list[str] = []
    if project.task == "multi-label" and len({response for unit in units for _, response in unit}) > _MOST_SETS:
        kept = random.Random(_SEED).sample(units, min(len(units), _MOST_SETS))  # noqa: S311  a sample, no secret
        drawn = mark("So many different label sets were given that a sample of {count:,} examples was compared.")
        notes.append(tr(drawn, count=len(kept)))
        units = kept
    names = _values(project, units)
    place = {name: index for index, name in enumerate(names)}
    coded = [[(annotator, place[response]) for annotator, response in unit] for unit in units]
    patterns = collapse([[code for _, code in unit] for unit in coded], len(names))
    overall = alpha(patterns, _distance(project, names))
    pairs, shown = _label_pairs(coded, len(names), project.task == "rating")
    if len(pairs) < shown:
        most = mark("{count} pairs of annotators share examples; the {most} with the most are shown.")
        notes.append(tr(most, count=shown, most=MOST_PAIRS))
    people = _people(
        [(n, a, b, float(x == y)) for n, unit in enumerate(coded) for (a, x), (b, y) in combinations(unit, 2)]
    )
    return Agreement(
        "alpha", _LABELED[project.task], overall, _by_label(project, names, patterns), pairs, people, tuple(notes)
    )


def _values(project: Project, units: list[Unit]) -> list[str]:
    given = {response for unit in units for _, response in unit}
    if project.task == "rating":
        return [str(rating) for rating in range(1, max([project.settings.rating_max, *map(int, given)]) + 1)]
    return sorted(given)


def _distance(project: Project, names: Sequence[str]) -> Distance:
    if project.task == "multi-label":
        return masi_distances([_set(name) for name in names])
    return "ordinal" if project.task == "rating" else "nominal"


def _set(response: str) -> frozenset[str]:
    return frozenset(name.strip() for name in response.split("\n") if name.strip())


def _by_label(project: Project, names: Sequence[str], patterns: Patterns) -> tuple[LabelAgreement, ...]:
    import numpy as np

    several = project.task == "multi-label"
    labels = sorted(set().union(*map(_set, names))) if several else list(names)
    found = []
    for index, label in enumerate(labels):
        if several:
            has = np.array([label in _set(name) for name in names])
            given = patterns.counts[:, has].sum(axis=1)
            two = merged(np.stack([patterns.counts.sum(axis=1) - given, given], axis=1), patterns.examples)
        else:
            two = binary(patterns, index)
        rests_on = int(two.examples[two.counts[:, 1] > 0].sum())
        if rests_on:
            found.append(LabelAgreement(label, alpha(two, "nominal", rests_on)))
    return tuple(found)


def _label_pairs(
    units: list[list[tuple[str, int]]], values: int, by_rank: bool
) -> tuple[tuple[PairAgreement, ...], int]:
    shared: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for unit in units:
        for (a, x), (b, y) in combinations(unit, 2):  # by name within an example, so (a, b) is always this way round
            first, second = shared.setdefault((a, b), ([], []))
            first.append(x)
            second.append(y)
    most = sorted(shared.items(), key=lambda item: (-len(item[1][0]), item[0]))
    return tuple(PairAgreement(*names, _kappa(*codes, values, by_rank)) for names, codes in most[:MOST_PAIRS]), len(
        most
    )


def _kappa(first: list[int], second: list[int], values: int, by_rank: bool) -> Estimate:
    if by_rank:
        return kappa(first, second, values, by_rank)
    used = {code: index for index, code in enumerate(sorted({*first, *second}))}
    return kappa([used[code] for code in first], [used[code] for code in second], len(used))


def _of_texts(units: list[Unit]) -> Agreement:
    drawn, pairs = _sample(units)
    scored = [(n, a, b, _chrf(x, y)) for n, unit in enumerate(drawn) for (a, x), (b, y) in combinations(unit, 2)]
    by_pair: dict[tuple[str, str], list[float]] = {}
    by_example: dict[int, list[float]] = {}
    for number, a, b, score in scored:
        by_pair.setdefault((a, b), []).append(score)
        by_example.setdefault(number, []).append(score)
    most = sorted(by_pair.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_PAIRS]
    notes = []
    if len(drawn) < len(units):
        notes.append(
            tr(
                "A sample: {pairs:,} pairs of answers to {count:,} of the {all:,} examples were compared.",
                pairs=pairs,
                count=len(drawn),
                all=len(units),
            )
        )
    return Agreement(
        "chrf",
        "",
        mean([sum(scores) / len(scores) for scores in by_example.values()]),
        (),
        tuple(PairAgreement(*names, mean(scores)) for names, scores in most),
        _people(scored),
        tuple(notes),
    )


def _sample(units: list[Unit]) -> tuple[list[Unit], int]:
    """Examples in a seeded random order, as many as make TEXT_PAIRS pairs."""
    shuffled = random.Random(_SEED).sample(units, len(units))  # noqa: S311  a sample, no secret
    drawn: list[Unit] = []
    pairs = 0
    for unit in shuffled:
        size = len(unit) * (len(unit) - 1) // 2
        if drawn and pairs + size > TEXT_PAIRS:
            break
        drawn.append(unit)
        pairs += size
    return drawn, pairs


def _chrf(first: str, second: str) -> float:
    """chrF2 of two texts, 0 to 100, the mean of both directions (recall weighs more, so one alone is not symmetric).
    Of a long text the first 4,000 characters."""
    from sacrebleu import sentence_chrf

    a, b = first[:_LONGEST], second[:_LONGEST]
    if a == b:
        return 100.0
    return (sentence_chrf(a, [b]).score + sentence_chrf(b, [a]).score) / 2


def _people(pairs: Sequence[tuple[int, str, str, float]]) -> tuple[PersonAgreement, ...]:
    """Of (example, one, other, score): each person's mean over examples of the mean score with the others."""
    found: dict[str, dict[int, list[float]]] = {}
    for number, first, second, score in pairs:
        for name in (first, second):
            found.setdefault(name, {}).setdefault(number, []).append(score)
    return tuple(
        PersonAgreement(name, mean([sum(scores) / len(scores) for scores in by_example.values()]))
        for name, by_example in sorted(found.items())
    )
