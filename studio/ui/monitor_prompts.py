"""What was asked, a part of the Monitor tab: a look for drift, and requests that are put into the labeling queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.deploy.drifting import DriftReport, look_for_drift, newest_drift
from studio.deploy.label_these import REASONS, Candidate, Labeled, candidates, count_taken, label_these
from studio.deploy.sentences import retold
from studio.deploy.vectors import embed_texts
from studio.errors import BadInput, Cancelled
from studio.jobs import job_folders
from studio.language import mark, tr, trn
from studio.settings import Workspace
from studio.ui.components.monitor_list import monitor_list, taken_ids
from studio.ui.errors import say, told
from studio.ui.frame import QUICK, Frame
from studio.ui.monitor_views import candidates_html, drift_html
from studio.ui.who import current_user
from studio.ui.work import Work

Looks = dict[str, Work[DriftReport]]
"""The looks for drift of this app's life, by project."""

_LABEL = (
    "<h2 class='title'>Label these</h2><p class='quiet'>Requests of the last 30 days that went badly. What you choose "
    "goes into the labeling queue, with the model's answer as a suggestion to correct.</p>"
)
_MOST = 60
"""Requests of each reason that are shown at once."""

_COMPARING = 0.95
"""How far a look is when the vectors are made."""


@dataclass(frozen=True)
class Parts:
    """What is shown of prompts."""

    drift: gr.HTML
    look: gr.Button
    cancel: gr.Button
    listing: gr.HTML

    @property
    def live(self) -> list[Any]:
        """What a look for drift changes."""
        return [self.drift, self.look, self.cancel]


def layout() -> Parts:
    """Lay it out."""
    with gr.Column(elem_id="monitor-drift"):
        gr.HTML("<h2 class='title'>Drift</h2>")
        drift = gr.HTML(elem_id="monitor-drift-found")
        with gr.Row():
            look = gr.Button("Look for drift", scale=0, min_width=150)
            cancel = gr.Button("Cancel", visible=False, scale=0, min_width=110)
    with gr.Column(elem_id="monitor-label"):
        gr.HTML(_LABEL)
        listing = monitor_list()
    return Parts(drift, look, cancel, listing)


def wire(studio: Studio, frame: Frame, parts: Parts, timer: gr.Timer, looks: Looks) -> None:
    """Wire it; a look that begins starts the timer."""

    @told
    def on_look(chosen: str | None) -> list[object]:
        begin_look(studio, looks, _named(chosen))
        return [gr.Timer(active=True), *live_values(studio, looks, chosen)]

    @told
    def on_cancel(chosen: str | None) -> list[object]:
        if work := looks.get(_named(chosen)):
            work.cancel()
        return live_values(studio, looks, chosen)

    @told
    def on_take(chosen: str | None, event: gr.EventData) -> str:
        say(take(studio, _named(chosen), taken_ids(event)))
        return listing_of(studio, _named(chosen))

    parts.look.click(on_look, frame.project, [timer, *parts.live], **QUICK)
    parts.cancel.click(on_cancel, frame.project, parts.live, **QUICK)
    parts.listing.take(on_take, frame.project, parts.listing, **QUICK)


def begin_look(studio: Studio, looks: Looks, project_id: str) -> None:
    """Look for drift on a thread of its own. Raises BadInput while one is at work."""
    if is_looking(looks, project_id):
        raise BadInput("These prompts are being looked at already: wait for it.")

    def look(work: Work[DriftReport]) -> DriftReport:
        def embed(workspace: Workspace, name: str, texts: Sequence[str]) -> Any:
            folder = workspace.embeddings / name

            def noted() -> bool:
                found = job_folders.standing(folder, "", "")
                return not work.note(_COMPARING * found.fraction, retold(found.words, ()) or tr("Starting"))

            made = embed_texts(workspace, name, texts, noted)
            if not work.note(_COMPARING, tr("Comparing the prompts")):
                raise Cancelled("Stopped: the prompts were not looked at.")
            return made

        return look_for_drift(studio.db, studio.workspace, project_id, datetime.now(UTC), embed=embed)

    looks[project_id] = Work(look, mark("The look for drift failed"))


def is_looking(looks: Looks, project_id: str | None) -> bool:
    """Whether a look for drift of a project is at work."""
    work = looks.get(project_id or "")
    return work is not None and work.result is None


def live_values(studio: Studio, looks: Looks, project_id: str | None) -> list[object]:
    """Values of `Parts.live`."""
    busy = is_looking(looks, project_id)
    return [
        drift_of(studio, looks, project_id) if project_id else "",
        gr.Button(interactive=bool(project_id) and not busy),
        gr.Button(visible=busy),
    ]


def drift_of(studio: Studio, looks: Looks, project_id: str) -> str:
    """The look at work, or why it ended without a result, above what the newest one found."""
    work = looks.get(project_id)
    about = work.html(lambda report: "") if work else ""
    return about + drift_html(newest_drift(studio.db, project_id))


def listing_of(studio: Studio, project_id: str | None) -> str:
    """The requests of a project that could be labeled, as HTML."""
    if not project_id:
        return ""
    return candidates_html(found_by_reason(studio, project_id), count_taken(studio.db, project_id))


def found_by_reason(studio: Studio, project_id: str) -> list[Candidate]:
    """The requests that could be labeled, so many of each reason that none hides another; each once."""
    now, found = datetime.now(UTC), dict[str, Candidate]()
    for reason in REASONS:
        for one in candidates(studio.db, project_id, now, [reason], most=_MOST):
            found.setdefault(one.request.id, one)
    return list(found.values())


def take(studio: Studio, project_id: str, ids: Sequence[str]) -> str:
    """Put the chosen requests into the labeling queue; what became of them, in words. Raises BadInput, NotFound."""
    wanted = set(ids)
    if not wanted:
        raise BadInput("Choose requests first: tick the boxes of those to label.")
    chosen = [one for one in found_by_reason(studio, project_id) if one.request.id in wanted]
    done = label_these(studio.db, current_user().name, project_id, chosen)
    return outcome(done, len(wanted))


def outcome(done: Labeled, chosen: int) -> str:
    """What became of some chosen requests, and why some were not taken, in plain words."""
    fresh, same = len(done.examples), done.taken - len(done.examples)
    told_of = [
        trn("{count:,} new example in the labeling queue.", "{count:,} new examples in the labeling queue.", fresh)
    ]
    if same:
        told_of.append(
            trn(
                "{count:,} request asked the same as one that is there already and went to it.",
                "{count:,} requests asked the same as one that is there already and went to it.",
                same,
            )
        )
    if done.left_out:
        left = mark("{count:,} not taken: no prompt of a user, or a text that cannot be stored.")
        told_of.append(tr(left, count=done.left_out))
    gone = chosen - done.taken - done.left_out
    if gone > 0:
        lost = mark("{count:,} not taken: somebody else took them meanwhile, or they are no candidates any more.")
        told_of.append(tr(lost, count=gone))
    return " ".join(told_of)


def _named(chosen: str | None) -> str:
    if not chosen:
        raise BadInput("Choose or create a project first (Projects tab).")
    return chosen
