"""What the controls of the Train tab say, and what is shown for it: the plan, the menus that go with it, findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

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
from studio.ui.components.html import empty, notice
from studio.ui.preflight_views import brief
from studio.ui.train_plan import placeholder, plan_html, why_html
from studio.ui.train_queue import costs_of_plan
from studio.ui.train_settings import CHOSEN, given, placeholders

BASES = [("SmolLM2-135M-Instruct (starter)", STARTER), ("all-MiniLM-L6-v2 (starter-encoder)", BASE_ENCODER)]
AUTO_METHOD = ("As suggested", "")
FRESH = ("The base model", "")
OBJECTIVES = [("DPO", "dpo"), ("IPO", "ipo"), ("KTO", "kto")]
"""What a run on preferences may do; others learn the answers."""


def snapshot_menu(studio: Studio, project_id: str | None, current: str | None) -> gr.Dropdown:
    """The project's snapshots, newest first and chosen, unless another of them already is."""
    found = list_snapshots(studio.db, project_id) if project_id else []
    choices = [
        (f"v{s.version} · {s.train_rows} / {s.validation_rows} / {s.test_rows} rows · {s.id[:8]}", s.id) for s in found
    ]
    ids = [item.id for item in found]
    return gr.Dropdown(choices=choices, value=current if current in ids else (ids[0] if ids else None))


def findings_of(studio: Studio, project_id: str | None, snapshot: str | None) -> str:
    """What a preflight of the snapshot found, in a line; where there was none, that there could be one."""
    if not project_id or not snapshot:
        return ""
    report = look_at(None, studio.workspace, Target(project_id, snapshot)).report
    return brief(report) if report else "<p class='quiet'>Not checked yet: see the Preflight tab before you train.</p>"


def start_menu(studio: Studio, project_id: str | None, current: str | None) -> gr.Dropdown:
    """What a run may begin with: the base model, or what a finished run of this project has learnt."""
    done = [run for run in list_runs(studio.db, project_id) if run.state == "done"] if project_id else []
    choices = [FRESH, *((f"Run {run.number} ({_learnt(run.spec)} on {run.base_model})", run.id) for run in done)]
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
        return _unplanned(empty("No project chosen", "Choose one above, or create one in the Projects tab."))
    if not want.snapshot:
        return _unplanned(
            empty("No snapshot yet", "Freeze one in the Datasets tab: training needs data that stays as it is.")
        )
    try:
        plan = _plan(studio, project_id, want)
    except StudioError as error:
        return _unplanned(notice("bad", str(error)))
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
    choices = [AUTO_METHOD, *((METHODS[name].title, name) for name in plan.methods)]
    return gr.Dropdown(choices=choices, value=current if current in names else "")


def _objective(plan: Plan, current: str | None) -> gr.Dropdown:
    """Shown for a snapshot of preferences alone, and then one of them is chosen."""
    names = [name for _, name in OBJECTIVES]
    value = (current if current in names else names[0]) if plan.preferences else None
    return gr.Dropdown(visible=plan.preferences, value=value)


def _learnt(spec: Any) -> str:
    method = spec.get("method", "lora")
    return METHODS[method].title if method in METHODS else str(method)
