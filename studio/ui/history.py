"""One example's whole story as HTML: what the panel beside the list of examples shows."""

from __future__ import annotations

from storage.records import Annotation, Suggestion
from studio.data.history import History, Revision
from studio.ui.components.html import chip, count, duration, moment, text
from studio.ui.components.lineage import lineage_html
from studio.ui.components.words import word_diff

_ACTS = {"submit": "answered", "skip": "skipped", "flag": "flagged", "undo": "took back"}
_SOURCES = {
    "import": "imported",
    "review": "as a reviewer",
    "relabel": "by a change of labels",
    "repair": "as a repair",
    "counterfactual": "as a copy with other terms",
    "comparison": "in a comparison",
    "gold": "without knowing that the answer is known",
}
_DECISIONS = {"accept": "accepted the answer of", "edit": "edited the answer of", "return": "sent back the answer of"}
_OUTCOMES = {"accepted": "good", "edited": "busy", "rejected": "bad"}
_LONGEST = 20_000


def story_html(history: History) -> str:
    """The panel. Drafts of others are told by name only."""
    example = history.example
    turns = "".join(f'<div class="turn"><b>{text(turn.role)}</b>{_said(turn.content)}</div>' for turn in example.prompt)
    if example.context:
        turns += f'<div class="turn"><b>context</b>{_said(example.context)}</div>'
    turns += "".join(
        f'<div class="turn"><b>answer {text(name.upper())}</b>{_said(said)}</div>'
        for name, said in example.payload.items()
    )
    return (
        '<aside class="story" aria-label="History of an example"><div class="bar">'
        f'<h2 tabindex="-1">History of example {example.position}</h2>'
        '<button type="button" class="find-do" data-close="1">Close <kbd>Esc</kbd></button></div>'
        f'<p class="quiet">from {text(example.source)}, {moment(example.created_at)} '
        f"{chip('gold', 'busy') if history.gold else ''}</p>{turns}{_now(history)}{_work(history)}"
        f"{_suggestions(history.suggestions)}{_snapshots(history)}{_lineage(history)}</aside>"
    )


def _now(history: History) -> str:
    lines = [f"{text(lease.annotator)} has it until {moment(lease.expires_at)}" for lease in history.leases]
    lines += [f"{text(name)} has a draft, {moment(at)}" for name, at in history.drafts]
    rows = "".join(f'<li><div class="line">{line}</div></li>' for line in lines)
    return f"<h3>Now</h3><ul>{rows}</ul>" if rows else ""


def _work(history: History) -> str:
    """Acts and reviews in one list, in the order in which they happened."""
    acts = [(revision.act.created_at, 0, _revision(revision)) for revision in history.revisions]
    reviews = [
        (
            review.created_at,
            1,
            f'<li class="{"undone" if review.undone else ""}"><div class="line"><b>{text(review.reviewer)}</b> '
            f"{_DECISIONS.get(review.decision, text(review.decision))} {text(review.annotator)} "
            f"{moment(review.created_at)}{chip('taken back') if review.undone else ''}</div>"
            + (f'<p class="said">“{_said(review.comment)}”</p>' if review.comment else "")
            + "</li>",
        )
        for review in history.reviews
    ]
    rows = "".join(row[2] for row in sorted([*acts, *reviews], key=lambda row: row[:2]))
    return f"<h3>Work</h3><ol>{rows}</ol>" if rows else "<h3>Work</h3><p class='quiet'>Nobody has worked on it yet.</p>"


def _revision(revision: Revision) -> str:
    act = revision.act
    marks = (chip("stands", "good") if revision.stands else "") + (chip("taken back") if revision.undone else "")
    kind = "stands" if revision.stands else "undone" if revision.undone else ""
    return (
        f'<li class="{kind}"><div class="line"><b>{text(act.annotator)}</b> {_ACTS[act.action]} '
        f"{_how(act)} {moment(act.created_at)}{marks}</div>{_answer(revision)}</li>"
    )


def _how(act: Annotation) -> str:
    how = [_SOURCES[act.source]] if act.source in _SOURCES else []
    if act.suggestion_id:
        how.append("from a suggestion")
    if act.seconds is not None:
        how.append(f"in {duration(act.seconds)}")
    return ", ".join(how)


def _answer(revision: Revision) -> str:
    if revision.act.action != "submit":
        return ""
    said = revision.act.response
    if revision.before is not None and revision.before != said:
        return f'<p class="said">{word_diff(revision.before[:_LONGEST], said[:_LONGEST])}</p>'
    same = '<span class="quiet">the same answer: </span>' if revision.before == said else ""
    return f'<p class="said">{same}{_said(said)}</p>'


def _suggestions(suggestions: tuple[Suggestion, ...]) -> str:
    rows = "".join(
        f'<li><div class="line"><b>{text(item.source)}</b> {moment(item.created_at)}'
        f"{chip(item.outcome, _OUTCOMES.get(item.outcome, '')) if item.outcome else chip('open')}"
        f"{f'<span>by {text(item.annotator)}</span>' if item.annotator else ''}"
        f"{f'<span>uncertainty {item.uncertainty:.2f}</span>' if item.uncertainty is not None else ''}</div>"
        f'<p class="said">{_said(item.response)}</p></li>'
        for item in suggestions
    )
    return f"<h3>Suggestions</h3><ul>{rows}</ul>" if rows else ""


def _snapshots(history: History) -> str:
    rows = "".join(
        f'<li><div class="line"><b>version {found.snapshot.version}</b> {chip(found.split)} '
        f"{text(found.snapshot.id)} {moment(found.snapshot.created_at)}"
        f"{' · trained: run ' + ', '.join(map(str, found.runs)) if found.runs else ' · no run yet'}</div></li>"
        for found in history.memberships
    )
    title = f"In {count(len(history.memberships), 'snapshot')}"
    return f"<h3>{title}</h3><ul>{rows}</ul>" if rows else "<h3>Snapshots</h3><p class='quiet'>In none yet.</p>"


def _lineage(history: History) -> str:
    """Where each answer came from and what it went into, folded."""
    if history.lineage is None or not history.revisions:
        return ""
    return f"<h3>Lineage</h3><details><summary>Picture and table</summary>{lineage_html(history.lineage)}</details>"


def _said(value: str) -> str:
    return text(value if len(value) <= _LONGEST else value[:_LONGEST] + "…")
