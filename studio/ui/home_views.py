"""The HTML of Home: the next step, the loop with its counts, recent runs as small curves, what came since last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from studio.data.projects import TASKS
from studio.jobs.next_step import FIRST_RUN, GUIDED, Step
from studio.jobs.overview import Overview, RunLook
from studio.ui.components.html import chip, count, moment, text

_WIDTH, _HEIGHT = 132, 36
_STATES = {"done": "good", "failed": "bad", "stopped": "warn", "waiting": "", "paused": "warn"}
_VERDICTS = {
    "better": ("better", "good"),
    "worse": ("worse", "bad"),
    "unshown": ("no difference shown", ""),
    "same": ("no difference", ""),
    "unknown": ("cannot be told", ""),
}
_REVIEWERS = ("Label", "Review", "Data", "Compare", "Team", "Suggestions", "Home")


@dataclass(frozen=True)
class Station:
    """One station of the loop: its name, its figure, what the figure is, and the tab that a click opens."""

    name: str
    figure: str
    words: str
    tab: str
    lit: bool = True


def welcome_html(role: str, others: bool) -> str:
    """What to do where there is no project in hand."""
    if role != "admin":
        words = "Nobody has made a project yet. Once there is one, what you can do stands here."
        return f'<div class="home"><h2 class="title">Welcome</h2><p class="quiet">{words}</p></div>'
    title = "No project in hand" if others else "Welcome"
    steps = (
        ("Label", "People write the answers a model should give, or correct drafts of it."),
        ("Train", "One click makes a fine-tuned model of the accepted pairs, on this machine."),
        ("Judge", "Base and fine-tuned answers side by side, with a verdict that says what is chance."),
        ("Serve", "The better one goes into service, and what it is asked comes back to be labeled."),
    )
    items = "".join(f"<li><b>{name}</b><span>{text(words)}</span></li>" for name, words in steps)
    return (
        f'<div class="home welcome"><header><h2 class="title">{title}</h2>'
        '<p class="quiet">A project is one task with its people, examples and models. It goes around a loop:</p>'
        "</header>"
        f'<ol class="ways">{items}</ol>'
        '<p class="quiet">The sample takes five minutes: write three answers beside sixty others, train a small model '
        "on them here, and read its answer beside the base model's. Or "
        f"{_go('Projects', 'make a project of your own', 'link')}.</p></div>"
    )


def home_html(found: Overview, step: Step | None, role: str) -> str:
    """A project's Home for those who run it or review in it."""
    sees_runs = role == "admin"
    project = found.project
    about = f"{TASKS[project.task]} · {count(found.tally.total, 'example')}"
    side = _since_html(found, sees_runs)
    runs = _runs_html(found) if sees_runs else ""
    return (
        f'<div class="home"><header><h2 class="title">{text(project.name)}</h2>'
        f'<p class="quiet">{text(about)}</p></header>'
        f"{_step_html(step)}{_loop_html(stations(found), role)}"
        f'<div class="columns">{runs}{side}</div></div>'
    )


def labeling_html(found: Overview, step: Step | None) -> str:
    """An annotator's Home: what waits for them, and what they have done."""
    done = count(found.today, "answer")
    return (
        f'<div class="home"><header><h2 class="title">{text(found.project.name)}</h2></header>'
        f"{_step_html(step, 'All done here. Thank you; new ones will stand here.')}"
        f'<dl class="facts"><div><dt>Left to label</dt><dd>{found.left:,}</dd></div>'
        f"<div><dt>Your last 24 hours</dt><dd>{done}</dd></div>"
        f"<div><dt>Labeled by all</dt><dd>{found.tally.labeled:,}</dd></div></dl></div>"
    )


def stations(found: Overview) -> list[Station]:
    """The loop's stations with their counts, in its order."""
    tally, newest = found.tally, found.newest
    waiting = tally.pending + tally.flagged
    active = next((look for look in found.recent if look.active), None)
    judged = next((look for look in found.recent if look.kind), None)
    ratings = found.up + found.down
    frozen = f"{count(found.fresh, 'new pair')} since" if found.fresh else "up to date"
    percent = f"{100 * active.run.step // active.run.steps} %" if active and active.run.steps else "…"
    return [
        Station("Label", f"{tally.todo:,}", f"to label, {tally.labeled:,} labeled", "Label", tally.total > 0),
        Station("Review", f"{waiting:,}", f"to review, {tally.accepted:,} accepted", "Review", waiting > 0),
        Station("Snapshot", f"v{newest.version}", frozen, "Datasets")
        if newest
        else Station("Snapshot", "–", f"from {FIRST_RUN} accepted pairs", "Datasets", False),
        Station("Train", percent, f"run {active.run.number} is {active.run.state}", "Train")
        if active
        else Station("Train", f"{found.runs:,}", "run" if found.runs == 1 else "runs", "Train", found.runs > 0),
        Station("Verdict", _VERDICTS[judged.kind][0], f"run {judged.run.number} against its base", "Evaluate")
        if judged
        else Station("Verdict", "–", "no run evaluated", "Evaluate", False),
        Station("In service", f"run {found.in_service}", f"{count(found.requests, 'request')} in 7 days", "Deploy")
        if found.in_service
        else Station("In service", "–", "nothing yet", "Deploy", False),
        Station("Feedback", f"{ratings:,}", f"{found.up:,} up, {found.down:,} down in 7 days", "Monitor", ratings > 0),
    ]


