"""Projects: create, rename, archive; task, system prompt, guidelines; the sample project."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from storage.records import Project
from studio.data.browse import count_examples
from studio.data.projects import TASKS, archive_project, create_project, get_project, list_projects, update_project
from studio.data.sample import create_sample_project
from studio.jobs.context import Studio
from studio.ui.components.html import cards as make_cards
from studio.ui.components.html import chip, count, empty, opened, text
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, REFRESH, Frame

_TASK_CHOICES = [(words, key) for key, words in TASKS.items()]


@dataclass(frozen=True)
class _Parts:
    cards: gr.HTML
    archived: gr.Checkbox
    editing: gr.State
    heading: gr.HTML
    name: gr.Textbox
    task: gr.Dropdown
    system_prompt: gr.Textbox
    guidelines: gr.Textbox
    create: gr.Button
    save: gr.Button
    archive: gr.Button
    new: gr.Button
    sample: gr.Button

    @property
    def fields(self) -> list[gr.components.Component]:
        return [self.name, self.task, self.system_prompt, self.guidelines]

    @property
    def form(self) -> list[gr.components.Component]:
        """What changes between making a new project and editing one."""
        return [self.editing, self.heading, *self.fields, self.create, self.save, self.archive]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    _wire(studio, frame, tab, parts)


def _layout() -> _Parts:
    with gr.Row(elem_id="projects-columns"):
        with gr.Column(scale=6, min_width=300):
            with gr.Row():
                new = gr.Button("New project", variant="secondary", scale=0, min_width=130)
                sample = gr.Button("Create sample project", variant="secondary", scale=0, min_width=190)
            cards = make_cards()
            archived = gr.Checkbox(label="Show archived", value=False, container=False)
        with gr.Column(scale=5, min_width=300, elem_id="projects-panel"):
            editing = gr.State("")
            heading = gr.HTML(_heading(None))
            name = gr.Textbox(label="Name", placeholder="Acme support", max_lines=1)
            task = gr.Dropdown(label="Task", choices=_TASK_CHOICES, value="chat")
            system_prompt = gr.Textbox(
                label="System prompt", lines=3, placeholder="What the model is told before every conversation."
            )
            guidelines = gr.Textbox(
                label="Guidelines (Markdown)",
                lines=7,
                placeholder="What a good answer looks like. Shown while labeling.",
            )
            with gr.Row():
                create = gr.Button("Create project", variant="primary")
                save = gr.Button("Save changes", variant="primary", visible=False)
                archive = gr.Button("Archive", visible=False, scale=0, min_width=120)
    return _Parts(
        cards, archived, editing, heading, name, task, system_prompt, guidelines, create, save, archive, new, sample
    )


def _wire(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    project = frame.project
    shown = [project, parts.cards, *parts.form]

    def both(chosen: str | None, archived: bool) -> list[object]:
        return [frame.choices(studio, chosen), cards_html(studio, chosen, archived)]

    @told
    def on_create(name: str, task: str, system_prompt: str, guidelines: str, archived: bool) -> list[object]:
        made = create_project(studio.db, name, task, system_prompt, guidelines)
        say(f"Created {made.name}. Next: import data in the Data tab.")
        return [*both(made.id, archived), *_form(made)]

    @told
    def on_sample(archived: bool) -> list[object]:
        made = create_sample_project(studio.db)
        say(f"Created {made.name} with its pairs. Next: label a few, or freeze a snapshot in Datasets.")
        return [*both(made.id, archived), *_form(made)]

    @told
    def on_open(chosen: str | None, archived: bool, event: gr.EventData) -> list[object]:
        found = get_project(studio.db, opened(event))
        current = chosen if found.archived_at else found.id
        return [*both(current, archived), *_form(found)]

    @told
    def on_save(editing: str, name: str, system_prompt: str, guidelines: str, archived: bool) -> list[object]:
        saved = update_project(studio.db, editing, name, system_prompt, guidelines)
        say("Saved.")
        return [*both(saved.id, archived), *_form(saved)]

    @told
    def on_archive(editing: str, chosen: str | None, archived: bool) -> list[object]:
        found = get_project(studio.db, editing)
        kept = archive_project(studio.db, editing, archived=found.archived_at is None)
        say(f"{kept.name} is {'archived: nothing of it is deleted' if kept.archived_at else 'back'}.")
        return [*both(chosen, archived), *_form(None if kept.archived_at else kept)]

    parts.create.click(on_create, [*parts.fields, parts.archived], shown, **QUICK)
    parts.sample.click(on_sample, parts.archived, shown, **QUICK)
    parts.cards.open(on_open, [project, parts.archived], shown, **QUICK)
    texts = [parts.name, parts.system_prompt, parts.guidelines]
    parts.save.click(on_save, [parts.editing, *texts, parts.archived], shown, **QUICK)
    parts.archive.click(on_archive, [parts.editing, project, parts.archived], shown, **QUICK)
    parts.new.click(lambda: _form(None), None, parts.form, **QUICK)
    listed = lambda chosen, archived: cards_html(studio, chosen, archived)  # noqa: E731
    gr.on(
        [tab.select, project.change, parts.archived.change],
        listed,
        [project, parts.archived],
        parts.cards,
        **REFRESH,
    )


def cards_html(studio: Studio, chosen: str | None, archived: bool) -> str:
    """The list of projects with where their examples stand."""
    found = list_projects(studio.db, archived)
    if not found:
        return empty(
            "No project yet",
            "Create one, or start with the sample: 205 support answers in one house style, ready to train on.",
        )
    return f'<div class="list">{"".join(_card(studio, project, project.id == chosen) for project in found)}</div>'


def _card(studio: Studio, project: Project, current: bool) -> str:
    counts = count_examples(studio.db, project.id)
    state = chip("archived") if project.archived_at else chip("open", "busy") if current else ""
    return (
        f'<button type="button" class="item {"current" if current else ""}" data-id="{text(project.id)}">'
        f'<div class="head"><b>{text(project.name)}</b>{state}</div>'
        f'<div class="line">{text(TASKS[project.task])} · {count(counts.labeled, "labeled pair")} · '
        f"{counts.todo:,} to label</div></button>"
    )


def _heading(project: Project | None) -> str:
    if project is None:
        return "<h2 class='title'>New project</h2><p class='quiet'>A task, the people who label it, and its runs.</p>"
    return f"<h2 class='title'>{text(project.name)}</h2><p class='quiet'>Rename it, or change what it is told.</p>"


def _form(project: Project | None) -> list[object]:
    """Values of `_Parts.form` for a new project (None) or an existing one."""
    if project is None:
        buttons = [gr.Button(visible=True), gr.Button(visible=False), gr.Button(visible=False)]
        return ["", _heading(None), "", gr.Dropdown(value="chat", interactive=True), "", "", *buttons]
    archive = gr.Button("Bring back" if project.archived_at else "Archive", visible=True)
    return [
        project.id,
        _heading(project),
        project.name,
        gr.Dropdown(value=project.task, interactive=False),
        project.system_prompt,
        project.guidelines,
        gr.Button(visible=False),
        gr.Button(visible=True),
        archive,
    ]
