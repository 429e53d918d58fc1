"""What the import screen shows: a file as it lies there, the examples it would become, its menus, the account."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from studio.data.columns import Columns, Draft
from studio.data.importing import ImportReport
from studio.data.previews import LOOKED_AT, Preview, Trial
from studio.data.shapes import AUTO, SHAPES
from studio.language import mark, tr, trn
from studio.ui.components.html import chip, empty, notice, table, text

NONE = mark("(none)")
ALL_SPLITS = mark("all splits")
COLUMNS = "columns"
SHAPE_CHOICES = [(title, name) for name, title in SHAPES.items() if name != AUTO]

MENUS = {
    "input": mark("Input column"),
    "a": mark("Answer A column"),
    "b": mark("Answer B column"),
    "output": mark("Output column"),
    "margin": mark("Margin column"),
    "reason": mark("Reason column"),
    "context": mark("Context column"),
    "tools": mark("Tools column"),
    "group": mark("Group column"),
    "priority": mark("Priority column"),
}
"""The menus of a mapping by the field of Columns that each names, in the order of the form."""

_OF_PREFERENCES = ("a", "b", "margin", "reason")
_BESIDE = ("group", "priority")
_OF_TALKS = ("chat", "instruction")
_OUTPUTS = {
    "classification": mark("Label column"),
    "multi-label": mark("Labels column"),
    "rating": mark("Rating column"),
    "preference": mark("Choice column"),
}
_SIDES = {"A": mark("answer A"), "B": mark("answer B")}
_SHOWN_ROWS = 8
_TEXT = 600


def menus_for(found: Preview, task: str, shape: str = COLUMNS, columns: Columns | None = None) -> list[gr.Dropdown]:
    """The menus of a mapping for a file and a task, with what is chosen or what its column names say."""
    chosen = columns or found.guessed or Columns(found.columns[0])
    made = []
    for field, label in MENUS.items():
        needed = field == "input" or (field in ("a", "b") and task == "preference")
        none = [] if needed else [(tr(NONE), NONE)]
        choices = [*none, *((name, name) for name in found.columns)]
        named = getattr(chosen, field)
        value = named if named in found.columns else (found.columns[0] if needed else NONE)
        label = _OUTPUTS.get(task, label) if field == "output" else label
        made.append(gr.Dropdown(label=tr(label), choices=choices, value=value, visible=_is_asked(field, task, shape)))
    return made


def columns_of(named: Sequence[str | None]) -> Columns:
    """What the menus name, in their order."""
    chosen = {field: None if name == NONE else name for field, name in zip(MENUS, named, strict=True)}
    return Columns(str(chosen.pop("input") or ""), **chosen)


def split_menu(found: Preview) -> gr.Dropdown:
    """The menu of splits, seen only where there are several."""
    several = len(found.splits) > 1
    choices = [(tr(ALL_SPLITS), ALL_SPLITS), *((name, name) for name in found.splits)]
    return gr.Dropdown(choices=choices, value=ALL_SPLITS, visible=several)


def no_file() -> str:
    """What stands where nothing was chosen yet."""
    return empty(
        tr("Nothing to preview"),
        tr(
            "Choose a file, paste text or name a data set: its first rows appear here as the examples they would "
            "become, before anything is imported."
        ),
    )


def preview_html(found: Preview, trial: Trial | None = None) -> str:
    """A file before it is imported: how it would be read, some examples, what to know about it, and its first rows."""
    notes = "".join(notice("warn", note) for note in found.notes)
    kind = " · ".join(text(part) for part in (found.name, found.format, found.encoding) if part)
    shown = found.columns[: len(found.rows[0])] if found.rows else found.columns
    rows = [[_short(cell, 160) for cell in row] for row in found.rows[:_SHOWN_ROWS]]
    raw = table(shown, rows)
    if trial is not None and trial.drafts:
        as_they_are = text(tr("The rows as they are in the file"))
        raw = f"<details class='why'><summary>{as_they_are}</summary>{raw}</details>"
    title, columns = text(tr("Preview")), text(trn("{count:,} column", "{count:,} columns", len(shown)))
    return (
        f"<h3>{title}</h3><p class='quiet' style='margin-bottom:8px'>{kind} · {columns}</p>{notes}"
        f"{trial_html(trial) if trial else ''}{raw}"
    )


def trial_html(trial: Trial) -> str:
    """How the first rows would be read: the shape, its parts, an account, some examples."""
    if trial.problem:
        return notice("bad", tr(trial.problem))
    parts = "".join(f"<div><dt>{text(tr(name))}</dt><dd>{text(where)}</dd></div>" for name, where in trial.parts)
    read_as = tr("Read as {shape}", shape=chip(tr(trial.title), "busy"))
    head = f"<div class='trial'><p>{read_as}</p><dl>{parts}</dl></div>"
    examples = "".join(_example(draft) for draft in trial.drafts)
    more = f"<div class='trial-examples'>{examples}</div>" if examples else ""
    return f"{head}{_would(trial)}{more}"


def account_html(report: ImportReport) -> str:
    """What became of every row of an import."""
    taken = trn(
        "Imported {count:,} row: {labeled:,} labeled, {waiting:,} to label.",
        "Imported {count:,} rows: {labeled:,} labeled, {waiting:,} to label.",
        report.imported,
        labeled=report.labeled,
        waiting=report.imported - report.labeled,
    )
    duplicates = trn("{count:,} exact duplicate", "{count:,} exact duplicates", report.duplicates)
    rejected = trn("{count:,} row", "{count:,} rows", report.rejected_count)
    sentences = [
        taken,
        tr("{duplicates} skipped, {rejected} rejected.", duplicates=duplicates, rejected=rejected),
    ]
    if report.labels:
        sentences.append(
            trn("{count:,} label added to the project.", "{count:,} labels added to the project.", report.labels)
        )
    details = [tr("Line {line}: {reason}", line=row.line, reason=row.reason) for row in report.rejected]
    if report.rejected_count > len(details):
        details.append(tr("… and {count:,} more", count=report.rejected_count - len(details)))
    return notice("warn" if report.rejected_count else "good", " ".join(sentences), [*report.notes, *details])


def _would(trial: Trial) -> str:
    tried = trial.taken + trial.rejected
    told = {"taken": trial.taken, "labeled": trial.labeled, "waiting": trial.taken - trial.labeled}
    if tried >= LOOKED_AT:
        words = tr(
            "Of the first {first} rows, {taken:,} can be taken: {labeled:,} with an answer, {waiting:,} to label.",
            first=LOOKED_AT,
            **told,
        )
    else:
        words = trn(
            "Of {count:,} row, {taken:,} can be taken: {labeled:,} with an answer, {waiting:,} to label.",
            "Of {count:,} rows, {taken:,} can be taken: {labeled:,} with an answer, {waiting:,} to label.",
            tried,
            **told,
        )
    if trial.rejected:
        words += " " + trn("{count:,} row cannot.", "{count:,} rows cannot.", trial.rejected)
    kind = "bad" if not trial.taken else "warn" if trial.rejected else "good"
    return notice(kind, words, trial.reasons)


def _example(draft: Draft) -> str:
    """An example as it would be stored."""
    turns = [(tr(turn.role), turn.content or turn.extra) for turn in draft.prompt]
    if draft.context:
        turns.insert(0, (tr("context"), draft.context))
    sides = [(name, side.lower()) for side, name in _SIDES.items() if side.lower() in draft.payload]
    turns += [(tr(name), draft.payload[side]) for name, side in sides]
    lines = "".join(_line(role, said) for role, said in turns)
    answer = draft.response.replace("\n", " · ") if draft.labels and draft.response else draft.response
    role = tr("answer")
    told = _line(role, answer, "is-answer") if answer is not None else _line(role, tr("to label"), "is-open")
    beside = [tr("group {name}", name=draft.group)] if draft.group else []
    beside += [tr("tools")] if "tools" in draft.payload else []
    chips = "".join(chip(name) for name in beside)
    return f"<div class='trial-example'>{lines}{told}{chips}</div>"


def _line(role: str, said: str, kind: str = "") -> str:
    return f"<div class='{kind}'><span>{text(role)}</span><p dir='auto'>{text(_short(said, _TEXT))}</p></div>"


def _is_asked(field: str, task: str, shape: str) -> bool:
    """Whether a menu is seen: the mapping only where the columns are named by hand."""
    if field in _BESIDE:
        return True
    if shape != COLUMNS or (field in _OF_PREFERENCES and task != "preference"):
        return False
    return field != "tools" or task in _OF_TALKS


def _short(value: str, limit: int = 280) -> str:
    return value if len(value) <= limit else value[: limit - 1] + "…"
