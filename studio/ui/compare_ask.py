"""The Ask part of Compare: a question to all models at once, and what is done with their answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from storage.records import Run
from studio.context import Studio
from studio.contract.chat import Message, conversation
from studio.contract.methods import METHODS
from studio.data.projects import get_project
from studio.data.sample import TRY_PROMPT, end_guide
from studio.data.snapshots import SnapshotRow, read_split
from studio.errors import BadInput, StudioError
from studio.jobs.comparison import Pane
from studio.jobs.comparison_batch import short_name
from studio.jobs.endpoint import Endpoint, load_endpoint
from studio.jobs.engine import Sampling
from studio.jobs.lineup import ask, line_up
from studio.jobs.runs import get_run, list_runs
from studio.language import tr
from studio.ui.compare_acts import Acted, act_on, save_fix
from studio.ui.compare_layout import Parts
from studio.ui.compare_state import Shown, begun, gone_on, stopped
from studio.ui.compare_views import panes_html
from studio.ui.components.compare_panes import pane_act
from studio.ui.components.html import empty, notice
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.who import current_user

MOST_PROMPTS = 200
_STREAM: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Wanted:
    """A question as the form has it; `runs` are ids."""

    project_id: str | None
    runs: list[str] | None
    endpoint: bool
    prompt: str
    system: str
    picked: SnapshotRow | None
    temperature: float
    max_tokens: float
    seed: float
    blind: bool

    @property
    def sampling(self) -> Sampling:
        """How to draw tokens, the same for all."""
        seed, tokens = int(self.seed or 0), int(self.max_tokens or 128)
        return Sampling(temperature=self.temperature, max_tokens=tokens, seed=seed)


def wire_choices(studio: Studio, frame: Frame, tab: gr.Tab, parts: Parts) -> None:
    """The menus of runs and of rows of the test split."""
    who, asks = parts.who, parts.ask

    def on_show(chosen: str | None, runs: list[str] | None, before: Shown | None, typed: str) -> list[object]:
        menu, endpoint = run_menu(studio, chosen, runs), load_endpoint(studio.workspace)
        asked = gr.Checkbox(label=endpoint_words(endpoint), visible=endpoint is not None)
        kept = before is not None and before.project_id == chosen
        project = get_project(studio.db, chosen) if chosen else None
        system = project.system_prompt if project else ""
        offered = TRY_PROMPT if project and project.settings.guide and not typed else gr.skip()
        live = [gr.skip()] * 6 if kept else [system, None, "", *_buttons(False, None)]
        return [menu, asked, "" if menu.choices else missing(), offered, *live]

    def on_runs(runs: list[str] | None) -> list[object]:
        choices = [(row.prompt[:90], index) for index, row in enumerate(test_rows(studio, runs))]
        return [gr.Dropdown(choices=choices, value=None), None, ""]

    def on_pick(runs: list[str] | None, index: int | None) -> list[object]:
        if index is None:
            return [gr.skip(), gr.skip(), None, ""]
        row = test_rows(studio, runs)[index]
        system = next((turn.content for turn in row.messages if turn.role == "system"), "")
        return [row.prompt, system, row, notice("", tr("Reference: {answer}", answer=row.response))]

    fresh = [who.runs, who.endpoint, asks.missing, asks.prompt, asks.system, *asks.live]
    gr.on(frame.looks_at(tab), on_show, [frame.project, who.runs, asks.shown, asks.prompt], fresh, **REFRESH)
    who.runs.change(on_runs, who.runs, [asks.pick, asks.picked, asks.reference], **QUICK)
    picked = [asks.prompt, asks.system, asks.picked, asks.reference]
    asks.pick.input(on_pick, [who.runs, asks.pick], picked, **QUICK)


def missing() -> str:
    """What stands there without a run."""
    what = tr("Train a run first: its answers and the base model's appear here.")
    return empty(tr("Nothing to compare yet"), what)


def endpoint_words(endpoint: Endpoint | None) -> str:
    """What the endpoint's check box says."""
    if endpoint is None:
        return tr("Ask the endpoint too")
    return tr("Ask {model} at {host} too", model=endpoint.model, host=endpoint.host)


def wire_question(studio: Studio, frame: Frame, parts: Parts) -> None:
    """Generate, continue, stop."""
    who, asks = parts.who, parts.ask

    async def on_generate(markdown: bool, *form: object) -> AsyncIterator[list[object]]:
        try:
            shown = question(studio, Wanted(*form))  # type: ignore[arg-type]
        except StudioError as error:
            yield [None, notice("bad", tr(str(error))), *_buttons(False, None)]
            return
        async with aclosing(growing(studio, shown, markdown)) as coming:
            async for values in coming:
                yield values

    async def on_continue(shown: Shown | None, prompt: str, markdown: bool) -> AsyncIterator[list[object]]:
        if shown is None or not shown.done or not prompt.strip():
            first = tr("Generate answers first, then continue the chat.")
            why = tr("Write the next question first.") if shown else first
            yield [shown, panes_html(shown, markdown) + notice("bad", why), *_buttons(False, shown)]
            return
        async with aclosing(growing(studio, gone_on(shown, prompt), markdown)) as coming:
            async for values in coming:
                yield values

    def on_stop(shown: Shown | None, markdown: bool) -> list[object]:
        shown = stopped(shown) if shown else None
        return [shown, panes_html(shown, markdown), *_buttons(False, shown)]

    form = [frame.project, who.runs, who.endpoint, asks.prompt, asks.system, asks.picked, asks.temperature]
    form += [asks.max_tokens, asks.seed, asks.blind]
    first = gr.on([asks.generate.click, asks.prompt.submit], on_generate, [who.markdown, *form], asks.live, **_STREAM)
    more = asks.go_on.click(on_continue, [asks.shown, asks.prompt, who.markdown], asks.live, **_STREAM)
    stop = [asks.shown, who.markdown]
    asks.stop.click(on_stop, stop, asks.live, cancels=[first, more], api_visibility="private")
    who.markdown.input(lambda shown, on: panes_html(shown, on), [asks.shown, who.markdown], asks.panes, **QUICK)


