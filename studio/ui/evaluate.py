"""Evaluate: the verdict on a run. Held-out rows answered by base and run, one plain sentence, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gradio as gr

from storage.records import Run
from studio.context import Studio
from studio.contract.plain import question_and_answer
from studio.data.snapshots import read_split
from studio.errors import BadInput, JobFailed, NotFound
from studio.jobs.evaluating import (
    EvalPage,
    Evaluated,
    Standing,
    cancel_evaluation,
    leaderboard,
    list_rows,
    look_at,
    standing_of,
    start_evaluation,
)
from studio.jobs.judging import Judging, agreement_with_people, judge_standing, look_at_judge
from studio.jobs.runs import get_run, list_runs
from studio.jobs.why import WhyLook, look_at_why, start_why
from studio.language import tr
from studio.ui.components.html import cards, opened
from studio.ui.components.why import why_html
from studio.ui.errors import told
from studio.ui.evaluate_judge import JudgeParts, Page, judge_fresh, judge_layout, judge_live, wire_judge
from studio.ui.evaluate_judge_views import judge_state_html
from studio.ui.evaluate_overlay import overlay_layout, overlay_shown, wire_overlay
from studio.ui.evaluate_save import SaveParts, save_layout, wire_save
from studio.ui.evaluate_views import (
    PAGE_ROWS,
    Rows,
    board_html,
    no_project,
    no_run,
    not_yet,
    report_html,
    state_html,
)
from studio.ui.frame import POLL, QUICK, REFRESH, Frame

_ALL = 1_000_000


@dataclass(frozen=True)
class View:
    """Which rows of a run's report are shown, and of which row (from 1) somebody asked why it was answered so. `seen`
    names what stood on the page at the last look, so that a tick sends only what has changed; `judging`: a judge was
    at work then."""

    outcome: str = ""
    start: int = 0
    row: int = 0
    why: str = ""
    project_id: str = ""
    run_id: str = ""
    seen: str = ""
    judging: bool = False


@dataclass(frozen=True)
class _Parts:
    run: gr.Dropdown
    ways: gr.Checkbox
    start: gr.Button
    cancel: gr.Button
    timer: gr.Timer
    state: gr.HTML
    board: gr.HTML
    report: gr.HTML
    view: gr.State
    judge: JudgeParts
    over: gr.Dropdown
    overlay: gr.HTML
    save: SaveParts

    @property
    def live(self) -> list[gr.blocks.Block]:
        """What an evaluation changes."""
        return [self.state, self.start, self.cancel, self.timer, self.report, self.board, self.view, self.save.place]


def build(studio: Studio, frame: Frame, tab: gr.Tab) -> None:
    """Lay the tab out and wire it."""
    _wire(studio, frame, tab, _layout())


def _layout() -> _Parts:
    with gr.Row(elem_id="evaluate-columns"):
        with gr.Column(scale=4, min_width=290):
            with gr.Column(elem_id="evaluate-panel"):
                gr.HTML("<h2 class='title'>Evaluate</h2><p class='quiet'>Is the run better than its base, where?</p>")
                run = gr.Dropdown(label="Run", choices=[])
                ways = gr.Checkbox(
                    label="Is fine-tuning worth it?",
                    value=True,
                    info="Also asks the base with the project's prompt, and with examples in the prompt.",
                )
                with gr.Row():
                    start = gr.Button("Evaluate", variant="primary", min_width=110)
                    cancel = gr.Button("Cancel", visible=False, min_width=90)
                state, timer = gr.HTML(), gr.Timer(1.0, active=False)
            board, save = cards(), save_layout()
            judge = judge_layout()
        with gr.Column(scale=9, min_width=300):
            view, report = gr.State(View()), cards()
            over, overlay = overlay_layout()
    return _Parts(run, ways, start, cancel, timer, state, board, report, view, judge, over, overlay, save)


def _wire(studio: Studio, frame: Frame, tab: gr.Tab, parts: _Parts) -> None:
    @told
    def on_start(chosen: str | None, run: str | None, ways: bool) -> list[object]:
        start_evaluation(studio.db, studio.workspace, _own(studio, chosen, run).id, ways=bool(ways))
        return shown(studio, chosen, run, View())

    @told
    def on_cancel(chosen: str | None, run: str | None, view: View) -> list[object]:
        cancel_evaluation(studio.workspace, _own(studio, chosen, run).id)
        return shown(studio, chosen, run, view)

    def on_tick(chosen: str | None, run: str | None, view: View) -> list[object]:
        return ticked(studio, chosen, run, view)

    def on_again(chosen: str | None, run: str | None, view: View) -> list[object]:
        return shown(studio, chosen, run, view)

    def on_show(
        chosen: str | None, run: str | None, view: View, over: list[str] | None, url: str | None, model: str | None
    ) -> list[object]:
        runs = runs_of(studio, chosen)
        ids = [one.id for one in runs]
        current = run if run in ids else (ids[0] if ids else None)
        another = view.project_id != chosen
        fresh = [*judge_fresh(studio, chosen, current, url, model, another), *overlay_shown(studio, chosen, over)]
        return [run_menu(runs, current), *shown(studio, chosen, current, view), *fresh]

    @told
    def on_open(chosen: str | None, run: str | None, view: View, event: gr.EventData) -> list[object]:
        act, _, rest = opened(event).partition(":")
        if act == "run":
            return [gr.Dropdown(value=rest), *shown(studio, chosen, rest, View())]
        if act == "why":
            view = ask_why(studio, _own(studio, chosen, run), view, rest)
            return [gr.skip(), *shown(studio, chosen, run, view)]
        return [gr.skip(), *shown(studio, chosen, run, turned(view, rest))]

    judge = parts.judge
    asked = [frame.project, parts.run, parts.view]
    started = parts.start.click(on_start, [frame.project, parts.run, parts.ways], parts.live, api_visibility="private")
    # Once more: an answer to an earlier change may come after the first, with the timer off.
    started.then(on_again, asked, parts.live, **REFRESH)
    parts.cancel.click(on_cancel, asked, parts.live, **QUICK)
    parts.timer.tick(on_tick, asked, [*parts.live, *judge.live], **POLL)
    looked, fresh = [*asked, parts.over, judge.url, judge.model], [*judge.fresh, parts.over, parts.overlay]
    shows = [*frame.looks_at(tab), parts.run.input]
    gr.on(shows, on_show, looked, [parts.run, *parts.live, *fresh], **REFRESH)
    for place in (parts.report, parts.board):
        place.open(on_open, asked, [parts.run, *parts.live], **QUICK)
    wire_overlay(studio, frame, parts.over, parts.overlay)
    own = lambda chosen, run: _own(studio, chosen, run).id  # noqa: E731
    wire_save(studio, parts.save, frame.project, parts.run, own)
    page = Page(frame.project, parts.run, parts.view, parts.timer, own)
    wire_judge(studio, judge, page, lambda view: replace(view, seen="asked", judging=True))


def shown(studio: Studio, project_id: str | None, run_id: str | None, view: View) -> list[object]:
    """The live parts for a run as its newest evaluation stands."""
    if not project_id or not run_id:
        nothing = no_run() if project_id else no_project()
        off = [gr.Button(interactive=False), gr.Button(visible=False), gr.Timer(active=False)]
        return ["", *off, nothing, "", view, gr.Column(visible=False)]
    run = _own(studio, project_id, run_id)
    if view.run_id != run_id:
        view = View(project_id=project_id, run_id=run_id)
    found, judging, why = look_at(studio.workspace, run), look_at_judge(studio.workspace, run), _why(studio, view)
    alive = found.standing.alive
    boards = board_html(leaderboard(studio.db, studio.workspace, project_id), run_id)
    buttons = [gr.Button(visible=not alive, interactive=True), gr.Button(visible=alive)]
    # A judging that ended stays noted until a tick has cleared its bar: a click may come before that.
    at_work = view.judging or judging.standing.alive
    timer = gr.Timer(active=alive or at_work or (why is not None and why.standing.alive))
    view = replace(view, seen=_mark(found.standing, judging.standing, why), judging=at_work)
    report = _report(studio, found, view, why, judging)
    save = gr.Column(visible=found.report is not None)
    return [state_html(found.standing), *buttons, timer, report, boards, view, save]


def ticked(studio: Studio, project_id: str | None, run_id: str | None, view: View) -> list[object]:
    """The live parts at a tick, then the judge's: while nothing came to its end, only how far it is."""
    if not project_id or not run_id:
        return [*shown(studio, project_id, run_id, view), *judge_live(Standing("none"))]
    run = _own(studio, project_id, run_id)
    evaluation, judging = standing_of(studio.workspace, run.id), judge_standing(studio.workspace, run.id)
    ended = view.judging and not judging.alive
    same = not ended and view.seen == _mark(evaluation, judging, _why(studio, view))
    judge = [judge_state_html(judging), *[gr.skip()] * 4] if judging.alive else [gr.skip()] * 5
    if same:
        return [state_html(evaluation), *[gr.skip()] * 7, *judge]
    view = replace(view, judging=view.judging and not ended)
    return [*shown(studio, project_id, run_id, view), *(judge_live(judging) if ended else judge)]


