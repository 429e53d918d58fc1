"""The examples of the Data tab: search, filters, pages, one example's history, and acts on chosen rows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.data.browse import count_examples, get_example
from studio.data.finding import SORTS, Filter, Page, check, choices, find, put_back, set_priority, warm
from studio.data.history import read_history
from studio.errors import BadInput, StudioError
from studio.language import tr, trn
from studio.people.roles import may
from studio.ui.components.find_list import find_list, story_panel
from studio.ui.components.html import notice, opened
from studio.ui.errors import say, told
from studio.ui.find_views import OUTCOMES, REVIEWS, STATUSES, field_value, listing_html, no_project
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.history import story_html
from studio.ui.who import current_user

Controls = dict[str, Any]
"""The control of each field of Filter, by its name, and `sort`."""

FIELDS = tuple(field.name for field in fields(Filter))


@dataclass(frozen=True)
class Parts:
    """`listing` shows what the controls ask for; `page` is the number of its page, the first being 1."""

    controls: Controls
    page: gr.State
    listing: gr.HTML
    story: gr.HTML

    @property
    def asked(self) -> list[Any]:
        """All controls in the order of FIELDS, then `sort`."""
        return [self.controls[name] for name in (*FIELDS, "sort")]


def layout() -> Parts:
    """The controls above the list: one row, and the rest folded."""
    gr.HTML("<h2 class='title' style='margin-top:18px'>Examples</h2>")
    made: Controls = {}
    with gr.Row(elem_id="find-row"):
        made["text"] = gr.Textbox(
            label="Search", placeholder="In prompts, contexts and answers", elem_id="find-text", scale=4, min_width=220
        )
        made["statuses"] = _several("Status", [(words, key) for key, words in STATUSES.items()], 3)
        made["sort"] = gr.Dropdown(
            label="Sort by", choices=[(words, key) for key, words in SORTS.items()], value="imported", min_width=150
        )
    with gr.Accordion("More filters", open=False, elem_id="find-more"):
        _more(made)
    made["similar_to"] = gr.State("")
    return Parts(made, gr.State(1), find_list(), story_panel())


def _more(made: Controls) -> None:
    with gr.Row():
        made["labels"] = _several("Answer is", [])
        made["annotators"] = _several("Worked on by", [])
        made["reviews"] = _several("Review", [(words, key) for key, words in REVIEWS.items()])
    with gr.Row():
        made["since"] = gr.Textbox(label="From day (UTC)", placeholder="2026-11-30", max_lines=1, min_width=130)
        made["until"] = gr.Textbox(label="To day (UTC)", placeholder="2026-12-31", max_lines=1, min_width=130)
        for name, label in (("prompt_min", "Prompt from"), ("prompt_max", "Prompt to")):
            made[name] = _characters(label)
        for name, label in (("answer_min", "Answer from"), ("answer_max", "Answer to")):
            made[name] = _characters(label)
    with gr.Row():
        made["suggestion_source"] = gr.Dropdown(label="Suggested by", choices=[("Any", "")], value="", min_width=150)
        outcomes = [("Any", ""), *((words, key) for key, words in OUTCOMES.items())]
        made["suggestion_outcome"] = gr.Dropdown(label="Suggestion was", choices=outcomes, value="", min_width=150)
        made["flagged"] = gr.Checkbox(label="Flagged by somebody", value=False, min_width=130)
        made["gold"] = gr.Checkbox(label="Gold", value=False, min_width=80)
        made["disagreement"] = gr.Checkbox(label="Annotators disagree", value=False, min_width=130)


def _several(label: str, options: list[tuple[str, str]], scale: int = 1) -> gr.Dropdown:
    return gr.Dropdown(label=label, choices=options, value=[], multiselect=True, scale=scale, min_width=180)


def _characters(label: str) -> gr.Textbox:
    return gr.Textbox(label=f"{label} (characters)", placeholder="any", max_lines=1, min_width=110)


def wire(studio: Studio, frame: Frame, tab: gr.Tab, parts: Parts, imported: Any) -> None:
    """Wire the list; `imported` is the event after which there may be more examples."""
    shown = [parts.listing, parts.page]
    inputs = [frame.project, parts.page, *parts.asked]

    @told
    def on_show(chosen: str | None, page: int, *asked: Any) -> tuple[str, int]:
        return show(studio, chosen, page, asked)

    def on_first(chosen: str | None, page: int, *asked: Any) -> tuple[str, int]:
        return on_show(chosen, 1, *asked)

    def on_project(chosen: str | None) -> list[object]:
        return [*menus(studio, chosen), "", 1, ""]

    changes = [control.change for control in parts.asked]
    reset = [*_menus_of(parts), parts.controls["similar_to"], parts.page, parts.story]
    gr.on([tab.select], on_show, inputs, shown, **REFRESH)
    gr.on(changes, on_first, inputs, shown, **REFRESH)
    gr.on(frame.looks_at(tab), lambda chosen: _ready(studio, chosen), frame.project, None, **REFRESH)
    frame.project.change(on_project, frame.project, reset, **REFRESH).then(on_first, inputs, shown, **REFRESH)
    tab.select(lambda chosen: menus(studio, chosen), frame.project, _menus_of(parts), **REFRESH)
    imported.then(on_show, inputs, shown, **QUICK)
    parts.listing.turn(_on_turn, None, parts.page, **QUICK).then(on_show, inputs, shown, **REFRESH)
    parts.listing.clear(_on_clear, None, parts.asked, **QUICK)
    _wire_rows(studio, frame, parts, inputs, shown, on_show)


def _wire_rows(studio: Studio, frame: Frame, parts: Parts, inputs: list[Any], shown: list[Any], on_show: Any) -> None:
    @told
    def on_story(event: gr.EventData) -> str:
        return story_html(read_history(studio.db, opened(event)))

    @told
    def on_act(chosen: str | None, event: gr.EventData) -> None:
        say(act(studio, chosen or "", event._data))

    def on_similar(event: gr.EventData) -> tuple[str, str]:
        return opened(event), "similar"

    # The Label tab takes the wanted example up when it is shown.
    parts.listing.open(_on_open, None, [frame.wanted, frame.tabs], **QUICK)
    parts.listing.story(on_story, None, parts.story, **QUICK)
    parts.listing.similar(on_similar, None, [parts.controls["similar_to"], parts.controls["sort"]], **QUICK)
    parts.listing.act(on_act, frame.project, None, **QUICK).success(on_show, inputs, shown, **REFRESH)


def show(studio: Studio, project_id: str | None, page: int, asked: tuple[Any, ...]) -> tuple[str, int]:
    """The list for some values of the controls, and the number of the page that it shows."""
    if not project_id:
        return no_project(), 1
    try:
        filter, sort = filter_of(asked)
        found = find(studio.db, project_id, filter, sort, page or 1)
    except BadInput as error:
        return notice("warn", tr(str(error))), 1
    of = count_examples(studio.db, project_id).total
    return _listing(studio, project_id, found, filter, of), found.number


def _listing(studio: Studio, project_id: str, found: Page, filter: Filter, of: int) -> str:
    number = None
    if filter.similar_to:
        number = get_example(studio.db, filter.similar_to).position
    similar = choices(studio.db, project_id).similar
    return listing_html(found, filter, of, similar, may(current_user(), "reviewer"), number)


def filter_of(asked: tuple[Any, ...]) -> tuple[Filter, str]:
    """The values of the controls as a filter and an order. Raises BadInput."""
    values = dict(zip(FIELDS, asked, strict=False))
    for name in ("labels", "annotators", "statuses", "reviews"):
        values[name] = tuple(values[name] or ())
    for name in ("prompt_min", "prompt_max", "answer_min", "answer_max"):
        values[name] = _length(values[name])
    end = _day(values["until"])
    values |= {"since": _day(values["since"]), "until": end and end + timedelta(days=1)}
    values |= {name: values[name] or "" for name in ("text", "suggestion_source", "suggestion_outcome", "similar_to")}
    filter = Filter(**values)
    check(filter)
    return filter, str(asked[-1] or "imported")


def _length(typed: str | None) -> int | None:
    if not (typed or "").strip():
        return None
    try:
        return max(0, int(str(typed).strip()))
    except ValueError:
        raise BadInput("A length is a number of characters, like 80.") from None


def _day(typed: str | None) -> datetime | None:
    if not (typed or "").strip():
        return None
    try:
        day = date.fromisoformat(str(typed).strip())
    except ValueError:
        raise BadInput("A day is written like 2026-11-30.") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def act(studio: Studio, project_id: str, wanted: dict[str, Any]) -> str:
    """Do something with chosen rows; the sentence that says what was done. Raises BadInput, NotAllowed."""
    ids = [str(example_id) for example_id in wanted.get("ids") or ()]
    if wanted.get("what") == "back":
        done = put_back(studio.db, current_user(), project_id, ids)
        return trn("{count:,} example put back into the queue.", "{count:,} examples put back into the queue.", done)
    try:
        priority = float(str(wanted.get("priority")))
    except ValueError:
        raise BadInput("A priority is a number, like 1 or 0.5.") from None
    done = set_priority(studio.db, current_user(), project_id, ids, priority)
    return trn(
        "Priority {priority:g} for {count:,} example.",
        "Priority {priority:g} for {count:,} examples.",
        done,
        priority=priority,
    )


def menus(studio: Studio, project_id: str | None) -> list[object]:
    """The choices of the filters that depend on the project; what is chosen stays where it exists."""
    if not project_id:
        return [gr.skip()] * 3
    try:
        offered = choices(studio.db, project_id)
    except StudioError:
        return [gr.skip()] * 3
    return [
        gr.Dropdown(choices=list(offered.answers), visible=bool(offered.answers)),
        gr.Dropdown(choices=list(offered.annotators)),
        gr.Dropdown(choices=[(tr("Any"), ""), *((source, source) for source in offered.sources)]),
    ]


def _menus_of(parts: Parts) -> list[Any]:
    return [parts.controls[name] for name in ("labels", "annotators", "suggestion_source")]


def _ready(studio: Studio, project_id: str | None) -> None:
    if project_id:
        warm(studio.db, project_id)


def _on_open(event: gr.EventData) -> tuple[str, gr.Tabs]:
    return opened(event), gr.Tabs(selected="label")


def _on_turn(event: gr.EventData) -> int:
    return max(1, int(event._data["page"]))


def _on_clear(event: gr.EventData) -> list[object]:
    field = str(event._data["field"])
    values = [field_value(name) if field in (name, "all") else gr.skip() for name in FIELDS]
    sort = "imported" if field in ("similar_to", "all") else gr.skip()
    return [*(list(value) if isinstance(value, tuple) else value for value in values), sort]
