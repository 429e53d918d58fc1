"""What the Datasets tab shows of snapshots, rows and differences: data in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from storage.records import Snapshot
from studio.data.diff import KINDS, Diff, DiffRow
from studio.data.snapshots import GROUPINGS, SPLITS, SnapshotRow
from studio.jobs.curves import LearningCurve
from studio.ui.components.html import chip, count, empty, moment, notice, table, text
from studio.ui.components.words import word_diff

PAGE = 25
_LONGEST = 4000
_MOST_LABELS = 200
_SHORT = 80
"""Characters of two answers up to which one is shown after the other, not word by word."""


def waiting_html(labeled: int) -> str:
    """The head of the form: how many pairs would be frozen now."""
    return (
        f"<h2 class='title'>Freeze a snapshot</h2><p class='quiet'>{count(labeled, 'accepted pair')} now. A snapshot "
        "never changes: runs that use it stay comparable. The same prompt never lands in two splits, and what was once "
        "in a test split stays in it.</p>"
    )


def cards_html(found: Sequence[Snapshot], current: str) -> str:
    """The snapshots of a project, newest first."""
    if not found:
        return empty("No snapshot yet", "Freeze one above once there are labeled pairs: training starts from one.")
    items = (
        f'<button type="button" class="item {"current" if item.id == current else ""}" data-id="{text(item.id)}">'
        f'<div class="head"><b>v{item.version}</b><span class="line">{moment(item.created_at)}</span>'
        f'{chip(item.id[:8])}</div><div class="line">{item.train_rows:,} train · {item.validation_rows:,} validation · '
        f"{item.test_rows:,} test · seed {item.seed}</div></button>"
        for item in found
    )
    return f'<div class="list">{"".join(items)}</div>'


def frozen_html(snapshot: Snapshot, created: bool, notes: Sequence[str]) -> str:
    """What came of a freeze."""
    version = f"v{snapshot.version}"
    done = f"Frozen as {version}." if created else f"Nothing has changed: this is {version}."
    return notice("good", done) + "".join(f'<p class="quiet">{text(note)}</p>' for note in notes)


def curve_html(curves: Sequence[LearningCurve]) -> str:
    """What the newest learning curve of a snapshot says of more labels, or how to have one."""
    said = next((curve.foretold.sentence for curve in curves if curve.foretold.sentence), "")
    words = said or "How many more labels are worth it? A learning curve says: “How many more labels?” in Train."
    return f'<p class="{"curve-says" if said else "quiet"}">{text(words)}</p>'


def head_html(snapshot: Snapshot, manifest: Mapping[str, Any]) -> str:
    """A snapshot's name and how it was made; what its manifest is too old to say is left out."""
    options = manifest.get("options") or {}
    facts = [f"id <code>{text(snapshot.id)}</code>", f"seed {snapshot.seed}"]
    if grouping := GROUPINGS.get(str(options.get("group_by"))):
        facts.append(f"kept together: {text(grouping)}")
    if options.get("stratify") and manifest.get("labels"):
        facts.append("stratified by label")
    held = manifest.get("held_out") or {}
    if held.get("kept"):
        facts.append(f"{count(int(held['kept']), 'test row')} of before kept")
    if manifest.get("guidelines"):
        facts.append(f"guidelines v{text(manifest['guidelines'])}")
    said = "".join(f"<span>{fact}</span>" for fact in facts)
    return f'<div class="snapshot-facts"><h2>v{snapshot.version}</h2>{said}</div>{_labels(manifest.get("labels"))}'


def _labels(labels: object) -> str:
    """How often each label occurs in each split."""
    if not isinstance(labels, dict) or not labels:
        return ""
    rows = [[name, *(f"{counts.get(split, 0):,}" for split in SPLITS)] for name, counts in labels.items()]
    shown = table(["Label", *(split.capitalize() for split in SPLITS)], rows[:_MOST_LABELS], [1, 2, 3])
    return f'<details class="label-shares"><summary>{count(len(labels), "label")}</summary>{shown}</details>'


