"""The panes of a comparison as HTML: answers as text, Markdown or word diff, what is known of them, and the votes."""

from __future__ import annotations

from collections.abc import Sequence

from studio.contract.chat import Message
from studio.jobs.comparison import Pane
from studio.jobs.comparison_batch import named
from studio.jobs.engine import Answer
from studio.jobs.evaluation_said import retold
from studio.language import tr
from studio.ui.compare_state import LETTERS, Shown
from studio.ui.components.html import notice, text
from studio.ui.components.markdown import rendered
from studio.ui.components.words import word_diff

BEST = "best"
"""A vote's choice is BEST with the place after it, or one of these two."""
TIE, BAD = "tie", "bad"

_PAIR_KEYS = (("ArrowLeft", "←"), ("ArrowRight", "→"))
_KEYS = {TIE: ("ArrowDown", "↓"), BAD: ("ArrowUp", "↑"), "undo": ("u", "U")}
_MANY_KEYS = tuple((str(number), str(number)) for number in range(1, 1 + len(LETTERS)))


def panes_html(shown: Shown | None, markdown: bool = False, waiting: str = "", batch: bool = False) -> str:
    """All panes and, where there is something to vote on, the votes. `batch`: one of many, with the question above, to
    be voted on or passed over."""
    if shown is None or not shown.panes:
        return ""
    places = range(len(shown.panes))
    panes = "".join(_pane_of(shown, place, markdown, waiting) for place in places)
    label = text(tr("Question"))
    question = f'<div class="asked" role="group" aria-label="{label}">{_turns(shown.chats[0])}</div>' if batch else ""
    mark = ' data-votable="1"' if shown.votable else ""
    return (
        f'<div class="compare" data-token="{text(shown.token)}"{mark}>{question}'
        f'<div class="compare-grid n{len(shown.panes)}">{panes}</div>{_below(shown, batch)}</div>'
    )


def _pane_of(shown: Shown, place: int, markdown: bool, waiting: str) -> str:
    pane, earlier = shown.pane(place), ""
    if shown.rounds > 1:
        earlier = f'<div class="turns">{_turns(shown.chat(place))}</div>'
    against = shown.pane(shown.diff).text if shown.diff is not None and shown.diff != place else None
    if shown.hidden and not shown.whole:
        return pane_html(shown.title(place), Pane(), True, tr("Writing, and shown once all have answered"))
    kind = "" if shown.hidden or shown.names[shown.order[place]] == "Base" else "tuned"
    body = _answer_html(pane, markdown, against)
    foot = "" if shown.hidden or not pane.answer else _foot(pane.answer)
    acts = _acts(shown, place) if pane.answer else ""
    return _box(shown.title(place), kind, earlier, body or _waiting(waiting), not pane.done, foot + acts)


def pane_html(title: str, pane: Pane, asked: bool, waiting: str = "") -> str:
    """One side alone: the answer as text, then how long it took and which weights gave it."""
    here = f'<span class="quiet">{text(tr("The answer appears here."))}</span>'
    body = _answer_html(pane, False, None) if asked else here
    foot = _foot(pane.answer) if pane.answer else ""
    running = asked and not pane.done
    return _box(title, "tuned" if title != "Base" else "", "", body or _waiting(waiting), running, foot)


def _box(title: str, kind: str, earlier: str, body: str, running: bool, foot: str) -> str:
    caret = " caret" if running else ""
    return (
        f'<div class="pane {kind}" role="group" aria-label="{text(title)}"><h3>{text(title)}</h3>{earlier}'
        f'<div class="answer{caret}">{body}</div>{foot}</div>'
    )


def _waiting(words: str) -> str:
    return f'<span class="quiet">{text(words or tr("Thinking"))}…</span>'


def _answer_html(pane: Pane, markdown: bool, against: str | None) -> str:
    """An answer's own part of the pane; '' while there is nothing yet."""
    if pane.note:
        return f'<span class="quiet">{text(tr(pane.note))}</span>'
    if against is not None and pane.done:
        body = f'<div class="plain worddiff">{word_diff(against, pane.text)}</div>'
    elif markdown and pane.text:
        body = rendered(pane.text)
    else:
        body = f'<div class="plain" dir="auto">{text(pane.text)}</div>' if pane.text else ""
    if pane.error:
        body += notice("bad", retold(pane.error))
    return body or (f'<span class="quiet">{text(tr("(an empty answer)"))}</span>' if pane.done else "")


