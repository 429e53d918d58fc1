"""A readable sample of the rows: the biggest losses and wins and some ties, both answers beside the reference.

What it leaves out: the rest of the rows, and what a text has beyond what can be read; both are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from studio.contract.evaluation import EvalReport
from studio.contract.figures import count, figure
from studio.contract.word_changes import word_changes
from studio.jobs.evaluating import EvalRow
from studio.jobs.verdict_page.pieces import Html, chip, part, text

_KINDS = {"win": ("Biggest wins", "win", 6), "loss": ("Biggest losses", "loss", 6), "tie": ("Some ties", "tie", 4)}
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
    return sum(len(sample(rows, outcome, most)) for outcome, (_, _, most) in _KINDS.items())


def answers(report: EvalReport, rows: Sequence[EvalRow]) -> Html:
    """The sample, or nothing without rows."""
    if not rows:
        return Html("")
    title = report.metrics[report.verdict.metric].title
    groups = "".join(_group(rows, outcome) for outcome in _KINDS)
    note = (
        f"By {title}, base → tuned. In an answer that is close to the reference, underlined words are not in the "
        "reference, and struck words are missing from the answer."
    )
    return part("Answers side by side", groups, note=note)


def _group(rows: Sequence[EvalRow], outcome: str) -> str:
    title, noun, most = _KINDS[outcome]
    found = sample(rows, outcome, most)
    if not found:
        return ""
    whole = sum(row.outcome == outcome for row in rows)
    of = count(whole, noun, "losses" if noun == "loss" else "")
    told = f"{len(found)} of {of}" if len(found) < whole else of
    return f'<h3>{title} <small class="quiet">{told}</small></h3>' + "".join(_article(row) for row in found)


def _article(row: EvalRow) -> str:
    kind = {"win": "good", "loss": "bad"}.get(row.outcome, "")
    label = {"win": "better", "loss": "worse", "tie": "equal"}.get(row.outcome, row.outcome)
    score = f"row {row.row:,} · {figure(row.base_score)} → {figure(row.tuned_score)}"
    sides = (
        _said("Base", _answer(row.reference, row.base)) + _said("Tuned", _answer(row.reference, row.tuned), "tuned")
        if row.base != row.tuned
        else _said("Base and tuned", _answer(row.reference, row.tuned), "both")
    )
    return (
        f'<article><p class="head">{chip(label, kind)} <span class="quiet">{text(score)}</span></p>'
        f"{_said('Prompt', _plain(row.prompt), 'prompt')}{_said('Reference', _plain(row.reference), 'reference')}"
        f'<div class="sides">{sides}</div></article>'
    )


def _said(who: str, words: str, kind: str = "") -> str:
    return f'<div class="said {kind}"><h4>{who}</h4><p dir="auto">{words}</p></div>'


def _answer(reference: str, answer: str) -> str:
    if not answer:
        return '<span class="quiet">(no answer)</span>'
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
    return f' <span class="quiet">… {count(left, "more character")}</span>' if left else ""
