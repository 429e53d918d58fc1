"""Deploy, third part: API keys of the workspace's servers: made, shown once, revoked. Views: deploy_views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import gradio as gr

from studio.context import Studio
from studio.contract.serving import BASE_NAME, Key
from studio.data.auditing import record
from studio.deploy.choices import servable_runs, servers_of
from studio.errors import BadInput, BadSpec, NotFound
from studio.jobs.serving_keys import add_key, list_keys, revoke_key
from studio.language import tr
from studio.ui.components.deploy_copy import copies
from studio.ui.components.html import cards, notice
from studio.ui.deploy_production import standing_of
from studio.ui.deploy_views import keys_html, revoke_question, token_html
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, Frame
from studio.ui.who import current_user


@dataclass(frozen=True)
class KeyParts:
    """The controls. `chosen` holds the id of the key that the open question is about, '' while it is closed."""

    cards: gr.HTML
    name: gr.Textbox
    models: gr.Dropdown
    days: gr.Number
    add: gr.Button
    token: gr.HTML
    sure: gr.Column
    question: gr.HTML
    yes: gr.Button
    no: gr.Button
    chosen: gr.State

    @property
    def live(self) -> list[gr.blocks.Block]:
        """What a change of the keys changes."""
        return [self.cards, self.models, self.token, self.sure, self.question, self.chosen]


def keys_layout() -> KeyParts:
    """Lay the part out."""
    with gr.Column(elem_id="deploy-keys-panel", min_width=300):
        gr.HTML(
            "<h2 class='title'>API keys</h2><p class='quiet'>Who may ask; good for every server of this studio.</p>"
        )
        shown = cards()
        with gr.Column(visible=False, elem_id="deploy-key-sure") as sure:
            question = gr.HTML()
            with gr.Row():
                yes, no = gr.Button("Revoke this key", variant="stop"), gr.Button("Keep it")
        token = copies()
        with gr.Row(elem_id="deploy-key-row"):
            name = gr.Textbox(label="Key for", placeholder="the web shop", max_lines=1, min_width=150, scale=3)
            days = gr.Number(label="Days (0: for ever)", value=0, minimum=0, min_width=130, scale=2)
        models = gr.Dropdown(
            label="Models it may ask (none: all)", choices=[], multiselect=True, allow_custom_value=True
        )
        add = gr.Button("Make key", variant="primary", scale=0, min_width=130)
    return KeyParts(shown, name, models, days, add, token, sure, question, yes, no, gr.State(""))


def wire_keys(studio: Studio, frame: Frame, parts: KeyParts) -> None:
    """Wire the part."""

    @told
    def on_add(chosen: str | None, name: str, models: list[str] | None, days: float | None) -> list[object]:
        token, key = make(studio, chosen or "", name, models or [], days)
        values = keys_shown(studio, chosen)
        return ["", 0, *values[:2], token_html(token, key.name), *values[3:]]

    @told
    def on_open(event: gr.EventData) -> list[object]:
        key = key_of(studio, str(event._data["id"]))
        return [gr.Column(visible=True), revoke_question(key), key.id]

    @told
    def on_yes(chosen: str | None, key_id: str) -> list[object]:
        key = revoke_key(studio.workspace, key_of(studio, key_id).id)
        record(studio.db, current_user().name, "key revoke", chosen or "", key.name, key=key.id)
        say(tr("The key of {name} opens nothing any more.", name=key.name))
        return keys_shown(studio, chosen)

    given = [frame.project, parts.name, parts.models, parts.days]
    parts.add.click(on_add, given, [parts.name, parts.days, *parts.live], **QUICK)
    asked = [parts.sure, parts.question, parts.chosen]
    parts.cards.open(on_open, None, asked, **QUICK)
    parts.yes.click(on_yes, [frame.project, parts.chosen], parts.live, **QUICK)
    parts.no.click(lambda: [gr.Column(visible=False), "", ""], None, asked, **QUICK)


def keys_shown(studio: Studio, project_id: str | None) -> list[object]:
    """Values of `KeyParts.live`: no question open, no token shown."""
    try:
        shown = keys_html(list_keys(studio.workspace), datetime.now(UTC))
    except BadSpec as error:
        shown = notice("bad", tr(str(error)))
    menu = gr.Dropdown(choices=names_to_ask(studio, project_id), value=[])
    return [shown, menu, "", gr.Column(visible=False), "", ""]


def make(studio: Studio, project_id: str, name: str, models: Sequence[str], days: float | None) -> tuple[str, Key]:
    """A new key and its record. Raises BadInput, DiskFull."""
    if not (name or "").strip():
        raise BadInput("Say whom or what the key is for, so that you know later which one to revoke.")
    token, key = add_key(studio.workspace, name, [str(one) for one in models], days or None)
    record(studio.db, current_user().name, "key add", project_id, key.name, key=key.id)
    return token, key


def key_of(studio: Studio, key_id: str) -> Key:
    """A key by its id and nothing else: two can have one name. Raises NotFound."""
    for key in list_keys(studio.workspace):
        if key.id == key_id:
            return key
    raise NotFound("This key is not there any more: look again.")


def names_to_ask(studio: Studio, project_id: str | None) -> list[str]:
    """The names that a key can be limited to, as far as they are known."""
    if not project_id:
        return []
    known = [name for server, _ in servers_of(studio.db, studio.workspace, project_id) for name in server.names]
    runs = [f"run-{run.number}" for run in servable_runs(studio.db, studio.workspace, project_id)]
    return list(dict.fromkeys([standing_of(studio, project_id).name, *known, *runs, BASE_NAME]))
