"""Compare's controls, laid out: who answers, then three parts, to ask, to vote on a batch, and how the models stand."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from studio.jobs.lineup import MOST_RUNS
from studio.ui.components.compare_panes import compare_panes
from studio.ui.tailored import show_to

ASKS = "admin"
"""The role that may have models answer, as it takes the machine's time; everybody may vote."""


@dataclass(frozen=True)
class Fix:
    """The editor of a better answer; `place` is the pane that it is about, or -1."""

    box: gr.Column
    field: gr.Textbox
    save: gr.Button
    leave: gr.Button
    place: gr.State

    @property
    def live(self) -> list[gr.components.Component]:
        """What opens and closes it."""
        return [self.box, self.field, self.place]  # type: ignore[list-item]


@dataclass(frozen=True)
class Who:
    """Who answers, and how answers are shown."""

    runs: gr.Dropdown
    endpoint: gr.Checkbox
    markdown: gr.Checkbox


@dataclass(frozen=True)
class Because:
    """Below the panes: the training pairs that speak most for one answer. `asked` is the question's id, or ""."""

    asked: gr.State
    shown: gr.HTML
    timer: gr.Timer

    @property
    def live(self) -> list[gr.components.Component]:
        """What a question changes."""
        return [self.asked, self.shown, self.timer]


@dataclass(frozen=True)
class Ask:
    """A question, its settings, and the panes."""

    pick: gr.Dropdown
    picked: gr.State
    prompt: gr.Textbox
    system: gr.Textbox
    temperature: gr.Slider
    max_tokens: gr.Number
    seed: gr.Number
    blind: gr.Checkbox
    generate: gr.Button
    go_on: gr.Button
    stop: gr.Button
    reference: gr.HTML
    missing: gr.HTML
    shown: gr.State
    panes: gr.HTML
    fix: Fix
    because: Because

    @property
    def live(self) -> list[gr.components.Component]:
        """What an answer changes while it grows."""
        return [self.shown, self.panes, self.generate, self.go_on, self.stop]


@dataclass(frozen=True)
class Vote:
    """A batch to vote on: how it is made, and the desk at which it is voted on."""

    tab: gr.Tab
    rows: gr.Number
    file: gr.File
    make: gr.Button
    cancel: gr.Button
    timer: gr.Timer
    progress: gr.HTML
    desk: gr.State
    head: gr.HTML
    panes: gr.HTML
    fix: Fix

    @property
    def batch(self) -> list[gr.components.Component]:
        """What shows how far a batch is."""
        return [self.progress, self.make, self.cancel, self.timer]

    @property
    def live(self) -> list[gr.components.Component]:
        """What a vote changes."""
        return [self.desk, self.head, self.panes]


@dataclass(frozen=True)
class Parts:
    """All of the tab."""

    who: Who
    ask: Ask
    vote: Vote
    standing: gr.Tab
    standings: gr.HTML


def layout() -> Parts:
    """The whole tab."""
    with gr.Row(elem_id="compare-who"):
        runs = show_to(
            gr.Dropdown(
                label="Runs",
                choices=[],
                multiselect=True,
                max_choices=MOST_RUNS,
                scale=4,
                min_width=260,
                info=f"Up to {MOST_RUNS}; their base model always answers too.",
                elem_id="compare-runs",
            ),
            ASKS,
        )
        endpoint = show_to(gr.Checkbox(label="Ask the endpoint too", visible=False, min_width=200), ASKS)
        markdown = gr.Checkbox(label="Show answers as Markdown", value=False, min_width=200)
    with gr.Tabs(elem_id="compare-parts"):
        with show_to(gr.Tab("Ask", id="compare-ask"), ASKS):
            ask = _ask()
        with gr.Tab("Vote", id="compare-vote") as tab:
            vote = _vote(tab)
        with gr.Tab("Standings", id="compare-standings") as standing:
            standings = gr.HTML(elem_id="compare-standings-list")
    return Parts(Who(runs, endpoint, markdown), ask, vote, standing, standings)


def _ask() -> Ask:
    missing = gr.HTML()
    pick = gr.Dropdown(label="From the test split", choices=[], value=None)
    picked, shown = gr.State(None), gr.State(None)
    prompt = gr.Textbox(label="Prompt", lines=3, placeholder="Ask all models the same thing.", elem_id="compare-prompt")
    with gr.Accordion("System prompt", open=False):
        system = gr.Textbox(label="System prompt of this question", lines=2, max_lines=8)
    with gr.Row(equal_height=True):
        temperature = gr.Slider(label="Temperature", minimum=0, maximum=2, step=0.05, value=0, scale=2, min_width=180)
        max_tokens = gr.Number(label="Max tokens", value=128, minimum=1, maximum=4096, precision=0, min_width=110)
        seed = gr.Number(label="Seed", value=1, minimum=0, precision=0, min_width=90)
        blind = gr.Checkbox(label="Blind", info="Shuffled and unnamed until you vote.", min_width=170)
    with gr.Row():
        generate = gr.Button("Generate", variant="primary", scale=0, min_width=160, elem_id="compare-generate")
        go_on = gr.Button("Continue the chat", interactive=False, scale=0, min_width=180)
        stop = gr.Button("Stop generating", visible=False, scale=0, min_width=160)
        gr.HTML("<p class='quiet'>Ctrl+Enter generates. Continue asks each model once more, after its own answer.</p>")
    reference = gr.HTML()
    panes = compare_panes("compare-asked")
    controls = (pick, picked, prompt, system, temperature, max_tokens, seed, blind, generate, go_on, stop)
    because = Because(gr.State(""), gr.HTML(elem_id="compare-why"), gr.Timer(1.0, active=False))
    return Ask(*controls, reference, missing, shown, panes, _fix("compare-fix"), because)


def _vote(tab: gr.Tab) -> Vote:
    with show_to(gr.Accordion("Make answers to vote on", open=False), ASKS):
        gr.HTML(
            "<p class='quiet'>The chosen runs and their base model answer now, with the settings of Ask; then "
            "everybody votes on the answers blind. Held-out rows stay held out: votes on them rank models but train "
            "none. Votes on prompts of a file (CSV, JSON, JSONL, Parquet with a column <i>prompt</i>) can.</p>"
        )
        with gr.Row(equal_height=True):
            file = gr.File(
                label="Prompts of a file, in place of the test split", height=110, min_width=280, elem_id="compare-file"
            )
            rows = gr.Number(label="Rows of the test split", value=20, minimum=1, maximum=200, precision=0, scale=0)
            make = gr.Button("Make the answers", scale=0, min_width=170)
            cancel = gr.Button("Cancel", visible=False, scale=0, min_width=110)
        progress, timer = gr.HTML(), gr.Timer(1.0, active=False)
    desk, head = gr.State(None), gr.HTML(elem_id="compare-head")
    panes = compare_panes("compare-voted")
    return Vote(tab, rows, file, make, cancel, timer, progress, desk, head, panes, _fix("compare-vote-fix"))


def _fix(elem_id: str) -> Fix:
    with gr.Column(visible=False, elem_id=elem_id) as box:
        field = gr.Textbox(label="Better answer", lines=6, max_lines=20, autofocus=True)
        with gr.Row():
            save = gr.Button("Save as a labeled pair", variant="primary", scale=0, min_width=190)
            leave = gr.Button("Leave it", scale=0, min_width=110)
    return Fix(box, field, save, leave, gr.State(-1))
