"""The Vote part of Compare: answers made beforehand, voted on blind one after the other, by keys alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from studio.context import Studio
from studio.contract.chat import Message, conversation
from studio.data.prompt_files import read_prompts
from studio.errors import BadInput
from studio.jobs.comparison_batch import Asked, Made, make_comparisons
from studio.jobs.evaluation_said import retold
from studio.jobs.lineup import line_up
from studio.labeling.comparing import count_comparisons, get_comparison, next_to_vote, undo_vote
from studio.language import mark, tr, trn
from studio.ui.compare_acts import Acted, act_on, save_fix, to_vote_on
from studio.ui.compare_ask import Wanted, editor, test_rows
from studio.ui.compare_layout import ASKS, Parts
from studio.ui.compare_standings import standings_of
from studio.ui.compare_state import Shown
from studio.ui.compare_views import panes_html
from studio.ui.components.compare_panes import PaneAct, pane_act
from studio.ui.components.html import empty, notice, text
from studio.ui.errors import say, told
from studio.ui.frame import POLL, QUICK, REFRESH, Frame
from studio.ui.roles import least
from studio.ui.who import current_user
from studio.ui.work import Work

LOOK: dict[str, Any] = {**REFRESH, "show_progress": "full"}
"""As REFRESH, but what was there before is covered meanwhile: the first look at the figures loads their libraries."""

MOST_VOTED = 200
"""Prompts that are answered at one click: people vote on each."""

Jobs = dict[str, Work[Made]]
"""The batches of this app by project: they go on when the page is closed, and every page shows them."""


@dataclass(frozen=True)
class Desk:
    """What a voter has before them; `last` is the comparison they voted on before it, with its votes."""

    project_id: str
    shown: Shown | None = None
    number: int = 0
    last: Shown | None = None
    said: str = ""


def wire_votes(studio: Studio, frame: Frame, tab: gr.Tab, parts: Parts) -> None:
    """The desk of a voter; anybody may vote."""
    desk, fix = parts.vote, parts.vote.fix

    @least("annotator")
    def on_show(chosen: str | None, desk: Desk | None, markdown: bool) -> list[object]:
        return desk_values(studio, looked(studio, chosen, desk), markdown)

    @told
    @least("annotator")
    def on_act(desk: Desk | None, markdown: bool, event: gr.EventData) -> list[object]:
        after, acted = acted_on(studio, desk, pane_act(event))
        return [*desk_values(studio, after, markdown), *editor(acted)]

    @told
    @least("annotator")
    def on_save(desk: Desk | None, markdown: bool, place: int, answer: str) -> list[object]:
        save_fix(studio, current_user(), desk.shown if desk else None, place, answer)
        say(tr("Saved: the pair goes where the project's new answers go."))
        return [*desk_values(studio, desk, markdown), *editor(Acted(None))]

    @least("annotator")
    def on_leave() -> list[object]:
        return editor(Acted(None))

    asked = [frame.project, desk.desk, parts.who.markdown]
    gr.on([tab.select, *frame.looks_at(desk.tab)], on_show, asked, desk.live, **REFRESH)
    after = [*desk.live, *fix.live]
    desk.panes.act(on_act, asked[1:], after, **QUICK)
    fix.save.click(on_save, [*asked[1:], fix.place, fix.field], after, **QUICK)
    fix.leave.click(on_leave, None, fix.live, **QUICK)
    parts.who.markdown.input(on_show, asked, desk.live, **QUICK)


def wire_standings(studio: Studio, frame: Frame, tab: gr.Tab, parts: Parts) -> None:
    """How the models stand, anew whenever it is looked at."""

    @least("annotator")
    def on_show(chosen: str | None) -> str:
        return standings_of(studio, chosen)

    gr.on([tab.select, *frame.looks_at(parts.standing)], on_show, frame.project, parts.standings, **LOOK)


def wire_batch(studio: Studio, frame: Frame, tab: gr.Tab, parts: Parts) -> None:
    """Answers made beforehand, in a thread of the app's."""
    jobs: Jobs = {}
    asks, desk = parts.ask, parts.vote

    @told
    @least(ASKS)
    def on_make(count: float, path: str | None, *form: object) -> list[object]:
        start_batch(studio, jobs, Wanted(*form), int(count or 0), path)  # type: ignore[arg-type]
        return batch_values(jobs, form[0])

    @told
    @least(ASKS)
    def on_cancel(chosen: str | None) -> list[object]:
        if work := jobs.get(chosen or ""):
            work.cancel()
        return batch_values(jobs, chosen)

    @least(ASKS)
    def on_tick(chosen: str | None, current: Desk | None, markdown: bool) -> list[object]:
        batch = batch_values(jobs, chosen)  # before the count: the last tick must count all that was made
        seen = looked(studio, chosen, current)
        values = desk_values(studio, seen, markdown)
        return [*batch, *values[:2], gr.skip() if seen is current else values[2]]

    form = [frame.project, parts.who.runs, parts.who.endpoint, asks.prompt, asks.system, asks.picked]
    form += [asks.temperature, asks.max_tokens, asks.seed, asks.blind]
    desk.make.click(on_make, [desk.rows, desk.file, *form], desk.batch, **QUICK)
    desk.cancel.click(on_cancel, frame.project, desk.batch, **QUICK)
    ticked = [frame.project, desk.desk, parts.who.markdown]
    desk.timer.tick(on_tick, ticked, [*desk.batch, *desk.live], **POLL)
    shown: Callable[[str | None], list[object]] = least(ASKS)(lambda chosen: batch_values(jobs, chosen))
    gr.on(frame.looks_at(tab), shown, frame.project, desk.batch, **REFRESH)


