"""A readable sample of the rows: the biggest losses and wins and some ties, both answers beside the reference.

What it leaves out: the rest of the rows, and what a text has beyond what can be read; both are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from studio.contract.evaluation import EvalReport
from studio.contract.word_changes import word_changes
from studio.jobs.evaluating import EvalRow
from studio.jobs.evaluation_said import figure
from studio.jobs.verdict_page.pieces import Html, chip, part, text
from studio.language import mark, tr, trn

_KINDS = {"win": (mark("Biggest wins"), 6), "loss": (mark("Biggest losses"), 6), "tie": (mark("Some ties"), 4)}
_LABELS = {"win": mark("better"), "loss": mark("worse"), "tie": mark("equal")}
_MOST_CHARACTERS, _MOST_LINES = 1_400, 24
_LEAST_DIFFED = 20
_ALIKE = 0.3
"""Share of an answer that it must have in common with the reference for a diff to be easier to read than the answer."""
_TAGS = {"gone": "del", "new": "ins"}


def sample(rows: Sequence[EvalRow], outcome: str, most: int) -> list[EvalRow]:
    """Wins and losses by how much they differ, ties evenly spread over the split."""
    found = [row for row in rows if row.outcome == outcome]
    if outcome != "tie":
        return sorted(found, key=lambda row: (-abs(row.tuned_score - row.base_score), row.row))[:most]
    step = max(1, len(found) // most) if most else 1
    return found[::step][:most]


def shown_rows(rows: Sequence[EvalRow]) -> int:
    """How many rows' texts the page holds."""
    return sum(len(sample(rows, outcome, most)) for outcome, (_, most) in _KINDS.items())


def answers(report: EvalReport, rows: Sequence[EvalRow]) -> Html:
    """The sample, or nothing without rows."""
    if not rows:
        return Html("")
    title = report.metrics[report.verdict.metric].title
    groups = "".join(_group(rows, outcome) for outcome in _KINDS)
    note = tr(
        "By {metric}, base → tuned. In an answer that is close to the reference, underlined words are not in the "
        "reference, and struck words are missing from the answer.",
        metric=tr(title),
    )
    return part(tr("Answers side by side"), groups, note=note)


def _group(rows: Sequence[EvalRow], outcome: str) -> str:
    title, most = _KINDS[outcome]
    found = sample(rows, outcome, most)
    if not found:
        return ""
    whole = sum(row.outcome == outcome for row in rows)
    told = text(_counted(outcome, len(found), whole))
    return f'<h3>{text(tr(title))} <small class="quiet">{told}</small></h3>' + "".join(_article(row) for row in found)


def _counted(outcome: str, shown: int, whole: int) -> str:
    """How many of an outcome there are, and how many of them are shown where that is not all."""
    if outcome == "win":
        some = trn("{shown} of {count:,} win", "{shown} of {count:,} wins", whole, shown=shown)
        return some if shown < whole else trn("{count:,} win", "{count:,} wins", whole)
    if outcome == "loss":
        some = trn("{shown} of {count:,} loss", "{shown} of {count:,} losses", whole, shown=shown)
        return some if shown < whole else trn("{count:,} loss", "{count:,} losses", whole)
    some = trn("{shown} of {count:,} tie", "{shown} of {count:,} ties", whole, shown=shown)
    return some if shown < whole else trn("{count:,} tie", "{count:,} ties", whole)


def _article(row: EvalRow) -> str:
    kind = {"win": "good", "loss": "bad"}.get(row.outcome, "")
    label = tr(_LABELS.get(row.outcome, row.outcome))
    score = f"{tr('row {number:,}', number=row.row)} · {figure(row.base_score)} → {figure(row.tuned_score)}"
    tuned = _answer(row.reference, row.tuned)
    sides = (
        _said(tr("Base"), _answer(row.reference, row.base)) + _said(tr("Tuned"), tuned, "tuned")
        if row.base != row.tuned
        else _said(tr("Base and tuned"), tuned, "both")
    )
    return (
        f'<article><p class="head">{chip(label, kind)} <span class="quiet">{text(score)}</span></p>'
        f"{_said(tr('Prompt'), _plain(row.prompt), 'prompt')}"
        f"{_said(tr('Reference'), _plain(row.reference), 'reference')}"
        f'<div class="sides">{sides}</div></article>'
    )


def _said(who: str, words: str, kind: str = "") -> str:
    return f'<div class="said {kind}"><h4>{text(who)}</h4><p dir="auto">{words}</p></div>'


def _answer(reference: str, answer: str) -> str:
    if not answer:
        return f'<span class="quiet">{text(tr("(no answer)"))}</span>'
    if len(reference) < _LEAST_DIFFED or answer == reference:
        return _plain(answer)
    changes = list(word_changes(reference, _cut(answer)[0]))
    same = sum(len(piece) for kind, piece in changes if kind == "same")
    if same < _ALIKE * max(1, min(len(reference), len(answer))) or len(reference) > _MOST_CHARACTERS:
        return _plain(answer)
    marked = "".join(
        f"<{_TAGS[kind]}>{text(piece)}</{_TAGS[kind]}>" if kind in _TAGS else text(piece) for kind, piece in changes
    )
    return marked + _rest(_cut(answer)[1])


def _plain(value: str) -> str:
    shown, left = _cut(value)
    return f"{text(shown)}{_rest(left)}"


def _cut(value: str) -> tuple[str, int]:
    """What is shown of a text, and how many characters are not."""
    shown = "\n".join(value.split("\n")[:_MOST_LINES])[:_MOST_CHARACTERS]
    return shown, len(value) - len(shown)


def _rest(left: int) -> str:
    if not left:
        return ""
    more = trn("… {count:,} more character", "… {count:,} more characters", left)
    return f' <span class="quiet">{text(more)}</span>'