def sparkline(values: Sequence[float], words: str) -> str:
    """A small curve of a run's losses; '' of fewer than two."""
    if len(values) < 2:
        return '<span class="spark none"></span>'
    low, high = min(values), max(values)
    wide = (high - low) or 1.0
    points = " ".join(
        f"{2 + at / (len(values) - 1) * (_WIDTH - 4):.1f},{3 + (high - value) / wide * (_HEIGHT - 6):.1f}"
        for at, value in enumerate(values)
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(words)}" '
        f'preserveAspectRatio="none"><polyline points="{points}"/></svg>'
    )


def changes_of(found: Overview, sees_runs: bool) -> list[str]:
    """What came since the last visit, a line each."""
    came = found.changes
    if came is None:
        return []
    lines = [
        (came.imported, "example came in", "examples came in"),
        (came.answers, "answer by others", "answers by others"),
        (came.decisions, "example reviewed by others", "examples reviewed by others"),
        (came.votes, "vote by others", "votes by others"),
    ]
    if sees_runs:
        lines += [
            (came.snapshots, "snapshot frozen", "snapshots frozen"),
            (came.runs_done, "run finished", "runs finished"),
            (came.runs_failed, "run failed", "runs failed"),
            (came.requests, "request served", "requests served"),
            (came.alerts, "alert", "alerts"),
        ]
    return [count(number, one, many) for number, one, many in lines if number]


def _step_html(step: Step | None, quiet: str = "Nothing waits for you now.") -> str:
    if step is None:
        return f'<section class="next quietly"><p>{text(quiet)}</p></section>'
    return (
        f'<section class="next" aria-label="Next step"><p>{_part_html(step)}{text(step.sentence)}</p>'
        f"{_go(step.tab, step.button, 'first', step.run_id)}</section>"
    )


def _part_html(step: Step) -> str:
    """Which step of the guide it is, over the sentence."""
    return f'<span class="part">First visit · step {step.part} of {GUIDED}</span>' if step.part else ""


def _loop_html(loop: Sequence[Station], role: str) -> str:
    items = "".join(f"<li{'' if one.lit else ' class=dim'}>{_station(one, role)}</li>" for one in loop)
    return (
        f'<nav class="loop" aria-label="The loop"><ol>{items}</ol>'
        '<p class="back"><span>corrections, votes and feedback come back as labels</span></p></nav>'
    )


def _station(one: Station, role: str) -> str:
    inside = f"<span>{text(one.name)}</span><b>{text(one.figure)}</b><small>{text(one.words)}</small>"
    if role != "admin" and one.tab not in _REVIEWERS:
        return f'<div class="station">{inside}</div>'
    return f'<button type="button" class="station" data-go="{one.tab.lower()}">{inside}</button>'


def _runs_html(found: Overview) -> str:
    if not found.recent:
        return (
            '<section><h3>Recent runs</h3><p class="quiet">No run yet. A run makes a fine-tuned model of a snapshot: '
            "it stands here with its curve.</p></section>"
        )
    rows = "".join(_run_html(look) for look in found.recent)
    more = f'<p class="quiet">{count(found.runs, "run")} in all</p>' if found.runs > len(found.recent) else ""
    return f'<section><h3>Recent runs</h3><div class="list">{rows}</div>{more}</section>'


def _run_html(look: RunLook) -> str:
    run = look.run
    state = chip(run.state, _STATES.get(run.state, "busy"))
    verdict = chip(*_VERDICTS[look.kind]) if look.kind else ""
    ends = f"loss {look.losses[0]:.2f} → {look.losses[-1]:.2f}" if len(look.losses) > 1 else ""
    said = f"Training loss of run {run.number}: {ends}" if ends else ""
    return (
        f'<button type="button" class="item run" data-go="train" data-run="{text(run.id)}">'
        f'<span class="about"><span class="head"><b>Run {run.number}</b> {verdict or state}</span>'
        f'<span class="line">{text(ends) or text(run.state)} · {moment(run.created_at)}</span></span>'
        f"{sparkline(look.losses, said)}</button>"
    )


def _since_html(found: Overview, sees_runs: bool) -> str:
    lines = changes_of(found, sees_runs)
    if found.since is None:
        words = '<p class="quiet">This is your first look at this project. Next time, what is new stands here.</p>'
    elif not lines:
        words = f'<p class="quiet">Nothing new since {moment(found.since)}.</p>'
    else:
        items = "".join(f"<li>{text(line)}</li>" for line in lines)
        words = f'<ul class="new">{items}</ul><p class="quiet">since {moment(found.since)}</p>'
    return f"<section><h3>Since your last visit</h3>{words}</section>"


def _go(tab: str, words: str, kind: str, run_id: str = "") -> str:
    run = f' data-run="{text(run_id)}"' if run_id else ""
    return f'<button type="button" class="go {kind}" data-go="{tab.lower()}"{run}>{text(words)}</button>'