def start_batch(studio: Studio, jobs: Jobs, wanted: Wanted, most: int, path: str | None = None) -> None:
    """Have all parties answer the prompts of a file, or the first rows of the test split. Raises BadInput, BadFile,
    NotFound."""
    project = wanted.project_id
    if not project:
        raise BadInput("Choose a project first.")
    if any(work.result is None for work in jobs.values()):
        raise BadInput("Answers are being made already: wait, or cancel them.")
    lineup, user = line_up(studio.db, studio.workspace, wanted.runs or [], wanted.endpoint), current_user()
    prompts = file_prompts(path, wanted.system) if path else split_prompts(studio, wanted, most)

    def make(work: Work[Made]) -> Made:
        job = (studio.db, studio.engines, user, project, lineup, prompts, wanted.sampling)
        return make_comparisons(*job, note=work.note)

    jobs[project] = Work(make, mark("The answers could not be made"))


def file_prompts(path: str, system: str) -> list[Asked]:
    """The prompts of an uploaded file. Raises BadFile."""
    return [Asked(tuple(conversation([Message("user", one)], system))) for one in read_prompts(Path(path), MOST_VOTED)]


def split_prompts(studio: Studio, wanted: Wanted, most: int) -> list[Asked]:
    """The first rows of the test split. Raises BadInput where there is none."""
    rows = test_rows(studio, wanted.runs, max(1, min(most, MOST_VOTED)))
    if not rows:
        raise BadInput("The test split of this snapshot is empty: freeze one with test rows and train on it.")
    return [Asked(tuple(row.messages[:-1]), row.example_id) for row in rows]


def batch_values(jobs: Jobs, project_id: object) -> list[object]:
    """Values of `Vote.batch`."""
    work = jobs.get(str(project_id or ""))
    busy = work is not None and work.result is None
    told_of = "" if work is None else work.html(made_html)
    return [told_of, gr.Button(interactive=not busy), gr.Button(visible=busy), gr.Timer(active=busy)]


def made_html(made: Made) -> str:
    """How a batch ended."""
    words = trn(
        "{kept} of {count:,} prompt answered by all models and ready to be voted on.",
        "{kept} of {count:,} prompts answered by all models and ready to be voted on.",
        made.asked,
        kept=made.kept,
    )
    return notice("good" if made.kept else "warn", f"{words} {retold(made.problem)}".strip())


def looked(studio: Studio, chosen: str | None, desk: Desk | None) -> Desk | None:
    """The desk as it is when somebody comes to it: what they had before them stays."""
    if not chosen:
        return None
    if desk and desk.project_id == chosen and desk.shown:
        return desk
    return following(studio, Desk(chosen))


def following(studio: Studio, desk: Desk) -> Desk:
    """The same with the next comparison that this person has not voted on."""
    found = next_to_vote(studio.db, current_user(), desk.project_id, desk.number)
    if found is None:
        return replace(desk, shown=None)
    return replace(desk, shown=to_vote_on(found, current_user()), number=found.number)


def acted_on(studio: Studio, desk: Desk | None, wanted: PaneAct) -> tuple[Desk | None, Acted]:
    """Vote and go on, take the last vote back and see it again, pass one over; else as in Ask."""
    if desk is None:
        return None, Acted(None)
    if wanted.act == "undo":
        return _undone(studio, desk), Acted(None)
    if wanted.act == "pass" and desk.shown and wanted.token == desk.shown.token:
        return following(studio, replace(desk, said=tr("Passed over: it comes again after the others."))), Acted(None)
    acted = act_on(studio, current_user(), desk.shown, wanted)
    if acted.shown and acted.shown.voted:
        return following(studio, replace(desk, last=acted.shown, said=tr("Vote saved."))), Acted(None)
    return replace(desk, shown=acted.shown), acted


def _undone(studio: Studio, desk: Desk) -> Desk:
    """The last vote is taken back and stands open again: its names were never shown."""
    taken = None
    for _ in range(desk.last.votes if desk.last else 1):
        taken = undo_vote(studio.db, current_user(), desk.project_id) or taken
    if taken is None:
        return replace(desk, said=tr("There is no vote to take back."))
    found = get_comparison(studio.db, taken.comparison_id)
    again = to_vote_on(found, current_user())
    said = tr("The vote is taken back: vote again.")
    return replace(desk, shown=again, number=found.number, last=None, said=said)


def desk_values(studio: Studio, desk: Desk | None, markdown: bool) -> list[object]:
    """Values of `Vote.live`."""
    if desk is None:
        return [None, empty(tr("No project chosen"), tr("Choose one above, or create one.")), ""]
    total, left = count_comparisons(studio.db, desk.project_id, current_user().name)
    said = f" {text(desk.said)}" if desk.said else ""
    words = trn(
        "{count:,} comparison to vote on, {total:,} in all.",
        "{count:,} comparisons to vote on, {total:,} in all.",
        left,
        total=total,
    )
    head = f"<p class='quiet' role='status'>{text(words)}{said}</p>"
    if desk.shown is None:
        head += _nothing_left(total)
    return [desk, head, panes_html(desk.shown, markdown, batch=True) if desk.shown else ""]


def _nothing_left(total: int) -> str:
    if total:
        return empty(tr("All voted on"), tr("Standings shows what the votes say."))
    what = tr("An admin makes answers above, or asks with Blind on; then anybody votes here.")
    return empty(tr("Nothing to vote on yet"), what)
