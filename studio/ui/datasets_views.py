"""What the Datasets tab shows of snapshots, rows and differences: data in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from storage.records import Snapshot
from studio.data.diff import KINDS, Diff, DiffRow
from studio.data.snapshots import GROUPINGS, SPLITS, SnapshotRow
from studio.jobs.curves import LearningCurve
from studio.language import tr, trn
from studio.ui.components.html import chip, empty, moment, notice, number, table, text
from studio.ui.components.words import word_diff

PAGE = 25
_LONGEST = 4000
_MOST_LABELS = 200
_SHORT = 80
"""Characters of two answers up to which one is shown after the other, not word by word."""


def waiting_html(labeled: int) -> str:
    """The head of the form: how many pairs would be frozen now."""
    now = trn("{count:,} accepted pair now.", "{count:,} accepted pairs now.", labeled)
    said = tr(
        "A snapshot never changes: runs that use it stay comparable. The same prompt never lands in two splits, and "
        "what was once in a test split stays in it."
    )
    return f"<h2 class='title'>{text(tr('Freeze a snapshot'))}</h2><p class='quiet'>{text(f'{now} {said}')}</p>"


def cards_html(found: Sequence[Snapshot], current: str) -> str:
    """The snapshots of a project, newest first."""
    if not found:
        how = tr("Freeze one above once there are labeled pairs: training starts from one.")
        return empty(tr("No snapshot yet"), how)
    items = (
        f'<button type="button" class="item {"current" if item.id == current else ""}" data-id="{text(item.id)}">'
        f'<div class="head"><b>v{item.version}</b><span class="line">{moment(item.created_at)}</span>'
        f'{chip(item.id[:8])}</div><div class="line">{text(_sizes(item))}</div></button>'
        for item in found
    )
    return f'<div class="list">{"".join(items)}</div>'


def _sizes(item: Snapshot) -> str:
    return tr(
        "{train:,} train · {validation:,} validation · {test:,} test · seed {seed}",
        train=item.train_rows,
        validation=item.validation_rows,
        test=item.test_rows,
        seed=item.seed,
    )


def frozen_html(snapshot: Snapshot, created: bool, notes: Sequence[str]) -> str:
    """What came of a freeze."""
    version = f"v{snapshot.version}"
    done = tr("Frozen as {version}.", version=version)
    if not created:
        done = tr("Nothing has changed: this is {version}.", version=version)
    return notice("good", done) + "".join(f'<p class="quiet">{text(note)}</p>' for note in notes)


def curve_html(curves: Sequence[LearningCurve]) -> str:
    """What the newest learning curve of a snapshot says of more labels, or how to have one."""
    said = next((curve.foretold.sentence for curve in curves if curve.foretold.sentence), "")
    words = said or tr("How many more labels are worth it? A learning curve says: “How many more labels?” in Train.")
    return f'<p class="{"curve-says" if said else "quiet"}">{text(words)}</p>'


def head_html(snapshot: Snapshot, manifest: Mapping[str, Any]) -> str:
    """A snapshot's name and how it was made; what its manifest is too old to say is left out."""
    options = manifest.get("options") or {}
    facts = [tr("seed {seed}", seed=snapshot.seed)]
    if grouping := GROUPINGS.get(str(options.get("group_by"))):
        facts.append(tr("kept together: {what}", what=tr(grouping)))
    if options.get("stratify") and manifest.get("labels"):
        facts.append(tr("stratified by label"))
    held = manifest.get("held_out") or {}
    if held.get("kept"):
        kept = int(held["kept"])
        facts.append(trn("{count:,} test row of before kept", "{count:,} test rows of before kept", kept))
    if manifest.get("guidelines"):
        facts.append(tr("guidelines v{version}", version=manifest["guidelines"]))
    said = f"<span>id <code>{text(snapshot.id)}</code></span>"
    said += "".join(f"<span>{text(fact)}</span>" for fact in facts)
    return f'<div class="snapshot-facts"><h2>v{snapshot.version}</h2>{said}</div>{_labels(manifest.get("labels"))}'


def _labels(labels: object) -> str:
    """How often each label occurs in each split."""
    if not isinstance(labels, dict) or not labels:
        return ""
    rows = [[name, *(number(counts.get(split, 0)) for split in SPLITS)] for name, counts in labels.items()]
    shown = table(
        [tr("label").capitalize(), *(tr(split.capitalize()) for split in SPLITS)], rows[:_MOST_LABELS], [1, 2, 3]
    )
    summary = text(trn("{count:,} label", "{count:,} labels", len(labels)))
    return f'<details class="label-shares"><summary>{summary}</summary>{shown}</details>'


def sound_html(rows: Mapping[str, int]) -> str:
    """That a snapshot's files are what it was named by."""
    total = sum(rows.values())
    return notice("good", tr("Sound: the content of all {rows:,} rows gives the id again.", rows=total))


