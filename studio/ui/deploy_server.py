"""Deploy, second part: the server of the project's models: start, how it stands, stop. Views: deploy_views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gradio as gr

from studio.context import Studio
from studio.contract.serving import ServeSpec
from studio.data.auditing import record
from studio.data.projects import get_project
from studio.deploy.choices import servable_runs, serve_runs, servers_of
from studio.errors import BadInput, BadSpec, NotFound
from studio.jobs.serving import Server, stop_serving
from studio.jobs.serving_keys import list_keys
from studio.language import tr
from studio.ui.components.deploy_copy import copies
from studio.ui.components.html import cards, notice
from studio.ui.deploy_production import standing_of
from studio.ui.deploy_views import (
    TEXTS,
    elsewhere_html,
    run_label,
    servers_html,
    settled,
    snippet_html,
    stop_question,
)
from studio.ui.errors import say
from studio.ui.who import current_user

DEFAULT_PORT = 8000


@dataclass(frozen=True)
class ServerParts:
    """The controls. `chosen` holds the folder of the server that the open question is about, '' while it is closed."""

    card: gr.HTML
    runs: gr.Dropdown
    port: gr.Number
    texts: gr.Checkbox
    start: gr.Button
    snippet: gr.HTML
    sure: gr.Column
    question: gr.HTML
    yes: gr.Button
    no: gr.Button
    chosen: gr.State
    timer: gr.Timer

    @property
    def live(self) -> list[gr.blocks.Block]:
        """What changes while a server starts, serves and ends."""
        return [self.card, self.snippet, self.start, self.port, self.texts, self.timer]

    @property
    def asked(self) -> list[gr.blocks.Block]:
        """The question before a stop."""
        return [self.sure, self.question, self.chosen]


def server_layout() -> ServerParts:
    """Lay the part out."""
    with gr.Column(elem_id="deploy-server-panel", min_width=300):
        gr.HTML("<h2 class='title'>Server</h2><p class='quiet'>An OpenAI-compatible address on this machine.</p>")
        card = cards()
        with gr.Column(visible=False, elem_id="deploy-stop-sure") as sure:
            question = gr.HTML()
            with gr.Row():
                yes, no = gr.Button("Stop the server", variant="stop"), gr.Button("Go on serving")
        with gr.Row():
            runs = gr.Dropdown(label="Runs to serve", choices=[], multiselect=True, min_width=180, scale=4)
            port = gr.Number(
                label="Port (0: any)", value=DEFAULT_PORT, precision=0, minimum=0, maximum=65535,
                min_width=110, scale=1,
            )  # fmt: skip
        texts = gr.Checkbox(label="Keep texts", value=False, info=TEXTS)
        start = gr.Button("Start server", variant="primary", scale=0, min_width=150)
        snippet, chosen, timer = copies(), gr.State(""), gr.Timer(1.0, active=False)
    return ServerParts(card, runs, port, texts, start, snippet, sure, question, yes, no, chosen, timer)


def runs_menu(studio: Studio, project_id: str, current: Sequence[str] | None) -> gr.Dropdown:
    """The runs that can be served; what is chosen stays, else the one in production, else the newest."""
    choices = [(run_label(run), run.id) for run in servable_runs(studio.db, studio.workspace, project_id)]
    known = [run_id for _, run_id in choices]
    kept = [run_id for run_id in current or () if run_id in known]
    standing = standing_of(studio, project_id).run
    first = standing.id if standing and standing.id in known else (known[0] if known else "")
    return gr.Dropdown(choices=choices, value=kept or ([first] if first else []))


def server_shown(studio: Studio, project_id: str) -> list[object]:
    """Values of `ServerParts.live`."""
    standing, servers = standing_of(studio, project_id), servers_of(studio.db, studio.workspace, project_id)
    ready = next((server for server, _ in servers if server.ready), None)
    loading = any(server.standing.alive and not server.ready for server, _ in servers)
    only = ready is not None and not _others(studio, project_id, servers)
    return [
        servers_html(servers, standing.numbers) + elsewhere_html(standing, servers),
        snippet_html(ready, standing.name, _keys(studio)) if ready else "",
        gr.Button(tr("Serve these too") if only else tr("Start server"), interactive=not loading),
        gr.Number(visible=not only),
        gr.Checkbox(visible=not only),
        gr.Timer(active=not settled(standing, servers)),
    ]


def start(studio: Studio, project_id: str, runs: Sequence[str] | None, port: float | None, texts: bool) -> None:
    """Start a server, or have one at work take more runs up. Raises BadInput, BadSpec, NotFound, DiskFull."""
    if not runs:
        raise BadInput("Choose at least one finished run to serve.")
    asked = {"port": int(port or 0), "keep_texts": bool(texts)}
    folder, joined = serve_runs(studio.db, studio.workspace, project_id, list(runs), **asked)
    act = "server change" if joined else "server start"
    record(studio.db, current_user().name, act, project_id, folder.name, runs=len(runs), keep_texts=bool(texts))
    if joined:
        say(tr("The server that is at work takes these runs up, without a restart."))


def ask_stop(studio: Studio, project_id: str, folder: str) -> list[object]:
    """Values of `ServerParts.asked`, open. Raises NotFound."""
    server, spec = server_named(studio, project_id, folder)
    return [gr.Column(visible=True), stop_question(server, spec), folder]


def stop(studio: Studio, project_id: str, folder: str) -> Iterator[list[object]]:
    """Values of card, snippet and `ServerParts.asked` while a server finishes what it answers. Raises NotFound."""
    server, _ = server_named(studio, project_id, folder)
    yield [notice("busy", tr("Stopping: what is being answered is finished first …")), "", *closed()]
    stop_serving(server.folder)
    told = get_project(studio.db, project_id).name
    record(studio.db, current_user().name, "server stop", project_id, folder, project=told)


def closed() -> list[object]:
    """Values of `ServerParts.asked`, shut."""
    return [gr.Column(visible=False), "", ""]


def server_named(studio: Studio, project_id: str, folder: str) -> tuple[Server, ServeSpec]:
    """A server of the project by its folder's name. Raises NotFound for any other and for one that has ended."""
    for server, spec in servers_of(studio.db, studio.workspace, project_id):
        if server.folder.name == folder and server.standing.alive:
            return server, spec
    raise NotFound("This server has ended already: look again.")


def _others(studio: Studio, project_id: str, servers: list[tuple[Server, ServeSpec]]) -> bool:
    """Whether the project has runs of a base model that no server at work holds."""
    held = {server.base_model for server, _ in servers if server.standing.alive}
    return any(run.base_model not in held for run in servable_runs(studio.db, studio.workspace, project_id))


def _keys(studio: Studio) -> bool:
    try:
        return bool(list_keys(studio.workspace))
    except BadSpec:
        return True
