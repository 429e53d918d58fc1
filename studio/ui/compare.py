"""Compare: one prompt, base and fine-tuned answers streamed side by side, each naming the weights that answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import gradio as gr

from storage.records import Run
from studio.context import Studio
from studio.contract.chat import Message, conversation
from studio.contract.methods import METHODS
from studio.data.projects import get_project
from studio.data.snapshots import SnapshotRow, read_split
from studio.errors import BadInput, StudioError
from studio.jobs.comparison import Pane, Panes, stream_pair
from studio.jobs.engine import Answer, Sampling, Weights, where_to_run
from studio.jobs.runs import get_run, list_runs
from studio.ui.components.html import empty, notice, text
from studio.ui.frame import QUICK, REFRESH, Frame

_MOST_PROMPTS = 200
_STOPPED = Panes(Pane(error="Stopped."), Pane(error="Stopped."))


@dataclass(frozen=True)
class _Parts:
    run: gr.Dropdown
    pick: gr.Dropdown
    prompt: gr.Textbox
    picked: gr.State
    temperature: gr.Slider
    max_tokens: gr.Number
    seed: gr.Number
    generate: gr.Button
    stop: gr.Button
    reference: gr.HTML
    missing: gr.HTML
    base: gr.HTML
    tuned: gr.HTML


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    _wire_choices(studio, frame, tab, parts)
    _wire_generate(studio, parts)


def _layout() -> _Parts:
    with gr.Row():
        run = gr.Dropdown(label="Run", choices=[], scale=2, min_width=220)
        pick = gr.Dropdown(label="From the test split", choices=[], value=None, scale=3, min_width=240)
    picked = gr.State(None)
    prompt = gr.Textbox(
        label="Prompt", lines=3, placeholder="Ask both models the same thing.", elem_id="compare-prompt"
    )
    with gr.Row(equal_height=True):
        temperature = gr.Slider(label="Temperature", minimum=0, maximum=2, step=0.05, value=0, scale=2, min_width=180)
        max_tokens = gr.Number(label="Max tokens", value=128, minimum=1, maximum=4096, precision=0, min_width=110)
        seed = gr.Number(label="Seed", value=1, minimum=0, precision=0, min_width=90)
        generate = gr.Button("Generate", variant="primary", min_width=130)
        stop = gr.Button("Stop generating", visible=False, min_width=130)
    reference, missing = gr.HTML(), gr.HTML()
    with gr.Row(elem_id="compare-columns"):
        with gr.Column(min_width=280):
            base = gr.HTML(pane_html("Base", Pane(), False))
        with gr.Column(min_width=280):
            tuned = gr.HTML(pane_html("Fine-tuned", Pane(), False))
    return _Parts(
        run, pick, prompt, picked, temperature, max_tokens, seed, generate, stop, reference, missing, base, tuned
    )


def _wire_choices(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    def on_show(chosen: str | None, run: str | None) -> tuple[object, ...]:
        menu = run_menu(studio, chosen, run)
        missing = empty("Nothing to compare yet", "Train a run first: base and fine-tuned answers appear here.")
        return menu, "" if menu.choices else missing

    def on_run(run: str | None) -> tuple[object, ...]:
        choices = [(row.prompt[:90], index) for index, row in enumerate(test_rows(studio, run))]
        return gr.Dropdown(choices=choices, value=None), None, ""

    def on_pick(run: str | None, index: int | None) -> tuple[object, ...]:
        if index is None:
            return gr.skip(), None, ""
        row = test_rows(studio, run)[index]
        return row.prompt, row, notice("", f"Reference: {row.response}")

    gr.on(
        [tab.select, frame.project.change], on_show, [frame.project, parts.run], [parts.run, parts.missing], **REFRESH
    )
    parts.run.change(on_run, parts.run, [parts.pick, parts.picked, parts.reference], **QUICK)
    parts.pick.input(on_pick, [parts.run, parts.pick], [parts.prompt, parts.picked, parts.reference], **QUICK)


def _wire_generate(studio: Studio, parts: _Parts) -> None:
    async def on_generate(
        run: str | None, prompt: str, picked: SnapshotRow | None, temperature: float, max_tokens: float, seed: float
    ) -> AsyncIterator[list[object]]:
        buttons = [gr.Button(visible=False), gr.Button(visible=True)]
        yield [*buttons, *_panes_html(Panes(), "Loading the model")]
        try:
            sampling = Sampling(temperature=temperature, max_tokens=int(max_tokens or 128), seed=int(seed or 0))
            async for panes in answers(studio, run, prompt, picked, sampling):
                yield [gr.skip(), gr.skip(), *_panes_html(panes)]
            yield [gr.Button(visible=True), gr.Button(visible=False), gr.skip(), gr.skip()]
        except StudioError as error:
            failed = Pane(error=str(error))
            yield [gr.Button(visible=True), gr.Button(visible=False), *_panes_html(Panes(failed, failed))]

    asked = [parts.run, parts.prompt, parts.picked, parts.temperature, parts.max_tokens, parts.seed]
    shown = [parts.generate, parts.stop, parts.base, parts.tuned]
    generating = gr.on(
        [parts.generate.click, parts.prompt.submit],
        on_generate,
        asked,
        shown,
        show_progress="hidden",
        api_visibility="private",
    )
    parts.stop.click(
        lambda: [gr.Button(visible=True), gr.Button(visible=False), *_panes_html(_STOPPED)],
        None,
        shown,
        cancels=[generating],
        api_visibility="private",
    )


async def answers(
    studio: Studio, run_id: str | None, prompt: str, picked: SnapshotRow | None, sampling: Sampling
) -> AsyncIterator[Panes]:
    """Both answers as they grow. Raises BadInput when something is missing, JobFailed when no model can be loaded."""
    if not run_id:
        raise BadInput("Choose a run first; when there is none yet, train one in the Train tab.")
    if not prompt.strip():
        raise BadInput("Write a prompt first, or take one from the test split.")
    run = get_run(studio.db, run_id)
    engine = await asyncio.to_thread(studio.engines.get, run.base_model, *where_to_run(run.spec))
    async for panes in stream_pair(engine, _messages(studio, run, prompt, picked), run_id, sampling):
        yield panes


def _messages(studio: Studio, run: Run, prompt: str, picked: SnapshotRow | None) -> list[Message]:
    """The conversation asked: a test row's own turns while its prompt is unchanged, else the typed text."""
    if picked is not None and picked.prompt == prompt:
        return list(picked.messages[:-1])
    return conversation([Message("user", prompt)], get_project(studio.db, run.project_id).system_prompt)