def rows_html(rows: Sequence[SnapshotRow], split: str, page: int, words: str = "", total: int | None = None) -> str:
    """A page of a split; `total` is how many rows have the `words` that were searched for."""
    if not rows:
        return empty(tr("No rows here"), _none_on(split, page, words))
    first = (page - 1) * PAGE + 1
    body = "".join(
        f'<tr><td class="num">{number(first + at)}</td><td><div class="clip">{_cut(row.prompt)}</div></td>'
        f'<td><div class="clip">{_cut(row.response)}</div>{_rejected(row)}</td><td class="do"><button type="button" '
        f'class="find-do" data-id="{text(row.example_id)}" aria-label="{_lineage_of(first + at)}">'
        f"{text(tr('Lineage'))}</button></td></tr>"
        for at, row in enumerate(rows)
    )
    found = ""
    if total is not None:
        said = trn("{count:,} row with “{words}”", "{count:,} rows with “{words}”", total, words=words)
        found = f'<p class="quiet">{text(said)}</p>'
    return found + _table(["#", tr("Prompt"), tr("Answer"), ""], body)


def _none_on(split: str, page: int, words: str) -> str:
    if words:
        return tr("No row of the {split} split has “{words}” on page {page}.", split=tr(split), words=words, page=page)
    return tr("The {split} split has no rows on page {page}.", split=tr(split), page=page)


def _lineage_of(row: int) -> str:
    return text(tr("Lineage of row {row}", row=row))


def _rejected(row: SnapshotRow) -> str:
    if row.rejected is None:
        return ""
    return f"<small>{tr('not preferred: {answer}', answer=_cut(row.rejected))}</small>"


def diff_html(found: Diff) -> str:
    """The sums of a diff: how many rows of each kind, who gave other answers, where rows moved."""
    names = {**{kind: tr(name) for kind, name in KINDS.items()}, "same": tr("The same")}
    sums = "".join(
        f"<div><dt>{text(name)}</dt><dd>{number(found.counts[kind])}</dd></div>" for kind, name in names.items()
    )
    by = ", ".join(f"{name or tr('somebody unknown here')} {number(rows)}" for name, rows in found.by.items())
    moves = ", ".join(
        tr("{before} to {after} {rows:,}", before=tr(a), after=tr(b), rows=rows) for (a, b), rows in found.moves.items()
    )
    told = [tr("Re-labeled by {names}.", names=by)] if by else []
    told += [tr("Moved: {moves}.", moves=moves)] if moves else []
    said = "".join(f'<p class="quiet">{text(line)}</p>' for line in told)
    return f'<dl class="diff-sums">{sums}</dl>{said}'


def diff_rows_html(rows: Sequence[DiffRow], kind: str, page: int) -> str:
    """A page of the rows of one kind."""
    if not rows:
        what = tr(KINDS[kind]).lower()
        none = tr("No row was {kind}, or there is no page {page} of them.", kind=what, page=page)
        return empty(tr("No rows here"), none)
    body = "".join(
        f'<tr><td><div class="clip">{_cut(row.prompt)}</div></td><td><div class="clip">{_change(row)}</div></td>'
        f"<td>{_splits(row)}</td><td>{_author(row)}</td></tr>"
        for row in rows
    )
    return _table([tr("Prompt"), tr("Answer"), tr("Split"), tr("By")], body)


def _change(row: DiffRow) -> str:
    before, after = ((side or "")[:_LONGEST] for side in (row.before, row.after))
    if row.before is None or row.after is None or before == after:
        return _cut(after or before)
    if len(before) + len(after) < _SHORT and "\n" not in before + after:
        return f"<del>{text(before)}</del> → <ins>{text(after)}</ins>"
    return word_diff(before, after)


def _splits(row: DiffRow) -> str:
    if row.split_before == row.split_after or not (row.split_before and row.split_after):
        return chip(tr(row.split_after or row.split_before or ""))
    return f"{chip(tr(row.split_before))} → {chip(tr(row.split_after))}"


def _author(row: DiffRow) -> str:
    if not row.by:
        return ""
    before = ""
    if row.by_before not in (None, row.by):
        before = f"<small>{text(tr('before: {name}', name=row.by_before))}</small>"
    return f"{text(row.by)}{f'<small>{moment(row.at)}</small>' if row.at else ''}{before}"


def _cut(said: str | None) -> str:
    said = said or ""
    return text(said if len(said) <= _LONGEST else said[:_LONGEST] + "…")


def _table(head: Sequence[str], body: str) -> str:
    cells = "".join(f'<th scope="col" class="{"num" if name == "#" else ""}">{text(name)}</th>' for name in head)
    return f'<div class="table rows"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'
