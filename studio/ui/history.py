"""One example's whole story as HTML: what the panel beside the list of examples shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from storage.records import Annotation, Suggestion
from studio.data.history import History, Revision
from studio.language import mark, tr, trn
from studio.ui.components.html import chip, duration, moment, text
from studio.ui.components.lineage import lineage_html
from studio.ui.components.words import word_diff

_ACTS = {
    "submit": mark("{who} answered"),
    "skip": mark("{who} skipped"),
    "flag": mark("{who} flagged"),
    "undo": mark("{who} took back"),
}
_SOURCES = {
    "import": mark("imported"),
    "review": mark("as a reviewer"),
    "relabel": mark("by a change of labels"),
    "repair": mark("as a repair"),
    "counterfactual": mark("as a copy with other terms"),
    "comparison": mark("in a comparison"),
    "gold": mark("without knowing that the answer is known"),
}
_DECISIONS = {
    "accept": mark("{who} accepted the answer of {annotator}"),
    "edit": mark("{who} edited the answer of {annotator}"),
    "return": mark("{who} sent back the answer of {annotator}"),
}
_OUTCOMES = {"accepted": "good", "edited": "busy", "rejected": "bad"}
_LONGEST = 20_000


def story_html(history: History) -> str:
    """The panel. Drafts of others are told by name only."""
    example = history.example
    turns = "".join(_turn(tr(turn.role), turn.content) for turn in example.prompt)
    if example.context:
        turns += _turn(tr("context"), example.context)
    turns += "".join(_turn(tr("answer {name}", name=name.upper()), said) for name, said in example.payload.items())
    title = tr("History of example {number}", number=example.position)
    origin = tr("from {source}, {when}", source=text(example.source), when=moment(example.created_at))
    return (
        f'<aside class="story" aria-label="{tr("History of an example")}"><div class="bar">'
        f'<h2 tabindex="-1">{title}</h2>'
        f'<button type="button" class="find-do" data-close="1">{tr("Close")} <kbd>Esc</kbd></button></div>'
        f'<p class="quiet">{origin} '
        f"{chip(tr('gold'), 'busy') if history.gold else ''}</p>{turns}{_now(history)}{_work(history)}"
        f"{_suggestions(history.suggestions)}{_snapshots(history)}{_lineage(history)}</aside>"
    )


def _turn(who: str, said: str) -> str:
    return f'<div class="turn"><b>{text(who)}</b>{_said(said)}</div>'


def _now(history: History) -> str:
    lines = [
        tr("{who} has it until {when}", who=text(lease.annotator), when=moment(lease.expires_at))
        for lease in history.leases
    ]
    lines += [tr("{who} has a draft, {when}", who=text(name), when=moment(at)) for name, at in history.drafts]
    rows = "".join(f'<li><div class="line">{line}</div></li>' for line in lines)
    return f"<h3>{tr('Now')}</h3><ul>{rows}</ul>" if rows else ""


def _work(history: History) -> str:
    """Acts and reviews in one list, in the order in which they happened."""
    acts = [(revision.act.created_at, 0, _revision(revision)) for revision in history.revisions]
    rows = "".join(row[2] for row in sorted([*acts, *_reviews(history)], key=lambda row: row[:2]))
    work = f"<ol>{rows}</ol>" if rows else f"<p class='quiet'>{tr('Nobody has worked on it yet.')}</p>"
    return f"<h3>{tr('Work')}</h3>{work}"


def _reviews(history: History) -> Iterator[tuple[datetime, int, str]]:
    for review in history.reviews:
        decided = _DECISIONS.get(review.decision, "{who} {decision} {annotator}")
        who, decision = f"<b>{text(review.reviewer)}</b>", text(review.decision)
        comment = f'<p class="said">“{_said(review.comment)}”</p>' if review.comment else ""
        yield (
            review.created_at,
            1,
            f'<li class="{"undone" if review.undone else ""}"><div class="line">'
            f"{tr(decided, who=who, decision=decision, annotator=text(review.annotator))} "
            f"{moment(review.created_at)}{chip(tr('taken back')) if review.undone else ''}</div>{comment}</li>",
        )


def _revision(revision: Revision) -> str:
    act = revision.act
    stands, undone = chip(tr("stands"), "good"), chip(tr("taken back"))
    marks = (stands if revision.stands else "") + (undone if revision.undone else "")
    kind = "stands" if revision.stands else "undone" if revision.undone else ""
    return (
        f'<li class="{kind}"><div class="line">{tr(_ACTS[act.action], who=f"<b>{text(act.annotator)}</b>")} '
        f"{_how(act)} {moment(act.created_at)}{marks}</div>{_answer(revision)}</li>"
    )


def _how(act: Annotation) -> str:
    how = [tr(_SOURCES[act.source])] if act.source in _SOURCES else []
    if act.suggestion_id:
        how.append(tr("from a suggestion"))
    if act.seconds is not None:
        how.append(tr("in {time}", time=duration(act.seconds)))
    return ", ".join(how)


def _answer(revision: Revision) -> str:
    if revision.act.action != "submit":
        return ""
    said = revision.act.response
    if revision.before is not None and revision.before != said:
        return f'<p class="said">{word_diff(revision.before[:_LONGEST], said[:_LONGEST])}</p>'
    same = f'<span class="quiet">{tr("the same answer: ")}</span>' if revision.before == said else ""
    return f'<p class="said">{same}{_said(said)}</p>'


def _suggestions(suggestions: tuple[Suggestion, ...]) -> str:
    rows = "".join(_suggestion(item) for item in suggestions)
    return f"<h3>{tr('Suggestions')}</h3><ul>{rows}</ul>" if rows else ""


def _suggestion(item: Suggestion) -> str:
    outcome = chip(tr(item.outcome), _OUTCOMES.get(item.outcome, "")) if item.outcome else chip(tr("open"))
    by = f"<span>{tr('by {who}', who=text(item.annotator))}</span>" if item.annotator else ""
    unsure = ""
    if item.uncertainty is not None:
        unsure = f"<span>{tr('uncertainty {value:.2f}', value=item.uncertainty)}</span>"
    return (
        f'<li><div class="line"><b>{text(item.source)}</b> {moment(item.created_at)}{outcome}{by}{unsure}</div>'
        f'<p class="said">{_said(item.response)}</p></li>'
    )


def _snapshots(history: History) -> str:
    if not history.memberships:
        return f"<h3>{tr('Snapshots')}</h3><p class='quiet'>{tr('In none yet.')}</p>"
    rows = "".join(
        f'<li><div class="line"><b>{tr("version {number}", number=found.snapshot.version)}</b> '
        f"{chip(tr(found.split))} {text(found.snapshot.id)} {moment(found.snapshot.created_at)} · "
        f"{_runs(found.runs)}</div></li>"
        for found in history.memberships
    )
    title = trn("In {count:,} snapshot", "In {count:,} snapshots", len(history.memberships))
    return f"<h3>{title}</h3><ul>{rows}</ul>"


def _runs(numbers: Iterable[int]) -> str:
    shown = ", ".join(map(str, numbers))
    return tr("trained: run {numbers}", numbers=shown) if shown else tr("no run yet")


def _lineage(history: History) -> str:
    """Where each answer came from and what it went into, folded."""
    if history.lineage is None or not history.revisions:
        return ""
    shown = lineage_html(history.lineage)
    return f"<h3>{tr('Lineage')}</h3><details><summary>{tr('Picture and table')}</summary>{shown}</details>"


def _said(value: str) -> str:
    return text(value if len(value) <= _LONGEST else value[:_LONGEST] + "…")
