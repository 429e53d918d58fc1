"""The training pairs that speak most for an answer, as HTML; styles are in why.css."""

from __future__ import annotations

from collections.abc import Sequence

from studio.jobs.evaluation_said import retold
from studio.jobs.why import Explanation, TrainingPair, WhyLook
from studio.language import tr, trn
from studio.ui.components.html import bar, empty, notice, text

_SHOWN_CHARACTERS = 600
_SCORE = "{score:.2f}"


def why_html(look: WhyLook) -> str:
    """How a question for an answer's sources stands: progress or what went wrong, and the pairs found so far."""
    standing, parts = look.standing, []
    if standing.alive:
        parts.append(bar(standing.fraction, retold(standing.words)))
    elif standing.state in ("failed", "stopped"):
        parts.append(notice("bad" if standing.state == "failed" else "warn", retold(standing.words)))
    if look.found:
        parts.append(pairs_html(look.found))
    return f'<div class="why">{"".join(parts)}</div>' if parts else ""


def pairs_html(found: Explanation) -> str:
    """The pairs, nearest by text beside those by gradient; each names its row and example."""
    if not found.nearest:
        what = tr("The run's snapshot has no pair with an answer.")
        return empty(tr("No training pair speaks for this answer"), what)
    both = {pair.row for pair in found.nearest} & {pair.row for pair in found.by_gradient or ()}
    lists = [_list(tr("Nearest by prompt and answer"), tr("mean cosine of the texts"), found.nearest, both)]
    if found.by_gradient:
        measure = tr("cosine of the gradients of what the run learnt")
        lists.append(_list(tr("By gradient"), measure, found.by_gradient, both))
    of = trn("Out of {count:,} training pair.", "Out of {count:,} training pairs.", found.rows)
    note = f'<p class="quiet">{text(retold(found.note))}</p>' if found.note else ""
    return f'<p class="quiet">{text(of)}</p><div class="why-lists">{"".join(lists)}</div>{note}'


def _list(title: str, measure: str, pairs: Sequence[TrainingPair], both: set[int]) -> str:
    items = "".join(_item(pair, pair.row in both) for pair in pairs)
    return f'<section><h4>{text(title)} <span class="quiet">{text(measure)}</span></h4><ol>{items}</ol></section>'


def _item(pair: TrainingPair, in_both: bool) -> str:
    width = 100 * min(1.0, max(0.0, pair.score))
    agreed = f'<span class="chip good">{text(tr("in both"))}</span>' if in_both else ""
    named = f' title="{text(tr("example {id}", id=pair.example_id))}"' if pair.example_id else ""
    row = tr("{split} row {row:,}", split=tr(pair.split), row=pair.row)
    return (
        f'<li><div class="why-score"><span class="meter" aria-hidden="true"><i style="width:{width:.0f}%"></i></span>'
        f'<span class="num">{tr(_SCORE, score=pair.score)}</span>'
        f'<span class="quiet"{named}>{text(row)}</span>{agreed}</div>'
        f'<p class="why-prompt">{_cut(pair.prompt)}</p><p class="why-answer">{_cut(pair.answer)}</p></li>'
    )


def _cut(value: str) -> str:
    """A text, folded where it is long."""
    if len(value) <= _SHOWN_CHARACTERS:
        return text(value)
    rest = f"<details><summary>{text(tr('more'))}</summary>{text(value[_SHOWN_CHARACTERS:])}</details>"
    return f"{text(value[:_SHOWN_CHARACTERS])}{rest}"
