"""How a finished run does on parts of its held-out rows: by label, identity group and language, base beside tuned.

Losses come from the run's own file; what a row belongs to is read from its example. Figures are of fairlearn's
MetricFrame, and kept beside the losses, so that they are made once. What it leaves out: parts of fewer than five rows.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.accepted import Held, read_held
from storage.database import Database
from storage.projects import get_project
from storage.records import Project, Run
from studio.contract.held_out import HELD_OUT_FILE
from studio.contract.terms import Terms, parse_terms
from studio.errors import BadSpec
from studio.language import mark
from studio.settings import Workspace

LEAST_ROWS = 5
_KEPT_FILE = "slices.json"
_SURE = 0.95
_LETTERS = 24
_EVERY = mark("All held-out rows")
_NONE = mark("none of these")
Memberships = dict[str, list[frozenset[str]]]


@dataclass(frozen=True)
class Slice:
    """Rows with something in common: losses are means over rows of nats a target token, `improved` the share of rows
    whose loss is lower with the tuned model."""

    kind: str
    name: str
    rows: int
    base_loss: float
    tuned_loss: float
    improved: float


def slices_of(db: Database, workspace: Workspace, run: Run) -> tuple[Slice, ...]:
    """All rows first, then the slices by kind; () where the run has no file of losses, or nothing to compare."""
    folder = workspace.runs / run.id
    if not (folder / HELD_OUT_FILE).exists():
        return ()
    if (kept := _kept(folder)) is not None:
        return kept
    made = _make(db, get_project(db, run.project_id), folder)
    whole = folder / f"{_KEPT_FILE}.tmp"
    whole.write_text(json.dumps([asdict(one) for one in made]), encoding="utf-8")
    whole.replace(folder / _KEPT_FILE)
    return made


def slices(base: Sequence[float], tuned: Sequence[float], members: Memberships) -> tuple[Slice, ...]:
    """Slices of rows with these losses; `members`: by kind, the groups that each row is in (none, one or several).

    Kinds of which fewer than two groups have LEAST_ROWS rows say nothing and are left out.
    """
    found = []
    for kind, groups in members.items():
        names = sorted({name for group in groups for name in group})
        made = [one for name in names if (one := _slice(kind, name, base, tuned, groups)).rows >= LEAST_ROWS]
        if len(made) > 1:
            found += sorted(made, key=lambda one: -one.tuned_loss)
    everything = [frozenset([_EVERY])] * len(base)
    return (_slice("", _EVERY, base, tuned, everything), *found) if found else ()


def _slice(
    kind: str, name: str, base: Sequence[float], tuned: Sequence[float], groups: Sequence[frozenset[str]]
) -> Slice:
    import numpy as np
    from fairlearn.metrics import MetricFrame, count

    frame = MetricFrame(
        metrics={
            "rows": count,
            "base": lambda before, after: float(np.mean(before)),
            "tuned": lambda before, after: float(np.mean(after)),
            "improved": lambda before, after: float(np.mean(np.less(after, before))),
        },
        y_true=np.asarray(base),
        y_pred=np.asarray(tuned),
        sensitive_features=[name in group for group in groups],
    )
    own = frame.by_group.loc[True]
    return Slice(kind, name, int(own["rows"]), float(own["base"]), float(own["tuned"]), float(own["improved"]))


def _make(db: Database, project: Project, folder: Path) -> tuple[Slice, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(folder / HELD_OUT_FILE)
    except (OSError, pa.ArrowException):
        return ()  # a damaged file is no reason not to show the run
    ids = table["example_id"].to_pylist()
    held = {one.example_id: one for one in read_held(db, project.id, ids)}
    rows = [(place, held[key]) for place, key in enumerate(ids) if key in held]
    if len(rows) < 2 * LEAST_ROWS:
        return ()
    losses = [table[name].to_pylist() for name in ("base_loss", "tuned_loss")]
    base, tuned = ([column[place] for place, _ in rows] for column in losses)
    return slices(base, tuned, _members(project, [one for _, one in rows]))


def _members(project: Project, rows: Sequence[Held]) -> Memberships:
    members: Memberships = {}
    if project.task in ("classification", "multi-label", "rating"):
        members["label"] = [frozenset(row.response.split("\n")) for row in rows]
    texts = ["\n".join([row.context, *(turn.content for turn in row.turns), row.response]) for row in rows]
    members |= identity_groups(texts, _terms(project))
    members["language"] = _languages(texts)
    return members


def identity_groups(texts: Sequence[str], terms: Terms) -> Memberships:
    """By kind of identity, the groups that each text names; a text that names none is in "none of these"."""
    groups_of: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, words in terms.groups.items():
        for word in words:
            groups_of[word].append(key)
    either = "|".join(re.escape(word) for word in sorted(groups_of, key=len, reverse=True))
    finder = re.compile(rf"(?<![\w-])(?:{either})(?![\w-])" if either else r"(?!)")
    named = [{key for word in finder.findall(text.casefold()) for key in groups_of[word]} for text in texts]
    none = frozenset([_NONE])
    return {
        kind: [frozenset(group for one, group in keys if one == kind) or none for keys in named]
        for kind in dict.fromkeys(kind for kind, _ in terms.groups)
    }


def _terms(project: Project) -> Terms:
    try:
        return parse_terms(project.settings.identity_terms)
    except BadSpec:
        return Terms()  # the preflight says what is wrong with the list


def _languages(texts: Sequence[str]) -> list[frozenset[str]]:
    """The language of each text that is long enough to be sure of it."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identify: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found = []
    for text in texts:
        language, sure = identify.classify(text)
        enough = sum(letter.isalpha() for letter in text) >= _LETTERS
        found.append(frozenset([str(language)] if enough and sure >= _SURE else []))
    return found


def _kept(folder: Path) -> tuple[Slice, ...] | None:
    path = folder / _KEPT_FILE
    try:
        if path.stat().st_mtime < (folder / HELD_OUT_FILE).stat().st_mtime:
            return None
        return tuple(Slice(**one) for one in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
