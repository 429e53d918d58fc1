"""Deploy: an exported model to the Hugging Face Hub, when somebody asks and confirms. Views: deploy_export_views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gradio as gr

from storage.records import User
from studio.context import Studio
from studio.contract.export import ExportReport
from studio.data.hub_push import Destination, check_destination
from studio.data.model_push import PushedModel, push_model
from studio.errors import BadInput
from studio.jobs.exporting_model import Exported
from studio.language import mark
from studio.ui.components.deploy_copy import copies
from studio.ui.deploy_export_views import HUB, push_question, pushed_html
from studio.ui.errors import told
from studio.ui.frame import QUICK, Frame
from studio.ui.who import current_user
from studio.ui.work import Work

Look = Callable[..., Exported]


@dataclass(frozen=True)
class HubParts:
    """The controls."""

    place: gr.Accordion
    repo: gr.Textbox
    private: gr.Checkbox
    token: gr.Textbox
    ask: gr.Button
    question: gr.HTML
    confirm: gr.Row
    send: gr.Button
    back: gr.Button
    sent: gr.HTML

    @property
    def fresh(self) -> list[gr.blocks.Block]:
        """What is as new once another export is looked at."""
        return [self.place, self.question, self.confirm, self.token, self.sent]


def hub_layout() -> HubParts:
    """Lay the block out, unseen until there is an export."""
    with gr.Accordion("Push to the Hub", open=False, visible=False, elem_id="deploy-hub") as place:
        gr.HTML(HUB)
        with gr.Row(elem_id="deploy-hub-row"):
            repo = gr.Textbox(label="Model on the Hub", placeholder="OWNER/NAME", max_lines=1, min_width=170)
            token = gr.Textbox(label="Token (optional)", type="password", max_lines=1, min_width=150)
        private = gr.Checkbox(label="Private: only you and your organisation see it", value=True)
        ask, question = gr.Button("Push …", scale=0, min_width=130), gr.HTML()
        with gr.Row(visible=False) as confirm:
            send = gr.Button("Push now", variant="primary", scale=0, min_width=130)
            back = gr.Button("Do not push", scale=0, min_width=130)
        sent = copies()
    return HubParts(place, repo, private, token, ask, question, confirm, send, back, sent)


def hub_fresh(there: bool) -> list[object]:
    """Values of `HubParts.fresh`. `there`: whether there is an export to send."""
    return [gr.Accordion(visible=there), "", gr.Row(visible=False), "", ""]


def wire_hub(studio: Studio, frame: Frame, asked: list[gr.components.Component], parts: HubParts, look: Look) -> None:
    """Wire the block. `asked` names an export, and `look` finds it by the project and those."""

    @told
    def on_ask(chosen: str | None, run: str | None, wanted: str, repo: str, private: bool) -> list[object]:
        report = ready(look(chosen, run, wanted))
        check_destination(Destination((repo or "").strip()), "model")
        return [push_question(report, repo.strip(), private), gr.Row(visible=True), ""]

    @told
    def begun(chosen: str | None, run: str | None, wanted: str, where: Destination) -> Work[PushedModel]:
        user, report = current_user(), ready(look(chosen, run, wanted))
        return Work(lambda own: _push(studio, user, chosen or "", report, where, own), mark("The push failed"))

    def on_send(
        chosen: str | None, run: str | None, wanted: str, repo: str, private: bool, token: str
    ) -> Iterator[list[object]]:
        work = begun(chosen, run, wanted, Destination((repo or "").strip(), bool(private), token or ""))
        yield ["", gr.Row(visible=False), "", work.html(pushed_html)]  # the token leaves the page at once
        while work.running(0.3):
            yield [gr.skip(), gr.skip(), gr.skip(), work.html(pushed_html)]
        yield [gr.skip(), gr.skip(), gr.skip(), work.html(pushed_html)]

    named = [frame.project, *asked, parts.repo, parts.private]
    parts.ask.click(on_ask, named, [parts.question, parts.confirm, parts.sent], api_visibility="private")
    shown = [parts.question, parts.confirm, parts.token, parts.sent]
    parts.send.click(on_send, [*named, parts.token], shown, api_visibility="private", show_progress="hidden")
    parts.back.click(lambda: ["", gr.Row(visible=False)], None, [parts.question, parts.confirm], **QUICK)


def ready(found: Exported) -> ExportReport:
    """The report of an export that has ended well. Raises BadInput."""
    if found.report is None:
        raise BadInput("Export the model first: then it can be sent.")
    return found.report


def _push(
    studio: Studio, user: User, project_id: str, report: ExportReport, where: Destination, work: Work[PushedModel]
) -> PushedModel:
    return push_model(studio.db, studio.workspace, user, report, where, project_id, work.note)