def _mark(evaluation: Standing, judging: Standing, why: WhyLook | None) -> str:
    """What of three jobs is on the page: the first two count by whether they are at work, the third by all it shows."""
    at_work = [name for name, one in (("evaluating", evaluation), ("judging", judging)) if one.alive]
    return " ".join([*at_work, why_html(why) if why else ""])


def turned(view: View, asked: str) -> View:
    """The view that a button of the rows asks for: "outcome:start". What is no such thing changes nothing."""
    outcome, _, start = asked.partition(":")
    if outcome not in ("", "win", "loss", "tie") or not start.isdecimal():
        return view
    return replace(view, outcome=outcome, start=int(start), row=0, why="")


def ask_why(studio: Studio, run: Run, view: View, asked: str) -> View:
    """Begin to look for the training pairs behind the run's answer to a held-out row; asked again, close the list.

    Raises BadInput for a row that there is not, and what `start_why` raises.
    """
    number = int(asked) if asked.isdecimal() else 0
    if number == view.row:
        return replace(view, row=0, why="")
    report = look_at(studio.workspace, run).report
    given = next((one for one in list_rows(studio.workspace, run.id, count=_ALL).rows if one.row == number), None)
    rows = read_split(studio.workspace, run.snapshot_id, report.split, number - 1, 1) if report and given else []
    if not rows or given is None:
        raise BadInput("This row is not there any more: evaluate again.")
    question, _ = question_and_answer(rows[0].messages)
    return replace(view, row=number, why=start_why(studio.workspace, run.id, question, given.tuned, gradients=True))


