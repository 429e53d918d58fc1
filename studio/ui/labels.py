"""The label set of a project: chips with their keys; add, order, colour; rename, merge and delete after a preview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from storage.records import Label, Project
from studio.context import Studio
from studio.data.projects import get_project
from studio.errors import BadInput, Conflict
from studio.labeling.labels import Change, LabelChange, add_labels, apply_change, arrange_labels, key_of, preview_change
from studio.language import mark, tr, trn
from studio.ui.components.html import empty, notice, text
from studio.ui.errors import say, told
from studio.ui.frame import QUICK
from studio.ui.task_form import CLASSIFICATIONS
from studio.ui.who import current_user

_KINDS = [("Rename", "rename"), ("Merge", "merge"), ("Delete", "delete"), ("Colour", "colour"), ("Move", "move")]
_CHANGES = ("rename", "merge", "delete")
_CONFIRM = {
    "rename": mark("Rename “{label}”"),
    "merge": mark("Merge “{label}”"),
    "delete": mark("Delete “{label}”"),
}


@dataclass(frozen=True)
class LabelParts:
    """Controls of the editor. `pending`: the change that was previewed, or None."""

    panel: gr.Column
    chips: gr.HTML
    new: gr.Textbox
    add: gr.Button
    kind: gr.Radio
    label: gr.Dropdown
    name: gr.Textbox
    into: gr.Dropdown
    colour: gr.ColorPicker
    place: gr.Number
    look: gr.Button
    said: gr.HTML
    confirm: gr.Button
    pending: gr.State

    @property
    def shown(self) -> list[Any]:
        """What changes with the project: outputs of `label_updates`."""
        return [self.panel, self.chips, self.label, self.into, self.said, self.confirm, self.pending, self.new]


def label_editor() -> LabelParts:
    """Lay the editor out; it is shown for classifications that exist."""
    pending = gr.State(None)
    with gr.Column(visible=False, elem_id="labels-panel") as panel:
        chips = gr.HTML()
        with gr.Accordion("Add labels", open=False):
            new = gr.Textbox(label="New labels (one a line)", lines=3, placeholder="Paste as many as you like.")
            add = gr.Button("Add", scale=0, min_width=100)
        with gr.Accordion("Change a label", open=False):
            kind = gr.Radio(label="What to do", choices=_KINDS, value="rename")
            label = gr.Dropdown(label="Label", choices=[], interactive=True)
            name = gr.Textbox(label="New name", max_lines=1)
            into = gr.Dropdown(label="Merge into", choices=[], interactive=True, visible=False)
            colour = gr.ColorPicker(label="New colour", value="#0e7f77", visible=False)
            place = gr.Number(label="Place in the list", value=1, minimum=1, precision=0, visible=False)
            look = gr.Button("Preview", scale=0, min_width=120)
            said = gr.HTML()
            confirm = gr.Button("Change the labels", variant="stop", visible=False)
    return LabelParts(panel, chips, new, add, kind, label, name, into, colour, place, look, said, confirm, pending)


def wire_labels(studio: Studio, parts: LabelParts, editing: gr.State) -> None:
    """`editing` holds the id of the project whose labels these are."""

    @told
    def on_add(project_id: str, lines: str) -> list[Any]:
        added = add_labels(studio.db, current_user(), project_id, lines.splitlines())
        say(trn("Added {count:,} label.", "Added {count:,} labels.", added))
        return label_updates(get_project(studio.db, project_id))

    @told
    def on_look(project_id: str, kind: str, label: str, name: str, into: str, colour: str, place: float) -> list[Any]:
        if kind not in _CHANGES:
            labels = get_project(studio.db, project_id).settings.labels
            arrange_labels(studio.db, current_user(), project_id, arranged(labels, kind, label, colour, place))
            return label_updates(get_project(studio.db, project_id), label)
        to = {"rename": name, "merge": into or ""}.get(kind, "")
        return [
            *[gr.skip()] * 4,
            *_asked(preview_change(studio.db, project_id, Change(kind, label or "", to))),
            gr.skip(),
        ]

    @told
    def on_confirm(project_id: str, pending: LabelChange | None) -> list[Any]:
        if pending is None:
            raise BadInput("Look at the preview first.")
        try:
            apply_change(studio.db, current_user(), project_id, pending.change, pending.affected)
        except Conflict as conflict:
            if not isinstance(conflict.newest, LabelChange):
                raise
            return [*[gr.skip()] * 4, *_asked(conflict.newest, tr(str(conflict))), gr.skip()]
        say(tr("Changed. The old answers are in each example's history."))
        return label_updates(get_project(studio.db, project_id))

    fields: list[Any] = [parts.kind, parts.label, parts.name, parts.into, parts.colour, parts.place]
    parts.add.click(on_add, [editing, parts.new], parts.shown, **QUICK)
    parts.look.click(on_look, [editing, *fields], parts.shown, **QUICK)
    parts.confirm.click(on_confirm, [editing, parts.pending], parts.shown, api_visibility="private")
    choices = [parts.name, parts.into, parts.colour, parts.place, parts.look, parts.said, parts.confirm, parts.pending]
    parts.kind.change(_fields_of, parts.kind, choices, **QUICK)
    for field in fields[1:]:
        field.input(lambda: ["", gr.update(visible=False), None], None, choices[-3:], **QUICK)


def label_updates(project: Project | None, chosen: str | None = None) -> list[Any]:
    """Updates of `LabelParts.shown` for a project (None: a new one)."""
    labels = project.settings.labels if project else ()
    names = [label.name for label in labels]
    menu = gr.update(choices=names, value=chosen if chosen in names else (names[0] if names else None))
    other = gr.update(choices=names, value=None)
    visible = project is not None and project.task in CLASSIFICATIONS
    return [gr.update(visible=visible), chips_html(labels), menu, other, "", gr.update(visible=False), None, ""]


def chips_html(labels: Sequence[Label]) -> str:
    """The label set, each with its colour and key."""
    if not labels:
        return empty(tr("No labels yet"), tr("Add some below, or import a file whose answers are labels."))
    chips = "".join(
        f'<li class="labelled"><span class="swatch" style="background:{text(label.colour)}"></span>'
        f"<span>{text(label.name)}</span>{_key(at)}</li>"
        for at, label in enumerate(labels)
    )
    if len(labels) <= 10:
        more = tr("Imports add the labels that they bring.")
    else:
        more = tr("Imports add the labels that they bring. The first ten have keys; the others are found by typing.")
    number = trn("{count:,} label", "{count:,} labels", len(labels))
    return f"<h3>{number}</h3><ul class='labels'>{chips}</ul><p class='quiet'>{more}</p>"


def arranged(labels: Sequence[Label], kind: str, name: str, colour: str, place: float) -> list[Label]:
    """The set with one label coloured or moved to a place (from 1). Raises BadInput."""
    found = next((label for label in labels if label.name == name), None)
    if found is None:
        raise BadInput("Choose a label that is there.")
    if kind == "colour":
        return [replace(label, colour=_hex(colour)) if label == found else label for label in labels]
    others = [label for label in labels if label != found]
    at = min(max(int(place or 1), 1), len(labels)) - 1
    return [*others[:at], found, *others[at:]]


def _asked(change: LabelChange, sentence: str = "") -> list[Any]:
    kind = "warn" if change.change.kind == "delete" or sentence else "busy"
    button = gr.update(value=tr(_CONFIRM[change.change.kind], label=change.change.label[:40]), visible=True)
    return [notice(kind, sentence or change.sentence), button, change]


def _fields_of(kind: str) -> list[Any]:
    shown = [gr.update(visible=kind == name) for name in ("rename", "merge", "colour", "move")]
    look = {"colour": tr("Set the colour"), "move": tr("Move it")}.get(kind, tr("Preview"))
    return [*shown, gr.update(value=look), "", gr.update(visible=False), None]


def _key(at: int) -> str:
    return f'<span class="key">{key_of(at)}</span>' if key_of(at) else ""


def _hex(colour: str) -> str:
    """#rrggbb of what the colour picker gives, which may be rgba(r, g, b, a)."""
    if not colour.startswith("rgb"):
        return colour
    parts = colour[colour.find("(") + 1 : colour.find(")")].split(",")[:3]
    try:
        return "#" + "".join(f"{min(255, max(0, round(float(part)))):02x}" for part in parts)
    except ValueError:
        raise BadInput("A colour is written #rrggbb.") from None
