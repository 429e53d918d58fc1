"""What the import screen shows: a file as it lies there, the examples it would become, its menus, the account."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from studio.data.columns import Columns, Draft
from studio.data.importing import ImportReport
from studio.data.previews import LOOKED_AT, Preview, Trial
from studio.data.shapes import AUTO, SHAPES
from studio.ui.components.html import chip, count, empty, notice, table, text

NONE = "(none)"
ALL_SPLITS = "all splits"
COLUMNS = "columns"
SHAPE_CHOICES = [(title, name) for name, title in SHAPES.items() if name != AUTO]

MENUS = {
    "input": "Input column",
    "a": "Answer A column",
    "b": "Answer B column",
    "output": "Output column",
    "margin": "Margin column",
    "reason": "Reason column",
    "context": "Context column",
    "tools": "Tools column",
    "group": "Group column",
    "priority": "Priority column",
}
"""The menus of a mapping by the field of Columns that each names, in the order of the form."""

_OF_PREFERENCES = ("a", "b", "margin", "reason")
_BESIDE = ("group", "priority")
_OF_TALKS = ("chat", "instruction")
_OUTPUTS = {
    "classification": "Label column",
    "multi-label": "Labels column",
    "rating": "Rating column",
    "preference": "Choice column",
}
_SHOWN_ROWS = 8
_TEXT = 600


def menus_for(found: Preview, task: str, shape: str = COLUMNS, columns: Columns | None = None) -> list[gr.Dropdown]:
    """The menus of a mapping for a file and a task, with what is chosen or what its column names say."""
    chosen = columns or found.guessed or Columns(found.columns[0])
    made = []
    for field, label in MENUS.items():
        needed = field == "input" or (field in ("a", "b") and task == "preference")
        choices = list(found.columns) if needed else [NONE, *found.columns]
        named = getattr(chosen, field)
        value = named if named in found.columns else (found.columns[0] if needed else NONE)
        label = _OUTPUTS.get(task, label) if field == "output" else label
        made.append(gr.Dropdown(label=label, choices=choices, value=value, visible=_is_asked(field, task, shape)))
    return made


def columns_of(named: Sequence[str | None]) -> Columns:
    """What the menus name, in their order."""
    chosen = {field: None if name == NONE else name for field, name in zip(MENUS, named, strict=True)}
    return Columns(str(chosen.pop("input") or ""), **chosen)


def split_menu(found: Preview) -> gr.Dropdown:
    """The menu of splits, seen only where there are several."""
    several = len(found.splits) > 1
    return gr.Dropdown(choices=[ALL_SPLITS, *found.splits], value=ALL_SPLITS, visible=several)


def no_file() -> str:
    """What stands where nothing was chosen yet."""
    return empty(
        "Nothing to preview",
        "Choose a file, paste text or name a data set: its first rows appear here as the examples they would become, "
        "before anything is imported.",
    )


def preview_html(found: Preview, trial: Trial | None = None) -> str:
    """A file before it is imported: how it would be read, some examples, what to know about it, and its first rows."""
    notes = "".join(notice("warn", note) for note in found.notes)
    kind = " · ".join(text(part) for part in (found.name, found.format, found.encoding) if part)
    shown = found.columns[: len(found.rows[0])] if found.rows else found.columns
    rows = [[_short(cell, 160) for cell in row] for row in found.rows[:_SHOWN_ROWS]]
    raw = table(shown, rows)
    if trial is not None and trial.drafts:
        raw = f"<details class='why'><summary>The rows as they are in the file</summary>{raw}</details>"
    return (
        f"<h3>Preview</h3><p class='quiet' style='margin-bottom:8px'>{kind} · {count(len(shown), 'column')}</p>{notes}"
        f"{trial_html(trial) if trial else ''}{raw}"
    )


def trial_html(trial: Trial) -> str:
    """How the first rows would be read: the shape, its parts, an account, some examples."""
    if trial.problem:
        return notice("bad", trial.problem)
    parts = "".join(f"<div><dt>{text(name)}</dt><dd>{text(where)}</dd></div>" for name, where in trial.parts)
    head = f"<div class='trial'><p>Read as {chip(trial.title, 'busy')}</p><dl>{parts}</dl></div>"
    examples = "".join(_example(draft) for draft in trial.drafts)
    more = f"<div class='trial-examples'>{examples}</div>" if examples else ""
    return f"{head}{_would(trial)}{more}"


def account_html(report: ImportReport) -> str:
    """What became of every row of an import."""
    waiting = report.imported - report.labeled
    sentence = (
        f"Imported {count(report.imported, 'row')}: {report.labeled:,} labeled, {waiting:,} to label. "
        f"{count(report.duplicates, 'exact duplicate')} skipped, {count(report.rejected_count, 'row')} rejected."
    )
    if report.labels:
        sentence += f" {count(report.labels, 'label')} added to the project."
    details = [f"Line {row.line}: {row.reason}" for row in report.rejected]
    if report.rejected_count > len(details):
        details.append(f"… and {report.rejected_count - len(details):,} more")
    return notice("warn" if report.rejected_count else "good", sentence, [*report.notes, *details])


def _would(trial: Trial) -> str:
    tried = trial.taken + trial.rejected
    which = f"Of the first {LOOKED_AT} rows" if tried >= LOOKED_AT else f"Of {count(tried, 'row')}"
    words = f"{which}, {trial.taken:,} can be taken: {trial.labeled:,} with an answer, "
    words += f"{trial.taken - trial.labeled:,} to label."
    if trial.rejected:
        words += f" {count(trial.rejected, 'row')} cannot."
    kind = "bad" if not trial.taken else "warn" if trial.rejected else "good"
    return notice(kind, words, trial.reasons)


def _example(draft: Draft) -> str:
    """An example as it would be stored."""
    turns = [(turn.role, turn.content or turn.extra) for turn in draft.prompt]
    if draft.context:
        turns.insert(0, ("context", draft.context))
    turns += [(f"answer {side}", draft.payload[side.lower()]) for side in "AB" if side.lower() in draft.payload]
    lines = "".join(_line(role, said) for role, said in turns)
    answer = draft.response.replace("\n", " · ") if draft.labels and draft.response else draft.response
    told = _line("answer", answer, "is-answer") if answer is not None else _line("answer", "to label", "is-open")
    beside = [f"group {draft.group}"] if draft.group else []
    beside += ["tools"] if "tools" in draft.payload else []
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