def _why(studio: Studio, view: View) -> WhyLook | None:
    try:
        return look_at_why(studio.workspace, view.why) if view.why else None
    except NotFound:
        return None


def runs_of(studio: Studio, project_id: str | None) -> list[Run]:
    """The project's runs that have weights, the newest first."""
    return [run for run in list_runs(studio.db, project_id) if run.adapter_hash] if project_id else []


def run_menu(runs: Sequence[Run], current: str | None) -> gr.Dropdown:
    """The menu of these runs with one of them chosen."""
    choices = [(_choice(run), run.id) for run in runs]
    return gr.Dropdown(choices=choices, value=current)


def _choice(run: Run) -> str:
    return tr("Run {number} · {model} · {steps} steps", number=run.number, model=run.base_model, steps=run.steps)


def _report(studio: Studio, found: Evaluated, view: View, why: WhyLook | None, judging: Judging) -> str:
    if found.report is None:
        return "" if found.standing.alive else not_yet()
    said = judging.report if not judging.stale else None
    agreed = agreement_with_people(studio.db, studio.workspace, found.run, said) if said else None
    because = why_html(why) if why else ""
    rows = Rows(_page(studio, found, view), view.outcome, view.start, view.row, because, judging, agreed)
    return report_html(found.report, rows)


def _page(studio: Studio, found: Evaluated, view: View) -> EvalPage | None:
    try:
        order = "row" if view.outcome else "tuned_score"
        return list_rows(studio.workspace, found.run.id, view.outcome, order, view.start, PAGE_ROWS)
    except JobFailed:
        return None  # the figures are there all the same


def _own(studio: Studio, project_id: str | None, run_id: str | None) -> Run:
    """A run of the project in hand. Raises BadInput, NotFound."""
    if not run_id:
        raise BadInput("Choose a run first; when there is none yet, train one in the Train tab.")
    run = get_run(studio.db, run_id)
    if run.project_id != project_id:
        raise BadInput("This run is another project's: choose one of the menu.")
    return run