def run_menu(studio: Studio, project_id: str | None, current: str | None) -> gr.Dropdown:
    """The project's runs that have weights, newest first and chosen, unless another of them already is."""
    runs = [run for run in list_runs(studio.db, project_id) if run.adapter_hash] if project_id else []
    choices = [(f"Run {run.number} · {_method(run)} · {run.base_model} · {run.steps} steps", run.id) for run in runs]
    ids = [run.id for run in runs]
    return gr.Dropdown(choices=choices, value=current if current in ids else (ids[0] if ids else None))


def _method(run: Run) -> str:
    about = next((about for name, about in METHODS.items() if name == run.spec.get("method", "lora")), None)
    return about.title if about else "LoRA"


def test_rows(studio: Studio, run_id: str | None) -> list[SnapshotRow]:
    """The first held-out rows of the snapshot a run was trained on."""
    if not run_id:
        return []
    return read_split(studio.workspace, get_run(studio.db, run_id).snapshot_id, "test", 0, _MOST_PROMPTS)


def _panes_html(panes: Panes, waiting: str = "") -> list[str]:
    return [
        pane_html("Base", panes.base, True, waiting),
        pane_html("Fine-tuned", panes.tuned, True, waiting),
    ]


def pane_html(title: str, pane: Pane, asked: bool, waiting: str = "") -> str:
    """One side: the answer as text, then how long it took and which weights gave it."""
    body, foot = text(pane.text), ""
    if pane.error:
        body += notice("bad", pane.error)
    elif pane.answer:
        foot = f'<div class="weights">{_figures(pane.answer)}<br>{text(_named(pane.answer.weights))}</div>'
    elif pane.note:
        body = f'<span class="quiet">{text(pane.note)}</span>'
    elif not asked:
        body = '<span class="quiet">The answer appears here.</span>'
    elif not pane.text:
        body = f'<span class="quiet">{text(waiting or "Thinking")}…</span>'
    running = "" if pane.done or not asked else "caret"
    kind = "tuned" if title != "Base" else ""
    return f'<div class="pane {kind}"><h3>{text(title)}</h3><div class="answer {running}">{body}</div>{foot}</div>'


def _figures(answer: Answer) -> str:
    """How sure a classifier is, or how long an answer is; and the seconds that it took."""
    if answer.probability is not None:
        return f"probability {answer.probability:.1%} · {answer.seconds:.1f} s"
    cut = " · cut at max tokens" if answer.finish == "length" else ""
    return f"{answer.tokens} tok · {answer.seconds:.1f} s{cut}"


def _named(weights: Weights) -> str:
    """The weights that answered, as text."""
    base, run = (
        f"base {weights.base} {weights.base_hash[:12]}",
        f"{weights.adapter} {(weights.adapter_hash or '')[:12]}",
    )
    if weights.whole:
        return f"model of {run}, fully trained from {base}"
    return f"{base} + adapter {run}" if weights.adapter else base