def _foot(answer: Answer) -> str:
    return f'<div class="weights">{figures(answer)}<br>{text(retold(named(answer.weights)))}</div>'


def _acts(shown: Shown, place: int) -> str:
    if not shown.done:
        return ""
    title = shown.title(place)
    on = shown.diff == place
    diff = (
        f'<button type="button" class="small" data-act="diff" data-place="{place}" aria-pressed="{str(on).lower()}" '
        f'aria-label="{text(tr("Word diff from {model}", model=title))}">{text(tr("Word diff from this"))}</button>'
    )
    fix = (
        f'<button type="button" class="small" data-act="fix" data-place="{place}" '
        f'aria-label="{text(tr("Fix the answer of {model}", model=title))}">{text(tr("Fix this answer"))}</button>'
    )
    why = (
        f'<button type="button" class="small" data-act="why" data-place="{place}" '
        f'aria-label="{text(tr("Why did {model} say this?", model=title))}">{text(tr("Why this?"))}</button>'
    )
    return f'<div class="pane-acts">{diff if len(shown.panes) > 1 else ""}{fix}{why if shown.run(place) else ""}</div>'


def _below(shown: Shown, batch: bool) -> str:
    """The votes, or what was voted, or why there is no vote."""
    if shown.votable:
        return _votes(len(shown.panes), batch)
    if shown.voted:
        undo = _button("undo", "", tr("Take the vote back"), _KEYS["undo"]) if shown.votes else ""
        return f'<div class="voted" role="status"><p>{text(shown.voted)}</p>{undo}</div>'
    if shown.blind and shown.done and not shown.whole:
        return notice("warn", tr("Not every model answered, so there is nothing to vote on."))
    return ""


def _votes(count: int, batch: bool) -> str:
    keys = _PAIR_KEYS if count == 2 else _MANY_KEYS
    words = [
        tr("{model} is better", model=letter) if count == 2 else tr("{model} is best", model=letter)
        for letter in LETTERS[:count]
    ]
    best = [_button("vote", f"{BEST}{place}", words[place], keys[place], LETTERS[place]) for place in range(count)]
    rest = [
        _button("vote", TIE, tr("Tie"), _KEYS[TIE]),
        _button("vote", BAD, tr("Both bad") if count == 2 else tr("All bad"), _KEYS[BAD]),
    ]
    order = [best[0], *rest, best[1]] if count == 2 else [*best, *rest]
    if batch:
        order.append(_button("pass", "", tr("Pass over"), ("n", "N")))
        order.append(_button("undo", "", tr("Undo my last vote"), _KEYS["undo"]))
    return f'<div class="votes" role="group" tabindex="-1" aria-label="{text(tr("Vote"))}">{"".join(order)}</div>'


def _button(act: str, choice: str, words: str, key: tuple[str, str], mark: str = "") -> str:
    return (
        f'<button type="button" class="vote{" best" if mark else ""}" data-act="{act}" data-choice="{choice}" '
        f'data-key="{key[0]}" aria-keyshortcuts="{key[0]}">{text(words)} <kbd aria-hidden="true">{key[1]}</kbd>'
        "</button>"
    )


def _turns(turns: Sequence[Message]) -> str:
    shown = [turn for turn in turns if turn.role != "system" or len(turns) == 1]
    return "".join(
        f'<div class="turn {text(turn.role)}"><span class="who">{text(tr(turn.role))}</span>'
        f'<p dir="auto">{text(turn.content)}</p></div>'
        for turn in shown
    )


def figures(answer: Answer) -> str:
    """As escaped HTML: how sure a classifier is, or how long an answer is and how fast it came; and the seconds that it
    took."""
    if answer.probability is not None:
        sure = tr("probability {share:.1%}", share=answer.probability)
        return text(f"{sure} · {tr('{seconds:.1f} s', seconds=answer.seconds)}")
    told = [tr("{tokens} tok", tokens=answer.tokens), tr("{seconds:.1f} s", seconds=answer.seconds)]
    if answer.tokens and answer.seconds > 0:
        told.append(tr("{speed:.0f} tok/s", speed=answer.tokens / answer.seconds))
    if answer.finish == "length":
        told.append(tr("cut at max tokens"))
    return text(" · ".join(told))
