"""What the controls of the Train tab say, and what is shown for it: the plan, the menus that go with it, findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from storage.records import Run, Snapshot
from studio.context import Studio
from studio.contract.methods import METHODS
from studio.contract.spec import BASE_ENCODER, STARTER
from studio.data.browse import list_snapshots
from studio.data.projects import get_project
from studio.data.sample import QUICK_RUN
from studio.errors import StudioError
from studio.jobs.plan import Plan, plan_run
from studio.jobs.preflighting import Target, look_at
from studio.jobs.runs import get_run, list_runs
from studio.language import mark, tr
from studio.ui.components.html import empty, notice, text
from studio.ui.preflight_views import brief
from studio.ui.train_plan import placeholder, plan_html, why_html
from studio.ui.train_queue import costs_of_plan
from studio.ui.train_settings import CHOSEN, given, placeholders

BASES = [("SmolLM2-135M-Instruct (starter)", STARTER), ("all-MiniLM-L6-v2 (starter-encoder)", BASE_ENCODER)]
AUTO_METHOD = (mark("As suggested"), "")
FRESH = (mark("The base model"), "")
OBJECTIVES = [("DPO", "dpo"), ("IPO", "ipo"), ("KTO", "kto")]
"""What a run on preferences may do; others learn the answers."""


def snapshot_menu(studio: Studio, project_id: str | None, current: str | None) -> gr.Dropdown:
    """The project's snapshots, newest first and chosen, unless another of them already is."""
    found = list_snapshots(studio.db, project_id) if project_id else []
    choices = [(f"v{one.version} · {_rows(one)} · {one.id[:8]}", one.id) for one in found]
    ids = [item.id for item in found]
    return gr.Dropdown(choices=choices, value=current if current in ids else (ids[0] if ids else None))


def findings_of(studio: Studio, project_id: str | None, snapshot: str | None) -> str:
    """What a preflight of the snapshot found, in a line; where there was none, that there could be one."""
    if not project_id or not snapshot:
        return ""
    report = look_at(None, studio.workspace, Target(project_id, snapshot)).report
    nothing = tr("Not checked yet: see the Preflight tab before you train.")
    return brief(report) if report else f"<p class='quiet'>{text(nothing)}</p>"


def start_menu(studio: Studio, project_id: str | None, current: str | None) -> gr.Dropdown:
    """What a run may begin with: the base model, or what a finished run of this project has learnt."""
    done = [run for run in list_runs(studio.db, project_id) if run.state == "done"] if project_id else []
    choices = [(tr(FRESH[0]), FRESH[1]), *((_learnt(run), run.id) for run in done)]
    ids = [choice[1] for choice in choices]
    return gr.Dropdown(choices=choices, value=current if current in ids else "", visible=bool(done))


def quick_settings(studio: Studio, project_id: str | None, current: Sequence[str | None]) -> list[object]:
    """For the controls of `QUICK_RUN`: a short first run for a first visit, unless something is set; taken out again,
    if nothing of it was changed, everywhere else."""
    quick = list(QUICK_RUN.values())
    guided = bool(project_id) and get_project(studio.db, project_id or "").settings.guide
    if guided and not list_runs(studio.db, project_id or ""):
        return [gr.skip()] * len(quick) if any(current) else [*quick]
    return [""] * len(quick) if [*current] == quick else [gr.skip()] * len(quick)


@dataclass(frozen=True)
class Wanted:
    """What the controls say. `settings`: those that differ from what would be chosen or is the default anyway."""

    snapshot: str | None
    base_model: str
    start_from: str
    settings: dict[str, object]

    @staticmethod
    def of(values: Sequence[Any]) -> Wanted:
        """From the values of `_Parts.wanted`."""
        snapshot, base_model, start_from, method, objective, *settings = values
        named = given(settings)
        named |= {"method": method} if method else {}
        named |= {"objective": objective} if objective else {}
        return Wanted(snapshot, base_model or STARTER, start_from or "", named)

    def base(self, studio: Studio) -> str:
        """The base model: that of the run to start from, where there is one."""
        return get_run(studio.db, self.start_from).base_model if self.start_from else self.base_model


def swept(*values: Any) -> tuple[str | None, str, dict[str, object], str]:
    """Snapshot, base model, settings and run to start from ('' for none) that every trial of a sweep has."""
    want = Wanted.of(values)
    return want.snapshot, want.base_model, want.settings, want.start_from


def planned(studio: Studio, project_id: str | None, values: Sequence[Any]) -> list[object]:
    """The plan of the run that a click would start, and the controls as they go with it: values of `_Parts.planned`."""
    want = Wanted.of(values)
    if not project_id:
        advice = tr("Choose one above, or create one in the Projects tab.")
        return _unplanned(empty(tr("No project chosen"), advice))
    if not want.snapshot:
        advice = tr("Freeze one in the Datasets tab: training needs data that stays as it is.")
        return _unplanned(empty(tr("No snapshot yet"), advice))
    try:
        plan = _plan(studio, project_id, want)
    except StudioError as error:
        return _unplanned(notice("bad", tr(str(error))))
    return [
        plan_html(plan, costs_of_plan(studio, plan)),
        why_html(plan),
        gr.Button(interactive=True),
        _methods(plan, values[3]),
        _objective(plan, values[4]),
        *placeholders({name: placeholder(plan, name) for name in CHOSEN}),
    ]


def _unplanned(html: str) -> list[object]:
    return [html, "", gr.Button(interactive=False), gr.skip(), gr.skip(), *([gr.skip()] * len(CHOSEN))]


def _plan(studio: Studio, project_id: str, want: Wanted) -> Plan:
    place = (studio.db, studio.workspace, want.snapshot or "", want.base(studio), want.settings, project_id)
    return plan_run(*place, want.start_from or None)


def _methods(plan: Plan, current: str | None) -> gr.Dropdown:
    """The methods that this model and machine can take."""
    names: list[str] = [*plan.methods]
    choices = [(tr(AUTO_METHOD[0]), AUTO_METHOD[1]), *((tr(METHODS[name].title), name) for name in plan.methods)]
    return gr.Dropdown(choices=choices, value=current if current in names else "")


def _objective(plan: Plan, current: str | None) -> gr.Dropdown:
    """Shown for a snapshot of preferences alone, and then one of them is chosen."""
    names = [name for _, name in OBJECTIVES]
    value = (current if current in names else names[0]) if plan.preferences else None
    return gr.Dropdown(visible=plan.preferences, value=value)


def _rows(snapshot: Snapshot) -> str:
    parts = {"train": snapshot.train_rows, "validation": snapshot.validation_rows, "test": snapshot.test_rows}
    return tr("{train} / {validation} / {test} rows", **parts)


def _learnt(run: Run) -> str:
    method: Any = run.spec.get("method", "lora")
    title = tr(METHODS[method].title) if method in METHODS else str(method)
    return tr("Run {number} ({method} on {model})", number=run.number, method=title, model=run.base_model)
