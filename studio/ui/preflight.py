"""Preflight: check a project's pairs or a snapshot before any GPU time, and mend what was found, each step undoable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import gradio as gr

from storage.records import Snapshot
from studio.context import Studio
from studio.contract.preflight import CHECKS, PreflightSpec
from studio.contract.spec import STARTER
from studio.contract.terms import BUILT_IN
from studio.data import repairing
from studio.data.browse import list_snapshots
from studio.data.preflight_rows import write_rows
from studio.data.preflight_settings import save_preflight_settings
from studio.data.projects import get_project
from studio.errors import BadInput, NotFound
from studio.jobs.preflighting import Look, Target, cancel_preflight, look_at, start_preflight
from studio.jobs.reports import rows_of_finding
from studio.language import tr, trn
from studio.ui.components.preflight_report import Act, act_of, preflight_report
from studio.ui.errors import say, told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame
from studio.ui.preflight_rows import rows_page
from studio.ui.preflight_views import (
    DONE,
    View,
    before,
    checking,
    no_project,
    report_html,
    state_html,
    steps_html,
    steps_since,
)
from studio.ui.who import current_user

_DEFAULT_LENGTH = PreflightSpec.model_fields["max_length"].default


@dataclass(frozen=True)
class _Parts:
    target: gr.Dropdown
    base_model: gr.Dropdown
    length: gr.Number
    check: gr.Button
    cancel: gr.Button
    timer: gr.Timer
    state: gr.HTML
    terms: gr.Textbox
    allowed: gr.Textbox
    save: gr.Button
    steps: gr.HTML
    report: gr.HTML
    view: gr.State

    @property
    def live(self) -> list[gr.components.Component]:
        """What a check changes."""
        return [self.state, self.check, self.cancel, self.timer, self.report, self.steps, self.view]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    parts = _layout()
    _wire(studio, frame, tab, parts)
    _wire_words(studio, frame, parts)


def _layout() -> _Parts:
    with gr.Row(elem_id="preflight-columns"):
        with gr.Column(scale=4, min_width=290):
            with gr.Column(elem_id="preflight-panel"):
                gr.HTML("<h2 class='title'>Preflight</h2><p class='quiet'>What a run would trip over, found first.</p>")
                target = gr.Dropdown(label="Data to check", choices=[("All accepted pairs", "")], value="")
                base_model = gr.Dropdown(
                    label="Base model",
                    choices=[("SmolLM2-135M-Instruct (starter)", STARTER)],
                    value=STARTER,
                    allow_custom_value=True,
                )
                length = gr.Number(label="Context length (tokens)", value=_DEFAULT_LENGTH, precision=0, minimum=8)
                with gr.Row():
                    check = gr.Button("Check", variant="primary", min_width=110)
                    cancel = gr.Button("Cancel", visible=False, min_width=90)
                state, timer = gr.HTML(), gr.Timer(0.7, active=False)
            with gr.Accordion("Words and exceptions", open=False):
                terms, allowed, save = _words()
            steps = preflight_report("preflight-steps")
        with gr.Column(scale=9, min_width=300):
            view, report = gr.State(View()), preflight_report("preflight-report")
    return _Parts(*(target, base_model, length, check, cancel, timer, state, terms, allowed, save, steps, report, view))


def _words() -> tuple[gr.Textbox, gr.Textbox, gr.Button]:
    terms = gr.Textbox(
        label="Identity terms",
        lines=8,
        max_lines=16,
        info="One group a line: kind/group: term, term. Empty it to have the built-in list back.",
    )
    allowed = gr.Textbox(
        label="Never personal data",
        lines=3,
        info="One text a line, such as your own address: it is not reported.",
    )
    return terms, allowed, gr.Button("Save words", scale=0, min_width=130)


def _wire(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    @told
    def on_check(chosen: str | None, snapshot: str, base_model: str, length: float) -> list[object]:
        check(studio, Target(_named(chosen), snapshot or ""), base_model, length)
        return shown(studio, chosen, snapshot, View())

    @told
    def on_cancel(chosen: str | None, snapshot: str, view: View) -> list[object]:
        cancel_preflight(studio.workspace, Target(_named(chosen), snapshot or ""))
        return shown(studio, chosen, snapshot, view)

    @told
    def on_act(chosen: str | None, snapshot: str, view: View, event: gr.EventData) -> list[object]:
        done = act(studio, Target(_named(chosen), snapshot or ""), view, act_of(event))
        return shown(studio, chosen, snapshot, done)

    def on_tick(chosen: str | None, snapshot: str, view: View) -> list[object]:
        return shown(studio, chosen, snapshot, view, ticking=True)

    def on_show(chosen: str | None, snapshot: str, view: View) -> list[object]:
        return shown(studio, chosen, snapshot, view)

    def on_page(chosen: str | None, snapshot: str, view: View) -> list[object]:
        known = [one.id for one in list_snapshots(studio.db, chosen)] if chosen else []
        current = snapshot if snapshot in known else ""
        menu = target_menu(studio, chosen, current)
        return [menu, *shown(studio, chosen, current, view), *words_of(studio, chosen)]

    asked = [frame.project, parts.target, parts.view]
    given = [frame.project, parts.target, parts.base_model, parts.length]
    started = parts.check.click(on_check, given, parts.live, api_visibility="private")
    # Once more: an answer to an earlier change of project or data may come after the first, with the timer off.
    started.then(on_show, asked, parts.live, **REFRESH)
    parts.cancel.click(on_cancel, asked, parts.live, **QUICK)
    for place in (parts.report, parts.steps):
        place.act(on_act, asked, parts.live, **QUICK)
        place.act(_leave, None, frame.tabs, **QUICK)
    parts.timer.tick(on_tick, asked, parts.live, **POLL)
    page = [parts.target, *parts.live, parts.terms, parts.allowed]
    gr.on(frame.looks_at(tab), on_page, asked, page, **REFRESH)
    parts.target.input(on_show, asked, parts.live, **REFRESH)


def _wire_words(studio: Studio, frame: Frame, parts: _Parts) -> None:
    @told
    def on_save(chosen: str | None, terms: str, allowed: str) -> None:
        save_preflight_settings(studio.db, current_user(), _named(chosen), terms, allowed)
        say(tr("Saved: the next check uses these words."))

    words = [parts.terms, parts.allowed]
    parts.save.click(on_save, [frame.project, *words], None, **QUICK).success(
        lambda chosen: words_of(studio, chosen), frame.project, words, **REFRESH
    )


def check(studio: Studio, target: Target, base_model: str, length: float | None) -> None:
    """Start a check. Raises BadInput, BadSpec, DiskFull."""
    project = get_project(studio.db, target.project_id)
    if target.snapshot_id and target.snapshot_id not in [one.id for one in list_snapshots(studio.db, project.id)]:
        raise BadInput("This snapshot is another project's: choose the data to check again.")
    asked = {
        "base_model": (base_model or STARTER).strip(),
        "max_length": int(length or _DEFAULT_LENGTH),
        "task": project.task,
        "terms": project.settings.identity_terms,
        "allowed": project.settings.allowed_texts,
    }
    rows = partial(write_rows, studio.db, studio.workspace, target.project_id, target.snapshot_id)
    start_preflight(studio.db, studio.workspace, target, asked, rows)


def act(studio: Studio, target: Target, view: View, wanted: Act) -> View:
    """Do what was clicked; what of the report is open afterwards. Raises BadInput, Conflict, NotFound, NotAllowed."""
    view = view.for_data(target)
    if wanted.act == "open":
        return View(-1 if view.finding == wanted.finding else wanted.finding, of=target)
    if wanted.act == "turn":
        return View(wanted.finding, wanted.page, of=target)
    if wanted.act in ("change", "cancel"):
        return replace(view, editing=wanted.row if wanted.act == "change" else "")
    if wanted.act == "undo":
        undone = repairing.undo(studio.db, current_user(), target.project_id, wanted.number)
        said = [trn("Undone: {count:,} row as before.", "Undone: {count:,} rows as before.", undone.restored)]
        if left := len(undone.left):
            said.append(
                trn(
                    "{count:,} row had been changed since and stayed.",
                    "{count:,} rows had been changed since and stayed.",
                    left,
                )
            )
        say(" ".join(said))
    elif wanted.act in DONE or wanted.act == "save":
        say(_repair(studio, look_at(studio.db, studio.workspace, target), wanted))
    return view


def _repair(studio: Studio, look: Look, wanted: Act) -> str:
    """Carry out a doing of a finding over chosen rows, or all; the sentence that says what was done."""
    if look.report is None or not 0 <= wanted.finding < len(look.report.findings):
        raise NotFound("This report is not there any more: check again.")
    finding, user, project_id = look.report.findings[wanted.finding], current_user(), look.about.project_id  # type: ignore[union-attr]
    reason = CHECKS.get(finding.check, finding.check)
    if wanted.act == "save":
        row = (wanted.row, wanted.field, wanted.hash, wanted.text)
        repairing.edit_field(studio.db, user, project_id, *row, reason)
        return tr("Saved.")
    if wanted.act in ("drop", "back"):
        known = [row.example_id for row in rows_of_finding(look.folder, wanted.finding)]
        ids = [one for one in known if one in wanted.ids] if wanted.ids else known
        doing = repairing.drop if wanted.act == "drop" else repairing.back
        done = doing(studio.db, user, project_id, ids, reason)
    else:
        proposals = repairing.read_proposals(look.folder, wanted.finding, wanted.ids or None)
        done = repairing.rewrite(studio.db, user, project_id, wanted.act, proposals, reason)
    return _said(wanted.act, done)


def _said(act: str, done: repairing.Done) -> str:
    """The sentence that tells what was done."""
    rows = trn("{count:,} row", "{count:,} rows", done.repair.rows)
    said = tr("{done}: {rows}.", done=tr(DONE[act]), rows=rows)
    if not done.passed:
        return said
    passed = trn(
        "{count:,} row passed over: changed since the check.",
        "{count:,} rows passed over: changed since the check.",
        done.passed,
    )
    return f"{said} {passed}"


def _leave(event: gr.EventData) -> object:
    """Freezing is done in Datasets."""
    return gr.Tabs(selected="datasets") if act_of(event).act == "freeze" else gr.skip()


def target_menu(studio: Studio, project_id: str | None, current: str | None) -> gr.Dropdown:
    """All pairs of the project, then its snapshots, newest first; what is chosen stays where it exists."""
    found = list_snapshots(studio.db, project_id) if project_id else []
    choices = [(tr("All accepted pairs"), "")]
    choices += [(_name_of(snapshot), snapshot.id) for snapshot in found]
    return gr.Dropdown(choices=choices, value=current if current in [s.id for s in found] else "")


def _name_of(snapshot: Snapshot) -> str:
    return tr(
        "Snapshot v{version} · {train} / {validation} / {test}",
        version=snapshot.version,
        train=snapshot.train_rows,
        validation=snapshot.validation_rows,
        test=snapshot.test_rows,
    )


def words_of(studio: Studio, project_id: str | None) -> list[str]:
    """The word list and the exceptions of a project, as they are edited."""
    if not project_id:
        return ["", ""]
    settings = get_project(studio.db, project_id).settings
    return [settings.identity_terms or BUILT_IN, "\n".join(settings.allowed_texts)]


def shown(
    studio: Studio, project_id: str | None, snapshot: str | None, view: View, ticking: bool = False
) -> list[object]:
    """Values of `_Parts.live`; while a check runs, a tick leaves all but its progress as it is."""
    if not project_id:
        return ["", *_buttons(False), no_project(), "", View()]
    target = Target(project_id, snapshot or "")
    look, view = look_at(studio.db, studio.workspace, target), view.for_data(target)
    running = look.state == "running"
    if running and ticking:
        return [state_html(look), *_buttons(True), gr.skip(), gr.skip(), gr.skip()]
    steps = repairing.list_repairs(studio.db, project_id)
    return [state_html(look), *_buttons(running), _report(studio, look, view, steps), steps_html(steps), view]


def _report(studio: Studio, look: Look, view: View, steps: list[repairing.Repair]) -> str:
    if look.report is None:
        return checking() if look.state == "running" else before()
    project = get_project(studio.db, look.about.project_id)  # type: ignore[union-attr]
    opened = 0 <= view.finding < len(look.report.findings)
    rows = rows_page(studio, look, view.finding, view.page) if opened else None
    touched = repairing.list_touched(studio.db, [step.number for step in steps_since(look, steps)])
    return report_html(project, look, view, rows, steps, touched)


def _buttons(running: bool) -> list[object]:
    return [gr.Button(interactive=not running), gr.Button(visible=running), gr.Timer(active=running)]


def _named(chosen: str | None) -> str:
    if not chosen:
        raise BadInput("Choose or create a project first (Projects tab).")
    return chosen