def wire_answers(studio: Studio, parts: Parts) -> None:
    """Votes, undo, word diff, and the editor of a better answer."""
    asks, fix = parts.ask, parts.ask.fix

    @told
    def on_act(shown: Shown | None, markdown: bool, event: gr.EventData) -> list[object]:
        acted = act_on(studio, current_user(), shown, pane_act(event))
        return [*_shown(acted.shown, markdown), _more(acted.shown), *editor(acted)]

    @told
    def on_save(shown: Shown | None, markdown: bool, place: int, answer: str) -> list[object]:
        fixed = save_fix(studio, current_user(), shown, place, answer)
        say(tr("Saved: the pair goes where the project's new answers go."))
        return [*_shown(fixed, markdown), _more(fixed), *editor(Acted(fixed))]

    after = [asks.shown, asks.panes, asks.go_on, *fix.live]
    asks.panes.act(on_act, [asks.shown, parts.who.markdown], after, **QUICK)
    saved = [asks.shown, parts.who.markdown, fix.place, fix.field]
    fix.save.click(on_save, saved, after, **QUICK)
    fix.leave.click(lambda: editor(Acted(None)), None, fix.live, **QUICK)


async def growing(studio: Studio, shown: Shown, markdown: bool) -> AsyncGenerator[list[object], None]:
    """Values of `Ask.live` while the answers grow; what cannot be asked at all stands on each pane."""
    yield [shown, panes_html(shown, markdown, tr("Loading the model")), *_buttons(True, shown)]
    try:
        assert shown.lineup is not None
        async with aclosing(ask(studio.engines, shown.lineup, shown.chats, shown.sampling)) as coming:
            async for panes in coming:
                shown = replace(shown, panes=panes)
                yield [*_shown(shown, markdown), *[gr.skip()] * 3]
    except StudioError as error:
        shown = replace(shown, panes=(Pane(error=str(error)),) * len(shown.names))
    if shown.whole:
        end_guide(studio.db, shown.project_id)
    yield [*_shown(shown, markdown), *_buttons(False, shown)]


def question(studio: Studio, wanted: Wanted) -> Shown:
    """The comparison that a form asks for. Raises BadInput when something is missing, NotFound."""
    if not wanted.project_id:
        raise BadInput("Choose a project first.")
    lineup = line_up(studio.db, studio.workspace, wanted.runs or [], wanted.endpoint)
    if not wanted.prompt.strip():
        raise BadInput("Write a prompt first, or take one from the test split.")
    row = wanted.picked if wanted.picked and wanted.picked.prompt == wanted.prompt else None
    turns = row.messages[:-1] if row else (Message("user", wanted.prompt),)
    messages = conversation([turn for turn in turns if turn.role != "system"], wanted.system.strip())
    example = row.example_id if row else None
    return begun(wanted.project_id, lineup, messages, wanted.sampling, wanted.blind, example)


def editor(acted: Acted) -> list[object]:
    """Values of `Fix.live`: open with an answer where one is to be fixed, else closed."""
    if acted.shown is None or acted.fixing < 0:
        return [gr.Column(visible=False), "", -1]
    title = acted.shown.title(acted.fixing)
    label = tr("Better answer, begun from {model}'s", model=title)
    field = gr.Textbox(value=acted.shown.pane(acted.fixing).text, label=label)
    return [gr.Column(visible=True), field, acted.fixing]


def run_menu(studio: Studio, project_id: str | None, current: list[str] | None) -> gr.Dropdown:
    """The project's runs that have weights, newest first; those chosen stay, else the newest is."""
    runs = [run for run in list_runs(studio.db, project_id) if run.adapter_hash] if project_id else []
    choices = [(_choice(run), run.id) for run in runs]
    ids = [run.id for run in runs]
    kept = [run_id for run_id in current or [] if run_id in ids]
    return gr.Dropdown(choices=choices, value=kept or ids[:1])


def _choice(run: Run) -> str:
    return tr(
        "Run {number} · {method} · {model} · {steps} steps",
        number=run.number,
        method=tr(_method(run.spec)),
        model=short_name(run.base_model),
        steps=run.steps,
    )


def test_rows(studio: Studio, runs: list[str] | None, most: int = MOST_PROMPTS) -> list[SnapshotRow]:
    """The first held-out rows of the snapshot that the first run was trained on."""
    if not runs:
        return []
    return read_split(studio.workspace, get_run(studio.db, runs[0]).snapshot_id, "test", 0, most)


def _method(spec: object) -> str:
    name = spec.get("method", "lora") if hasattr(spec, "get") else "lora"
    about = next((about for known, about in METHODS.items() if known == name), None)
    return about.title if about else "LoRA"


def _shown(shown: Shown | None, markdown: bool) -> list[object]:
    return [shown, panes_html(shown, markdown)]


def _buttons(running: bool, shown: Shown | None) -> list[object]:
    """Generate, continue, stop. A blind comparison is voted on before the chat goes on."""
    more = gr.Button(interactive=False) if running else _more(shown)
    return [gr.Button(visible=not running), more, gr.Button(visible=running)]


def _more(shown: Shown | None) -> gr.Button:
    return gr.Button(interactive=shown is not None and shown.done and not shown.hidden)
