"""Deploy, first part: what is in production, promoting a finished run, and going back. Views: deploy_views."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from storage.records import Run
from studio.context import Studio
from studio.data.projects import get_project
from studio.deploy import production
from studio.deploy.choices import comes_back, servable_runs
from studio.errors import BadInput
from studio.jobs.runs import list_runs
from studio.language import tr
from studio.ui.deploy_views import Production, history_html, production_html, rollback_question, run_label
from studio.ui.errors import say
from studio.ui.who import current_user


@dataclass(frozen=True)
class ProductionParts:
    """The controls. `coming` holds the run that the open question about a rollback names, '' while it is closed."""

    card: gr.HTML
    run: gr.Dropdown
    why: gr.Textbox
    promote: gr.Button
    back: gr.Button
    history: gr.HTML
    sure: gr.Column
    question: gr.HTML
    yes: gr.Button
    no: gr.Button
    coming: gr.State

    @property
    def live(self) -> list[gr.blocks.Block]:
        """What a change of production changes."""
        asked = [self.sure, self.question, self.coming]
        return [self.card, self.run, self.why, self.promote, self.back, self.history, *asked]


def production_layout() -> ProductionParts:
    """Lay the part out."""
    with gr.Column(elem_id="deploy-production-panel", min_width=300):
        gr.HTML("<h2 class='title'>In production</h2><p class='quiet'>The run that answers for this project.</p>")
        card = gr.HTML()
        with gr.Row(elem_id="deploy-promote-row"):
            run = gr.Dropdown(label="Finished run", choices=[], min_width=180, scale=3)
            why = gr.Textbox(label="Reason (optional)", max_lines=1, min_width=150, scale=3)
        with gr.Row():
            promote = gr.Button("Promote", variant="primary", scale=0, min_width=130)
            back = gr.Button("Roll back …", visible=False, scale=0, min_width=130)
        with gr.Column(visible=False, elem_id="deploy-back-sure") as sure:
            question = gr.HTML()
            with gr.Row():
                yes, no = gr.Button("Roll back", variant="stop"), gr.Button("Keep as it is")
        history, coming = gr.HTML(), gr.State("")
    return ProductionParts(card, run, why, promote, back, history, sure, question, yes, no, coming)


def standing_of(studio: Studio, project_id: str) -> Production:
    """What of a project is in production."""
    runs = {run.id: run for run in list_runs(studio.db, project_id)}
    history = production.list_deployments(studio.db, project_id)
    name = production.production_name(get_project(studio.db, project_id).name)
    newest = runs.get(history[0].run_id) if history else None
    return Production(name, newest, history, {run.id: run.number for run in runs.values()})


def production_shown(studio: Studio, project_id: str) -> list[object]:
    """Values of `ProductionParts.live`, the question closed."""
    standing, runs = standing_of(studio, project_id), servable_runs(studio.db, studio.workspace, project_id)
    current = standing.run.id if standing.run else ""
    others = [run for run in runs if run.id != current]
    back = comes_back(studio.db, studio.workspace, project_id)
    return [
        production_html(standing),
        _menu(others),
        gr.Textbox(value="", interactive=bool(others)),
        gr.Button(interactive=bool(others)),
        gr.Button(visible=back is not None),
        history_html(standing),
        gr.Column(visible=False),
        "",
        "",
    ]


def _menu(others: list[Run]) -> gr.Dropdown:
    info = None if others else tr("There is no other finished run: train one first.")
    choices = [(run_label(run), run.id) for run in others]
    return gr.Dropdown(choices=choices, value=choices[0][1] if choices else None, info=info, interactive=bool(choices))


def promote(studio: Studio, project_id: str, run_id: str | None, why: str) -> None:
    """Put a run into production. Raises BadInput, NotFound, DiskFull."""
    if not run_id:
        raise BadInput("Choose a finished run first.")
    production.promote(studio.db, studio.workspace, project_id, run_id, current_user().name, why or "")
    number = standing_of(studio, project_id).numbers.get(run_id)
    known = number is not None
    say(tr("Run {number} is in production now.", number=number) if known else tr("The run is in production now."))


def ask_back(studio: Studio, project_id: str) -> list[object]:
    """Values of the question about a rollback. Raises BadInput where there is nothing to go back to."""
    run = comes_back(studio.db, studio.workspace, project_id)
    if run is None:
        raise BadInput("Nothing that was in production before can be served: promote another run instead.")
    return [gr.Column(visible=True), rollback_question(standing_of(studio, project_id), run), run.id]


def roll_back(studio: Studio, project_id: str, coming: str, why: str) -> None:
    """Go back to the run that was named. Raises BadInput, also where another one would come back by now."""
    run = comes_back(studio.db, studio.workspace, project_id)
    if run is None or run.id != coming:
        raise BadInput("What is in production has changed meanwhile: look again, then roll back.")
    production.rollback(studio.db, studio.workspace, project_id, current_user().name, why or "")
    say(tr("Run {number} is in production again.", number=run.number))
