"""The list of examples that were found, as HTML: hits, filters in force, rows, pages, what to do with chosen rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from studio.data.finding import Filter, Found, Page
from studio.language import mark, tr, trn
from studio.ui.components.html import chip, empty, moment, text

STATUSES = {"todo": "To label", "labeled": "Labeled", "skipped": "Skipped", "flagged": "Flagged", "dropped": "Dropped"}
REVIEWS = {"pending": "Waits for review", "accepted": "Accepted", "returned": "Sent back"}
OUTCOMES = {"accepted": "Accepted as it was", "edited": "Edited", "rejected": "Rejected", "open": "Not decided yet"}
_STATUS_CHIPS = {
    "todo": (mark("to label"), ""),
    "labeled": (mark("labeled"), "good"),
    "skipped": (mark("skipped"), ""),
    "flagged": (mark("flagged"), "warn"),
    "dropped": (mark("dropped"), "bad"),
}
_REVIEW_CHIPS = {
    "pending": (mark("in review"), "busy"),
    "accepted": (mark("accepted"), "good"),
    "returned": (mark("sent back"), "warn"),
}
_LOWER = (
    mark("waits for review"),
    mark("accepted as it was"),
    mark("edited"),
    mark("rejected"),
    mark("not decided yet"),
)
"""What filters in force are called within a line, beside the words of the chips."""
_LONGEST = 600


def no_project() -> str:
    """Where no project is chosen."""
    return empty(tr("No project chosen"), tr("Choose one above, or create one in the Projects tab."))


def listing_html(found: Page, filter: Filter, of: int, similar: bool, change: bool, number: int | None = None) -> str:
    """A page of what was found out of `of` examples. `similar`: vectors are there; `change`: the reader may change the
    queue; `number`: position of the example that others are compared with."""
    if not of:
        return empty(
            tr("No examples yet"),
            tr("Import a file above. A column of prompts is enough: answers are written in Label."),
        )
    head = _head(found, filter, of, number)
    if not found.rows:
        return head + empty(tr("Nothing here"), tr("No example fits these filters: take one away."))
    names = (tr("Input"), tr("Answer"), tr("State"), tr("Newest answer"))
    cells = "".join(f'<th scope="col">{name}</th>' for name in names)
    every = tr("Choose all on this page")
    box = f'<th class="box"><input type="checkbox" data-all="1" aria-label="{every}"></th>'
    body = "".join(_row(item, similar, change) for item in found.rows)
    return (
        f'{head}<div class="table find-list"><table><thead><tr>{box if change else ""}<th class="num">#</th>{cells}'
        f'<th><span class="sr-only">{tr("Actions")}</span></th></tr></thead><tbody>{body}</tbody></table></div>'
        f'<div class="find-foot">{_acts() if change else ""}{_pages(found)}</div>'
    )


def _head(found: Page, filter: Filter, of: int, number: int | None) -> str:
    chips = in_force(filter, number)
    marks = "".join(
        f'<button type="button" class="find-chip" data-clear="{text(field)}" '
        f'aria-label="{text(tr("Remove filter: {filter}", filter=words))}">{text(words)}</button>'
        for field, words in chips.items()
    )
    if len(chips) > 1:
        marks += f'<button type="button" class="find-chip all" data-clear="all">{tr("clear all")}</button>'
    total = f"<b>{tr('{count:,}', count=found.total if chips else of)}</b>"
    hits = trn("{total} example", "{total} examples", of, total=total)
    if chips:
        hits = trn("{total} of {all:,} example", "{total} of {all:,} examples", of, total=total, all=of)
    time = tr("{time:,.0f} ms", time=found.milliseconds)
    return f'<div class="find-head"><span class="hits" role="status">{hits} · {time}</span>{marks}{_keys()}</div>'


def _keys() -> str:
    keys = (
        tr("{key} search", key="<kbd>/</kbd>"),
        tr("{key} rows", key="<kbd>↑↓</kbd>"),
        tr("{key} open", key="<kbd>↵</kbd>"),
        tr("{key} history", key="<kbd>H</kbd>"),
    )
    return f'<span class="keys">{" ".join(keys)}</span>'


def in_force(filter: Filter, number: int | None = None) -> dict[str, str]:
    """The filters that matter, by the field that holds them, in words."""
    said = {
        "text": f"“{filter.text.strip()}”" if filter.text.strip() else "",
        "statuses": ", ".join(tr(STATUSES[key].lower()) for key in filter.statuses if key in STATUSES),
        "labels": tr("answer {names}", names=_either(filter.labels)) if filter.labels else "",
        "annotators": tr("by {names}", names=_either(filter.annotators)) if filter.annotators else "",
        "reviews": ", ".join(tr(REVIEWS[key].lower()) for key in filter.reviews if key in REVIEWS),
        **_days(filter),
        **_lengths(filter),
        **_suggested(filter),
        "flagged": tr("flagged by somebody") if filter.flagged else "",
        "gold": tr("gold") if filter.gold else "",
        "disagreement": tr("annotators disagree") if filter.disagreement else "",
        "similar_to": tr("similar to {number}", number=number or tr("an example")) if filter.similar_to else "",
    }
    return {field: words for field, words in said.items() if words}


def _either(names: tuple[str, ...]) -> str:
    return tr(" or ").join(names)


def _days(filter: Filter) -> dict[str, str]:
    last = filter.until - timedelta(microseconds=1) if filter.until else None
    return {
        "since": tr("from {day}", day=f"{filter.since:%Y-%m-%d}") if filter.since else "",
        "until": tr("to {day}", day=f"{last:%Y-%m-%d}") if last else "",
    }


def _lengths(filter: Filter) -> dict[str, str]:
    limits = (
        ("prompt_min", mark("prompt from {count:,} characters"), filter.prompt_min),
        ("prompt_max", mark("prompt to {count:,} characters"), filter.prompt_max),
        ("answer_min", mark("answer from {count:,} characters"), filter.answer_min),
        ("answer_max", mark("answer to {count:,} characters"), filter.answer_max),
    )
    return {field: tr(words, count=limit) for field, words, limit in limits if limit is not None}


def _suggested(filter: Filter) -> dict[str, str]:
    source, outcome = filter.suggestion_source, OUTCOMES.get(filter.suggestion_outcome, "")
    return {
        "suggestion_source": tr("suggested by {source}", source=source) if source else "",
        "suggestion_outcome": tr("suggestion: {outcome}", outcome=tr(outcome.lower())) if outcome else "",
    }


def _row(item: Found, similar: bool, change: bool) -> str:
    example, number = item.example, item.example.position
    key = text(example.id)
    choose = tr("Choose example {number}", number=number)
    box = f'<td class="box"><input type="checkbox" data-row="{key}" aria-label="{choose}"></td>'
    find = f'title="{tr("Find similar (S)")}">{tr("Similar")}</button>'
    near = f'<button type="button" class="find-do" data-similar="{key}" {find} '
    story = tr("History of example {number}", number=number)
    who = f"{text(item.annotator)}<br>{moment(item.worked_at)}" if item.annotator and item.worked_at else ""
    return (
        f'<tr data-example="{key}">{box if change else ""}<td class="num">{number}</td>'
        f'<td><button type="button" class="link" data-id="{key}" title="{tr("Open in Label")}">'
        f'<span class="text">{text(_short(example.text))}</span></button></td>'
        f'<td><span class="text">{text(_short(item.response))}</span></td><td class="marks">{_marks(item)}</td>'
        f'<td class="who">{who or text(example.source)}</td><td class="do">{near if similar else ""}'
        f'<button type="button" class="find-do" data-story="{key}" aria-label="{story}" '
        f'title="{tr("History (H)")}">{tr("History")}</button></td></tr>'
    )


def _marks(item: Found) -> str:
    words, kind = _STATUS_CHIPS[item.example.status]
    marks = chip(tr(words), kind)
    if item.example.review in _REVIEW_CHIPS:
        words, kind = _REVIEW_CHIPS[item.example.review]
        marks += chip(tr(words), kind)
    if item.gold:
        marks += chip(tr("gold"), "busy")
    if item.priority:
        marks += chip(tr("priority {priority:g}", priority=item.priority))
    if item.uncertainty is not None:
        marks += chip(tr("uncertainty {value:.2f}", value=item.uncertainty))
    if item.similarity is not None:
        marks += chip(tr("{percent:.0f} % alike", percent=100 * max(0.0, item.similarity)))
    return marks


def _acts() -> str:
    return (
        f'<div class="find-acts"><output>{tr("None chosen")}</output>'
        f'<button type="button" class="find-do" data-act="back" disabled>{tr("Put back into the queue")}</button>'
        f'<label>{tr("Priority")} <input type="number" value="1" step="any"></label>'
        f'<button type="button" class="find-do" data-act="priority" disabled>{tr("Set priority")}</button></div>'
    )


def _pages(found: Page) -> str:
    def turn(words: str, page: int, name: str) -> str:
        off = "" if 1 <= page <= found.pages and page != found.number else " disabled"
        return f'<button type="button" class="find-do" data-page="{page}" aria-label="{name}"{off}>{words}</button>'

    here = tr("page {number:,} of {pages:,}", number=found.number, pages=found.pages)
    return (
        f'<nav class="find-pages" aria-label="{tr("Pages")}">{turn("«", 1, tr("First page"))}'
        f"{turn(tr('‹ Back'), found.number - 1, tr('Previous page'))}"
        f"<span>{here}</span>{turn(tr('Next ›'), found.number + 1, tr('Next page'))}"
        f"{turn('»', found.pages, tr('Last page'))}</nav>"
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