def sound_html(rows: Mapping[str, int]) -> str:
    """That a snapshot's files are what it was named by."""
    return notice("good", f"Sound: the content of all {sum(rows.values()):,} rows gives the id again.")


def rows_html(rows: Sequence[SnapshotRow], split: str, page: int, words: str = "", total: int | None = None) -> str:
    """A page of a split; `total` is how many rows have the `words` that were searched for."""
    if not rows:
        looked = f"No row of the {split} split has “{words}” on page {page}." if words else ""
        return empty("No rows here", looked or f"The {split} split has no rows on page {page}.")
    first = (page - 1) * PAGE + 1
    body = "".join(
        f'<tr><td class="num">{first + at:,}</td><td><div class="clip">{_cut(row.prompt)}</div></td>'
        f'<td><div class="clip">{_cut(row.response)}</div>{_rejected(row)}</td><td class="do"><button type="button" '
        f'class="find-do" data-id="{text(row.example_id)}" aria-label="Lineage of row {first + at}">Lineage</button>'
        f"</td></tr>"
        for at, row in enumerate(rows)
    )
    found = f'<p class="quiet">{count(total, "row")} with “{text(words)}”</p>' if total is not None else ""
    return found + _table(["#", "Prompt", "Answer", ""], body)


def _rejected(row: SnapshotRow) -> str:
    return f"<small>not preferred: {_cut(row.rejected)}</small>" if row.rejected is not None else ""


def diff_html(found: Diff) -> str:
    """The sums of a diff: how many rows of each kind, who gave other answers, where rows moved."""
    sums = "".join(f"<div><dt>{name}</dt><dd>{found.counts[kind]:,}</dd></div>" for kind, name in KINDS.items())
    sums += f"<div><dt>The same</dt><dd>{found.counts['same']:,}</dd></div>"
    by = ", ".join(f"{text(name) if name else 'somebody unknown here'} {rows:,}" for name, rows in found.by.items())
    moves = ", ".join(f"{a} to {b} {rows:,}" for (a, b), rows in found.moves.items())
    said = (f'<p class="quiet">Re-labeled by {by}.</p>' if by else "") + (
        f'<p class="quiet">Moved: {moves}.</p>' if moves else ""
    )
    return f'<dl class="diff-sums">{sums}</dl>{said}'


def diff_rows_html(rows: Sequence[DiffRow], kind: str, page: int) -> str:
    """A page of the rows of one kind."""
    if not rows:
        return empty("No rows here", f"No row was {KINDS[kind].lower()}, or there is no page {page} of them.")
    body = "".join(
        f'<tr><td><div class="clip">{_cut(row.prompt)}</div></td><td><div class="clip">{_change(row)}</div></td>'
        f"<td>{_splits(row)}</td><td>{_author(row)}</td></tr>"
        for row in rows
    )
    return _table(["Prompt", "Answer", "Split", "By"], body)


def _change(row: DiffRow) -> str:
    before, after = ((side or "")[:_LONGEST] for side in (row.before, row.after))
    if row.before is None or row.after is None or before == after:
        return _cut(after or before)
    if len(before) + len(after) < _SHORT and "\n" not in before + after:
        return f"<del>{text(before)}</del> → <ins>{text(after)}</ins>"
    return word_diff(before, after)


def _splits(row: DiffRow) -> str:
    if row.split_before == row.split_after or not (row.split_before and row.split_after):
        return chip(row.split_after or row.split_before or "")
    return f"{chip(row.split_before)} → {chip(row.split_after)}"


def _author(row: DiffRow) -> str:
    if not row.by:
        return ""
    before = f"<small>before: {text(row.by_before)}</small>" if row.by_before not in (None, row.by) else ""
    return f"{text(row.by)}{f'<small>{moment(row.at)}</small>' if row.at else ''}{before}"


def _cut(said: str | None) -> str:
    said = said or ""
    return text(said if len(said) <= _LONGEST else said[:_LONGEST] + "…")


def _table(head: Sequence[str], body: str) -> str:
    cells = "".join(f'<th scope="col" class="{"num" if name == "#" else ""}">{name}</th>' for name in head)
    return f'<div class="table rows"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'
