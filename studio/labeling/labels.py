"""The label set of a classification: add, order and colour labels; rename, merge and delete them with a preview.

Nothing is overwritten: storage.relabeling appends a revision to each answer that a change touches, and an audit line
with the counts is part of the same transaction.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from storage.audit import record_in
from storage.database import Database
from storage.labels import LABEL_LIMIT, NAME_LIMIT, PALETTE, checked_label, stored_settings, with_labels
from storage.projects import get_project, write_settings
from storage.records import Label, Project, Settings, User
from storage.relabeling import Affected, Change, change_in, count_affected
from studio.errors import BadInput, Conflict
from studio.language import tr, trn

__all__ = [
    "LABEL_LIMIT",
    "NAME_LIMIT",
    "PALETTE",
    "Change",
    "LabelChange",
    "add_labels",
    "apply_change",
    "arrange_labels",
    "key_of",
    "preview_change",
    "with_labels",
]

KINDS = ("rename", "merge", "delete")
_KEYS = "1234567890"
_TASKS = ("classification", "multi-label")


@dataclass(frozen=True)
class LabelChange:
    """What a change would touch, and the sentence that a screen shows before it is confirmed."""

    change: Change
    affected: Affected
    sentence: str


def key_of(position: int) -> str:
    """The key that chooses the label at a position (from 0): 1 to 9, then 0; '' for those behind."""
    return _KEYS[position] if 0 <= position < len(_KEYS) else ""


def add_labels(db: Database, user: User, project_id: str, names: Sequence[str]) -> int:
    """Add labels behind those there are, blank lines and known names passed over; returns how many are new.

    Raises BadInput (a name too long, too many), NotFound.
    """
    with db.write() as cursor:
        before = stored_settings(cursor, project_id)
        after = with_labels(before, [name for name in names if name.strip()])
        added = [label.name for label in after.labels[len(before.labels) :]]
        if added:
            write_settings(cursor, project_id, after)
            db.touch(project_id)
            record_in(cursor, user.name, "label add", project_id, "", labels=added)
    return len(added)


def arrange_labels(db: Database, user: User, project_id: str, labels: Sequence[Label]) -> None:
    """Set order and colours: the same names in another order. Raises BadInput, and Conflict when the set has changed
    since it was shown."""
    for label in labels:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", label.colour):
            raise BadInput("A colour is written #rrggbb.")
    with db.write() as cursor:
        before = stored_settings(cursor, project_id)
        if sorted(label.name for label in labels) != sorted(label.name for label in before.labels):
            raise Conflict("The labels were changed meanwhile: look at them again, then arrange them.", before.labels)
        if tuple(labels) != before.labels:
            write_settings(cursor, project_id, replace(before, labels=tuple(labels)))
            db.touch(project_id)
            record_in(cursor, user.name, "label arrange", project_id, "", labels=[label.name for label in labels])


def preview_change(db: Database, project_id: str, change: Change) -> LabelChange:
    """What a change would touch now. Raises BadInput for one that cannot be made, NotFound."""
    project = get_project(db, project_id)
    change = _checked(project.task, project.settings, change)
    affected = count_affected(db.cursor(), project_id, change, project.settings.overlap)
    return LabelChange(change, affected, _sentence(project, change, affected))


def apply_change(
    db: Database,
    user: User,
    project_id: str,
    change: Change,
    expected: Affected,
) -> LabelChange:
    """Rename, merge or delete a label in one transaction, with its line in the audit log. Returns what was touched.

    Raises BadInput and NotFound as the preview, and Conflict with the new preview when more or fewer answers are
    affected than `expected`.
    """
    project = get_project(db, project_id)
    with db.write() as cursor:
        settings = stored_settings(cursor, project_id)
        change = _checked(project.task, settings, change)
        affected = count_affected(cursor, project_id, change, settings.overlap)
        done = LabelChange(change, affected, _sentence(project, change, affected))
        if affected != expected:
            raise Conflict(tr("Meanwhile people went on labeling. It is now: {change}", change=done.sentence), done)
        labels = _after(settings.labels, change)
        change_in(cursor, project_id, change, labels, settings.overlap, settings.review)
        write_settings(cursor, project_id, replace(settings, labels=labels))
        details = {"to": change.to} if change.to else {}
        record_in(cursor, user.name, f"label {change.kind}", project_id, change.label, **details, **vars(affected))
        db.touch(project_id)
    return done


def _checked(task: str, settings: Settings, change: Change) -> Change:
    names = {label.name for label in settings.labels}
    if task not in _TASKS:
        raise BadInput("Only classifications have labels.")
    if change.kind not in KINDS:
        raise BadInput(tr("There is no change '{name}'; there are: {names}.", name=change.kind, names=", ".join(KINDS)))
    if change.label not in names:
        raise BadInput("Choose a label that is there.")
    if change.kind == "delete":
        return Change("delete", change.label)
    to = checked_label(change.to)
    if to == change.label:
        raise BadInput("That is the name it has.")
    if change.kind == "merge" and to not in names:
        raise BadInput("Choose the label to merge it into.")
    if change.kind == "rename" and to in names:
        raise BadInput(tr("There is a label '{label}' already: merge the two instead.", label=to))
    return Change(change.kind, change.label, to)


def _after(labels: Sequence[Label], change: Change) -> tuple[Label, ...]:
    if change.kind == "rename":
        return tuple(replace(label, name=change.to) if label.name == change.label else label for label in labels)
    return tuple(label for label in labels if label.name != change.label)


def _sentence(project: Project, change: Change, affected: Affected) -> str:
    answers = tr(
        "{annotations} of {examples}",
        annotations=trn("{count:,} annotation", "{count:,} annotations", affected.annotations),
        examples=trn("{count:,} example", "{count:,} examples", affected.examples),
    )
    values = {"label": change.label, "to": change.to, "answers": answers}
    if change.kind == "delete":
        told = [tr("Deleting “{label}” takes it from {answers}", **values)]
    elif change.kind == "merge":
        told = [tr("Merging “{label}” into “{to}” changes {answers}", **values)]
    else:
        told = [tr("Renaming “{label}” to “{to}” changes {answers}", **values)]
    if change.kind == "delete" and affected.reopened:
        told.append(
            trn(
                "{count:,} example then waits to be labeled again",
                "{count:,} examples then wait to be labeled again",
                affected.reopened,
            )
        )
    if follow := _following(affected):
        told.append(tr("{things} follow", things=", ".join(follow)))
    return tr("{change}. The old answers stay in each example's history.", change="; ".join(told))


def _following(affected: Affected) -> list[str]:
    things = (
        (affected.gold, trn("{count:,} gold answer", "{count:,} gold answers", affected.gold)),
        (affected.drafts, trn("{count:,} draft", "{count:,} drafts", affected.drafts)),
        (affected.suggestions, trn("{count:,} open suggestion", "{count:,} open suggestions", affected.suggestions)),
    )
    return [words for number, words in things if number]
