"""The list of examples that were found, as HTML: hits, filters in force, rows, pages, what to do with chosen rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from studio.data.finding import Filter, Found, Page
from studio.ui.components.html import chip, empty, moment, text

STATUSES = {"todo": "To label", "labeled": "Labeled", "skipped": "Skipped", "flagged": "Flagged", "dropped": "Dropped"}
REVIEWS = {"pending": "Waits for review", "accepted": "Accepted", "returned": "Sent back"}
OUTCOMES = {"accepted": "Accepted as it was", "edited": "Edited", "rejected": "Rejected", "open": "Not decided yet"}
_STATUS_CHIPS = {
    "todo": ("to label", ""),
    "labeled": ("labeled", "good"),
    "skipped": ("skipped", ""),
    "flagged": ("flagged", "warn"),
    "dropped": ("dropped", "bad"),
}
_REVIEW_CHIPS = {"pending": ("in review", "busy"), "accepted": ("accepted", "good"), "returned": ("sent back", "warn")}
_KEYS = '<span class="keys"><kbd>/</kbd> search <kbd>↑↓</kbd> rows <kbd>↵</kbd> open <kbd>H</kbd> history</span>'
_LONGEST = 600

NO_PROJECT = empty("No project chosen", "Choose one above, or create one in the Projects tab.")
NO_EXAMPLES = empty(
    "No examples yet", "Import a file above. A column of prompts is enough: answers are written in Label."
)


def listing_html(found: Page, filter: Filter, of: int, similar: bool, change: bool, number: int | None = None) -> str:
    """A page of what was found out of `of` examples. `similar`: vectors are there; `change`: the reader may change the
    queue; `number`: position of the example that others are compared with."""
    if not of:
        return NO_EXAMPLES
    head = _head(found, filter, of, number)
    if not found.rows:
        return head + empty("Nothing here", "No example fits these filters: take one away.")
    cells = "".join(f'<th scope="col">{name}</th>' for name in ("Input", "Answer", "State", "Newest answer"))
    box = '<th class="box"><input type="checkbox" data-all="1" aria-label="Choose all on this page"></th>'
    body = "".join(_row(item, similar, change) for item in found.rows)
    return (
        f'{head}<div class="table find-list"><table><thead><tr>{box if change else ""}<th class="num">#</th>{cells}'
        f'<th><span class="sr-only">Actions</span></th></tr></thead><tbody>{body}</tbody></table></div>'
        f'<div class="find-foot">{_acts() if change else ""}{_pages(found)}</div>'
    )


def _head(found: Page, filter: Filter, of: int, number: int | None) -> str:
    chips = in_force(filter, number)
    marks = "".join(
        f'<button type="button" class="find-chip" data-clear="{text(field)}" aria-label="Remove filter: {text(words)}">'
        f"{text(words)}</button>"
        for field, words in chips.items()
    )
    if len(chips) > 1:
        marks += '<button type="button" class="find-chip all" data-clear="all">clear all</button>'
    hits = f"<b>{found.total:,}</b> of {of:,} examples" if chips else f"<b>{of:,}</b> examples"
    time = f"{found.milliseconds:,.0f} ms"
    return f'<div class="find-head"><span class="hits" role="status">{hits} · {time}</span>{marks}{_KEYS}</div>'


def in_force(filter: Filter, number: int | None = None) -> dict[str, str]:
    """The filters that matter, by the field that holds them, in words."""
    said = {
        "text": f"“{filter.text.strip()}”" if filter.text.strip() else "",
        "statuses": ", ".join(STATUSES[key].lower() for key in filter.statuses if key in STATUSES),
        "labels": _any("answer", filter.labels),
        "annotators": _any("by", filter.annotators),
        "reviews": ", ".join(REVIEWS[key].lower() for key in filter.reviews if key in REVIEWS),
        "since": f"from {filter.since:%Y-%m-%d}" if filter.since else "",
        "until": f"to {filter.until - timedelta(microseconds=1):%Y-%m-%d}" if filter.until else "",
        "prompt_min": _length("prompt", "from", filter.prompt_min),
        "prompt_max": _length("prompt", "to", filter.prompt_max),
        "answer_min": _length("answer", "from", filter.answer_min),
        "answer_max": _length("answer", "to", filter.answer_max),
        "suggestion_source": f"suggested by {filter.suggestion_source}" if filter.suggestion_source else "",
        "suggestion_outcome": f"suggestion: {OUTCOMES[filter.suggestion_outcome].lower()}"
        if filter.suggestion_outcome in OUTCOMES
        else "",
        "flagged": "flagged by somebody" if filter.flagged else "",
        "gold": "gold" if filter.gold else "",
        "disagreement": "annotators disagree" if filter.disagreement else "",
        "similar_to": f"similar to {number or 'an example'}" if filter.similar_to else "",
    }
    return {field: words for field, words in said.items() if words}


def _any(what: str, names: tuple[str, ...]) -> str:
    return f"{what} {' or '.join(names)}" if names else ""


def _length(what: str, side: str, limit: int | None) -> str:
    return f"{what} {side} {limit:,} characters" if limit is not None else ""


def _row(item: Found, similar: bool, change: bool) -> str:
    example, number = item.example, item.example.position
    key = text(example.id)
    box = f'<td class="box"><input type="checkbox" data-row="{key}" aria-label="Choose example {number}"></td>'
    near = f'<button type="button" class="find-do" data-similar="{key}" title="Find similar (S)">Similar</button> '
    who = f"{text(item.annotator)}<br>{moment(item.worked_at)}" if item.annotator and item.worked_at else ""
    return (
        f'<tr data-example="{key}">{box if change else ""}<td class="num">{number}</td>'
        f'<td><button type="button" class="link" data-id="{key}" title="Open in Label">'
        f'<span class="text">{text(_short(example.text))}</span></button></td>'
        f'<td><span class="text">{text(_short(item.response))}</span></td><td class="marks">{_marks(item)}</td>'
        f'<td class="who">{who or text(example.source)}</td><td class="do">{near if similar else ""}'
        f'<button type="button" class="find-do" data-story="{key}" aria-label="History of example {number}" '
        f'title="History (H)">History</button></td></tr>'
    )


def _marks(item: Found) -> str:
    marks = chip(*_STATUS_CHIPS[item.example.status])
    if item.example.review in _REVIEW_CHIPS:
        marks += chip(*_REVIEW_CHIPS[item.example.review])
    if item.gold:
        marks += chip("gold", "busy")
    if item.priority:
        marks += chip(f"priority {item.priority:g}")
    if item.uncertainty is not None:
        marks += chip(f"uncertainty {item.uncertainty:.2f}")
    if item.similarity is not None:
        marks += chip(f"{100 * max(0.0, item.similarity):.0f} % alike")
    return marks


def _acts() -> str:
    return (
        '<div class="find-acts"><output>None chosen</output>'
        '<button type="button" class="find-do" data-act="back" disabled>Put back into the queue</button>'
        '<label>Priority <input type="number" value="1" step="any"></label>'
        '<button type="button" class="find-do" data-act="priority" disabled>Set priority</button></div>'
    )


def _pages(found: Page) -> str:
    def turn(words: str, page: int, name: str) -> str:
        off = "" if 1 <= page <= found.pages and page != found.number else " disabled"
        return f'<button type="button" class="find-do" data-page="{page}" aria-label="{name}"{off}>{words}</button>'

    return (
        f'<nav class="find-pages" aria-label="Pages">{turn("«", 1, "First page")}'
        f"{turn('‹ Back', found.number - 1, 'Previous page')}"
        f"<span>page {found.number:,} of {found.pages:,}</span>{turn('Next ›', found.number + 1, 'Next page')}"
        f"{turn('»', found.pages, 'Last page')}</nav>"
    )


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"


def field_value(field: str) -> object:
    """What a filter's control holds when it does not filter."""
    return _EMPTY.get(field, "")


_EMPTY: Mapping[str, object] = {
    **dict.fromkeys(("labels", "annotators", "statuses", "reviews"), ()),
    **dict.fromkeys(("flagged", "gold", "disagreement"), False),
}
