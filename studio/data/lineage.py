"""Lineage both ways: from a row to the answer, its annotator and the guidelines of that time, and to all that used it.

A graph of few nodes for one example, annotation, snapshot or run; the answers of a snapshot are one node for each
annotator and version of the guidelines. An example that votes or a correction made begins with their comparison. What
it leaves out: models and code, which a run's own files name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.annotations import get_annotation, list_revisions
from storage.comparison_examples import list_made, made_of
from storage.comparisons import get_comparison
from storage.database import Database
from storage.examples import get_example
from storage.guidelines import Guidelines, list_guidelines
from storage.lineage import named, runs_by_snapshot, shares, versions_of
from storage.records import Annotation, Comparison, Example, Run, Snapshot
from storage.runs import get_run
from storage.snapshots import get_snapshot, memberships
from studio.errors import NotFound
from studio.language import mark, tr, trn

KINDS = ("comparison", "example", "annotator", "guidelines", "annotation", "snapshot", "run")
"""Kinds of nodes, from where things come to where they go."""

_SHOWN = 80
_ACTS = {"submit": mark("answered"), "skip": "skipped", "flag": "flagged", "undo": mark("took back")}


@dataclass(frozen=True)
class Node:
    """One thing of a lineage: `id` is its own id, or "annotator:NAME", "guidelines:VERSION" and the like where it has
    none; `text` is one line for people, `detail` a shorter second one."""

    id: str
    kind: str
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Lineage:
    """What a thing came from and went into: `kind` and `id` are its own; edges go from a node's id to that of what was
    made of it."""

    kind: str
    id: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]


def lineage(db: Database, beginning: str) -> Lineage:
    """The lineage of a comparison, example, annotation, snapshot or run, by its id or an unambiguous beginning (≥ 6
    characters). Raises NotFound.
    """
    found = named(db, beginning.strip())
    if len(found) != 1:
        many = ", ".join(f"{kind} {id}" for kind, id in found[:6])
        told = (
            f"Several ids begin with '{beginning[:64]}' ({many})" if found else f"No id begins with '{beginning[:64]}'"
        )
        raise NotFound(f"{told}: give more of the id of a comparison, example, annotation, snapshot or run.")
    kind, id = found[0]
    makers: dict[str, Callable[[Database, str], Lineage]] = {
        "comparison": of_comparison,
        "example": of_example,
        "annotation": of_annotation,
        "snapshot": of_snapshot,
        "run": of_run,
    }
    return makers[kind](db, id)


def of_comparison(db: Database, comparison_id: str) -> Lineage:
    """The examples that the votes on a comparison, or corrections of its answers, made. Raises NotFound."""
    made = _Graph()
    start = made.node(_comparison(get_comparison(db, comparison_id)))
    for one in list_made(db, comparison_id):
        made.edge(start, made.node(_example(get_example(db, one.example_id))))
    return made.lineage("comparison", comparison_id)


def of_example(db: Database, example_id: str) -> Lineage:
    """Every answer that an example was given, and what each went into. Raises NotFound."""
    acts = list_revisions(db, example_id)
    shown = [act for act in acts if act.action != "undo"]
    return _of_acts(db, "example", example_id, example_id, shown, acts)


def of_annotation(db: Database, annotation_id: str) -> Lineage:
    """One answer with those that it was made from, and what it went into. Raises NotFound."""
    asked = get_annotation(db, annotation_id)
    every = list_revisions(db, asked.example_id)
    acts = {act.id: act for act in every}
    chain = [asked]
    while (base := acts.get(chain[-1].base or "")) and base not in chain:
        chain.append(base)
    return _of_acts(db, "annotation", annotation_id, asked.example_id, chain[::-1], every)


def of_snapshot(db: Database, snapshot_id: str, project_id: str | None = None) -> Lineage:
    """Who answered the rows of a snapshot under which guidelines, and the runs trained on it. Raises NotFound."""
    return _of_snapshot(db, "snapshot", snapshot_id, get_snapshot(db, snapshot_id, project_id), None)


def of_run(db: Database, run_id: str) -> Lineage:
    """The snapshot that a run was trained on, with all that it came from. Raises NotFound."""
    run = get_run(db, run_id)
    return _of_snapshot(db, "run", run_id, get_snapshot(db, run.snapshot_id, run.project_id), [run])


def _of_acts(
    db: Database, kind: str, id: str, example_id: str, acts: Sequence[Annotation], every: Sequence[Annotation]
) -> Lineage:
    """`acts` with what they went into; `every` act on the example."""
    example, made = get_example(db, example_id), _Graph()
    made.node(_example(example))
    if origin := made_of(db, example_id):
        made.edge(made.node(_comparison(get_comparison(db, origin.comparison_id))), example_id)
    versions, texts, gone = versions_of(db, example_id), _texts(db, example.project_id), {act.undoes for act in every}
    ids = {act.id for act in acts}
    for act in acts:
        state = tr("stands") if act.id == example.annotation_id else tr("taken back") if act.id in gone else ""
        said = _line(act.response) if act.action == "submit" else tr(_ACTS[act.action])
        made.node(Node(act.id, "annotation", said, f"{act.created_at:%Y-%m-%d %H:%M} UTC {state}".strip()))
        made.edge(example_id, act.id)
        made.edge(made.node(_annotator(act.annotator)), act.id)
        made.edge(made.node(_guidelines(versions[act.id], texts)), act.id)
        if act.base in ids:
            made.edge(str(act.base), act.id)
    runs = runs_by_snapshot(db, example.project_id)
    for member in memberships(db, example_id):
        held = member.annotation_id or _standing_at(member.snapshot.created_at, every)
        if kind == "annotation" and held not in ids:
            continue
        snapshot = made.node(_snapshot(member.snapshot, tr("{split} split", split=tr(member.split))))
        made.edge(held if held in ids else example_id, snapshot)
        for run in runs.get(member.snapshot.id, ()):
            made.edge(snapshot, made.node(_run(run)))
    return made.lineage(kind, id)


def _standing_at(moment: datetime, every: Sequence[Annotation]) -> str:
    """The last answer of before a time: what a snapshot holds that is older than the noting of it."""
    undone = {act.undoes for act in every if act.created_at <= moment}
    submits = [act for act in every if act.action == "submit" and act.created_at <= moment and act.id not in undone]
    return submits[-1].id if submits else ""


def _of_snapshot(db: Database, kind: str, id: str, snapshot: Snapshot, runs: list[Run] | None) -> Lineage:
    made, texts = _Graph(), _texts(db, snapshot.project_id)
    rows = snapshot.train_rows + snapshot.validation_rows + snapshot.test_rows
    target = made.node(_snapshot(snapshot, tr("{rows:,} rows", rows=rows)))
    for share in shares(db, snapshot.id, snapshot.project_id):
        told = trn("{count:,} answer", "{count:,} answers", share.rows)
        by = tr("by {name}", name=share.annotator)
        bundle = Node(f"answers:{share.annotator}:{share.version}", "annotation", told, by)
        made.edge(made.node(_annotator(share.annotator)), made.node(bundle))
        made.edge(made.node(_guidelines(share.version, texts)), bundle.id)
        made.edge(bundle.id, target)
    for run in runs if runs is not None else runs_by_snapshot(db, snapshot.project_id).get(snapshot.id, ()):
        made.edge(target, made.node(_run(run)))
    return made.lineage(kind, id)


class _Graph:
    """Nodes and edges, each once."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str], None] = {}

    def node(self, node: Node) -> str:
        """Put a node in; its id."""
        self._nodes.setdefault(node.id, node)
        return node.id

    def edge(self, start: str, end: str) -> None:
        """Put an edge in."""
        self._edges[(start, end)] = None

    def lineage(self, kind: str, id: str) -> Lineage:
        """What was put in, by kind."""
        nodes = sorted(self._nodes.values(), key=lambda node: KINDS.index(node.kind))
        return Lineage(kind, id, tuple(nodes), tuple(self._edges))


def _comparison(comparison: Comparison) -> Node:
    sides = " · ".join(side.name for side in comparison.sides)
    return Node(comparison.id, "comparison", _line(comparison.text), _line(sides))


def _example(example: Example) -> Node:
    return Node(example.id, "example", _line(example.text), tr("example {number}", number=example.position))


def _annotator(name: str) -> Node:
    return Node(f"annotator:{name}", "annotator", name)


def _guidelines(version: int, texts: dict[int, Guidelines]) -> Node:
    known = texts.get(version)
    detail = tr("empty")
    if known and known.text.strip():
        detail = tr("since {day}", day=f"{known.created_at:%Y-%m-%d}")
    return Node(f"guidelines:{version}", "guidelines", tr("Guidelines v{version}", version=version), detail)


def _snapshot(snapshot: Snapshot, detail: str) -> Node:
    return Node(snapshot.id, "snapshot", tr("Snapshot v{version}", version=snapshot.version), detail)


def _run(run: Run) -> Node:
    return Node(run.id, "run", tr("Run {number}", number=run.number), tr(run.state))


def _texts(db: Database, project_id: str) -> dict[int, Guidelines]:
    return {one.version: one for one in list_guidelines(db, project_id)}


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
