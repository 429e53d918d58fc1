"""Projects: create, edit, archive; task, texts, labels and how they are labeled; the sample project.

Nothing that was typed is lost: what is unsaved when another card is opened is kept for as long as the page is open, and
of two people who save one project the second is told what the first has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from storage.records import Project
from studio.context import Studio
from studio.data.browse import count_examples
from studio.data.projects import TASKS, get_project, list_projects
from studio.data.sample import create_sample_project
from studio.errors import Conflict
from studio.labeling.setup import WORDS, ProjectForm, archive, differences, make_project, save_project
from studio.language import mark, tr, trn
from studio.ui.components.html import cards as make_cards
from studio.ui.components.html import chip, empty, notice, opened, text
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, REFRESH, Frame
from studio.ui.labels import LabelParts, label_editor, label_updates, wire_labels
from studio.ui.task_form import (
    CLASSIFICATIONS,
    TaskParts,
    labeling_controls,
    shown_by,
    task_controls,
    to_form,
    to_updates,
)
from studio.ui.who import current_user

_TASK_CHOICES = [(words, key) for key, words in TASKS.items()]
_FIRST_TASK = "instruction"
_SAMPLE = mark("Created {project} with its pairs. Next: label a few, or freeze a snapshot in Datasets.")
_ARCHIVED = mark("{project} is archived: nothing of it is deleted.")
_BACK = mark("{project} is back.")


@dataclass(frozen=True)
class Origin:
    """What the form on the screen began from: the project ("" for a new one), its version, and what was in it."""

    project_id: str = ""
    version: str = ""
    form: ProjectForm = field(default_factory=ProjectForm)


@dataclass(frozen=True)
class _Parts:
    cards: gr.HTML
    archived: gr.Checkbox
    editing: gr.State
    origin: gr.State
    kept: gr.State
    heading: gr.HTML
    note: gr.HTML
    name: gr.Textbox
    task: gr.Dropdown
    system_prompt: gr.Textbox
    guidelines: gr.Textbox
    settings: TaskParts
    create: gr.Button
    save: gr.Button
    stored: gr.Button
    archive: gr.Button
    new: gr.Button
    sample: gr.Button
    labels: LabelParts

    @property
    def names(self) -> list[str]:
        return list(self.settings.fields)

    @property
    def typed(self) -> list[Any]:
        """Inputs that `to_form` makes a form of."""
        return [self.name, self.system_prompt, self.guidelines, *self.settings.controls]

    @property
    def form(self) -> list[Any]:
        """Outputs of `form_updates`."""
        buttons = [self.create, self.save, self.stored, self.archive]
        head = [self.editing, self.origin, self.heading, self.note, self.task, self.settings.labels]
        return [*head, *self.typed, *buttons, *self.labels.shown]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    _wire_form(studio, frame, parts)
    _wire_cards(studio, frame, tab, parts)
    wire_labels(studio, parts.labels, parts.editing)


def _layout() -> _Parts:
    editing, origin, kept = gr.State(""), gr.State(Origin()), gr.State({})
    with gr.Row(elem_id="projects-columns"):
        with gr.Column(scale=6, min_width=300):
            with gr.Row():
                new = gr.Button("New project", variant="secondary", scale=0, min_width=130)
                sample = gr.Button("Create sample project", variant="secondary", scale=0, min_width=190)
            cards = make_cards()
            archived = gr.Checkbox(label="Show archived", value=False, container=False)
        with gr.Column(scale=5, min_width=300):
            with gr.Column(elem_id="projects-panel"):
                heading, note = gr.HTML(_heading(None)), gr.HTML()
                name = gr.Textbox(label="Name", placeholder="Acme support", max_lines=1)
                task = gr.Dropdown(label="Task", choices=_TASK_CHOICES, value=_FIRST_TASK)
                settings = task_controls()
                system_prompt = gr.Textbox(
                    label="System prompt", lines=3, placeholder="What the model is told before every conversation."
                )
                guidelines = gr.Textbox(
                    label="Guidelines (Markdown)",
                    lines=7,
                    placeholder="What a good answer looks like. Shown while labeling.",
                )
                settings.fields.update(labeling_controls())
                with gr.Row():
                    create = gr.Button("Create project", variant="primary")
                    save = gr.Button("Save changes", variant="primary", visible=False)
                    stored = gr.Button("Take the stored one", visible=False, scale=0, min_width=170)
                    put_away = gr.Button("Archive", visible=False, scale=0, min_width=120)
            labels = label_editor()
    heads = (cards, archived, editing, origin, kept, heading, note, name, task, system_prompt, guidelines, settings)
    return _Parts(*heads, create, save, stored, put_away, new, sample, labels)


def _wire_form(studio: Studio, frame: Frame, parts: _Parts) -> None:
    """Create, save, and take what is stored; `both` is the project menu and the cards."""
    shown = [frame.project, parts.cards, *parts.form, parts.kept]
    both = lambda chosen, archived: [frame.choices(studio, chosen), cards_html(studio, chosen, archived)]  # noqa: E731

    def form_of(values: tuple[Any, ...]) -> ProjectForm:
        return to_form(values[:3], parts.names, values[3:])

    @told
    def on_create(kept: dict[str, ProjectForm], task: str, labels: str, archived: bool, *values: Any) -> list[Any]:
        wanted = labels.splitlines() if task in CLASSIFICATIONS else []
        made = make_project(studio.db, current_user(), task, form_of(values), wanted)
        say(tr("Created {project}. Next: import data in the Data tab.", project=made.name))
        return [*both(made.id, archived), *form_updates(made, parts.names), without(kept, Origin())]

    @told
    def on_save(origin: Origin, kept: dict[str, ProjectForm], archived: bool, *values: Any) -> list[Any]:
        try:
            saved = save_project(studio.db, current_user(), origin.project_id, form_of(values), origin.version)
        except Conflict as conflict:
            return [gr.skip(), gr.skip(), *_conflict_updates(parts, origin, conflict), gr.skip()]
        say(_saved(saved.moved))
        return [*both(saved.project.id, archived), *form_updates(saved.project, parts.names), without(kept, origin)]

    @told
    def on_stored(origin: Origin, kept: dict[str, ProjectForm], archived: bool) -> list[Any]:
        found = get_project(studio.db, origin.project_id) if origin.project_id else None
        return [*both(origin.project_id, archived), *form_updates(found, parts.names), without(kept, origin)]

    made = [parts.kept, parts.task, parts.settings.labels, parts.archived, *parts.typed]
    parts.create.click(on_create, made, shown, **QUICK)
    known = [parts.origin, parts.kept, parts.archived]
    parts.save.click(on_save, [*known, *parts.typed], shown, **QUICK)
    parts.stored.click(on_stored, known, shown, **QUICK)
    parts.task.change(
        lambda task, origin: [
            gr.update(visible=task in CLASSIFICATIONS and not origin.project_id),
            *shown_by(task, parts.names)[: len(parts.names) - 5],
        ],
        [parts.task, parts.origin],
        [parts.settings.labels, *parts.settings.controls[: len(parts.names) - 5]],
        **QUICK,
    )


def _wire_cards(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    """Open another project, or a new one; what is typed and not saved is kept first."""
    project = frame.project
    shown = [project, parts.cards, *parts.form, parts.kept]
    both = lambda chosen, archived: [frame.choices(studio, chosen), cards_html(studio, chosen, archived)]  # noqa: E731

    def keep(origin: Origin, kept: dict[str, ProjectForm], values: tuple[Any, ...]) -> dict[str, ProjectForm]:
        typed = to_form(values[:3], parts.names, values[3:])
        changed = differences(typed, origin.form)
        return {**kept, origin.project_id: typed} if changed else without(kept, origin)

    @told
    def on_open(
        event: gr.EventData, chosen: str, archived: bool, origin: Origin, kept: dict[str, ProjectForm], *values: Any
    ) -> list[Any]:
        kept = keep(origin, kept, values)
        found = get_project(studio.db, opened(event))
        current = chosen if found.archived_at else found.id
        return [*both(current, archived), *form_updates(found, parts.names, kept.get(found.id)), kept]

    @told
    def on_sample(archived: bool, origin: Origin, kept: dict[str, ProjectForm], *values: Any) -> list[Any]:
        kept = keep(origin, kept, values)
        made = create_sample_project(studio.db)
        say(tr(_SAMPLE, project=made.name))
        return [*both(made.id, archived), *form_updates(made, parts.names), kept]

    @told
    def on_archive(origin: Origin, chosen: str | None, archived: bool) -> list[Any]:
        put_away = get_project(studio.db, origin.project_id).archived_at is None
        kept = archive(studio.db, current_user(), origin.project_id, put_away)
        say(tr(_ARCHIVED if kept.archived_at else _BACK, project=kept.name))
        shown = None if kept.archived_at else kept
        return [*both(chosen, archived), *form_updates(shown, parts.names), gr.skip()]

    def on_new(origin: Origin, kept: dict[str, ProjectForm], *values: Any) -> list[Any]:
        kept = keep(origin, kept, values)
        return [*form_updates(None, parts.names, kept.get("")), kept]

    known = [parts.origin, parts.kept, *parts.typed]
    parts.sample.click(on_sample, [parts.archived, *known], shown, **QUICK)
    parts.cards.open(on_open, [project, parts.archived, *known], shown, **QUICK)
    parts.archive.click(on_archive, [parts.origin, project, parts.archived], shown, **QUICK)
    parts.new.click(on_new, known, shown[2:], **QUICK)
    listed = lambda chosen, archived: cards_html(studio, chosen, archived)  # noqa: E731
    changes = [*frame.looks_at(tab), parts.archived.change]
    gr.on(changes, listed, [project, parts.archived], parts.cards, **REFRESH)


def _saved(moved: int) -> str:
    if not moved:
        return tr("Saved.")
    return trn(
        "Saved. {count:,} example changed places for another number of annotators.",
        "Saved. {count:,} examples changed places for another number of annotators.",
        moved,
    )


def form_updates(project: Project | None, names: list[str], unsaved: ProjectForm | None = None) -> list[Any]:
    """Updates of `_Parts.form` for a project (None: a new one), with what was typed before in it and not saved."""
    stored = ProjectForm.of(project) if project else ProjectForm()
    origin = Origin(project.id, stored.version, stored) if project else Origin()
    form = unsaved or stored
    note = notice("warn", tr("This is what you had typed and not saved.")) if unsaved else ""
    task = gr.update(value=project.task if project else _FIRST_TASK, interactive=project is None)
    settings = to_updates(form, names, project.task if project else _FIRST_TASK)
    away = tr("Bring back") if project and project.archived_at else tr("Archive")
    put_away = gr.Button(away, visible=project is not None)
    buttons = [gr.Button(visible=project is None), gr.Button(visible=project is not None)]
    return [
        *(origin.project_id, origin, _heading(project), note, task, gr.update(value="", visible=False)),
        *(form.name, form.system_prompt, form.guidelines, *settings),
        *(*buttons, gr.Button(visible=unsaved is not None), put_away, *label_updates(project)),
    ]


def _conflict_updates(parts: _Parts, origin: Origin, conflict: Conflict) -> list[Any]:
    """Say what differs and leave the form as it is; another save then begins from what is stored now."""
    newest = conflict.newest
    if not isinstance(newest, ProjectForm):
        raise conflict
    kept: dict[Any, Any] = {parts.origin: Origin(origin.project_id, newest.version, origin.form)}
    details = [f"{tr(WORDS[name])}: {getattr(newest, name)}" for name in differences(newest, origin.form)]
    kept |= {parts.note: notice("warn", tr(str(conflict)), details), parts.stored: gr.Button(visible=True)}
    return [kept.get(part, gr.skip()) for part in parts.form]


def without(kept: dict[str, ProjectForm], origin: Origin) -> dict[str, ProjectForm]:
    """What is kept of other projects."""
    return {project_id: form for project_id, form in kept.items() if project_id != origin.project_id}


def cards_html(studio: Studio, chosen: str | None, archived: bool) -> str:
    """The list of projects with where their examples stand."""
    found = list_projects(studio.db, archived)
    if not found:
        return empty(
            tr("No project yet"),
            tr("Create one, or start with the sample: 205 support answers in one house style, ready to train on."),
        )
    return f'<div class="list">{"".join(_card(studio, project, project.id == chosen) for project in found)}</div>'


def _card(studio: Studio, project: Project, current: bool) -> str:
    counts = count_examples(studio.db, project.id)
    state = chip(tr("archived")) if project.archived_at else chip(tr("open"), "busy") if current else ""
    pairs = trn("{count:,} labeled pair", "{count:,} labeled pairs", counts.labeled)
    return (
        f'<button type="button" class="item {"current" if current else ""}" data-id="{text(project.id)}">'
        f'<div class="head"><b>{text(project.name)}</b>{state}</div>'
        f'<div class="line">{text(tr(TASKS[project.task]))} · {pairs} · '
        f"{tr('{count:,} to label', count=counts.todo)}</div></button>"
    )


def _heading(project: Project | None) -> str:
    if project is None:
        what = tr("A task, the people who label it, and its runs.")
        return f"<h2 class='title'>{tr('New project')}</h2><p class='quiet'>{what}</p>"
    return f"<h2 class='title'>{text(project.name)}</h2><p class='quiet'>{text(tr(TASKS[project.task]))}</p>"
