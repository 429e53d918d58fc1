"""The HTML of Home: the next step, the loop with its counts, recent runs as small curves, what came since last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from studio.data.projects import TASKS
from studio.jobs.next_step import FIRST_RUN, GUIDED, Step
from studio.jobs.overview import Overview, RunLook
from studio.language import mark, tr, trn
from studio.ui.components.html import chip, moment, text

_WIDTH, _HEIGHT = 132, 36
_STATES = {"done": "good", "failed": "bad", "stopped": "warn", "waiting": "", "paused": "warn"}
_VERDICTS = {
    "better": (mark("better"), "good"),
    "worse": (mark("worse"), "bad"),
    "unshown": (mark("no difference shown"), ""),
    "same": (mark("no difference"), ""),
    "unknown": (mark("cannot be told"), ""),
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
        words = tr("Nobody has made a project yet. Once there is one, what you can do stands here.")
        return f'<div class="home"><h2 class="title">{tr("Welcome")}</h2><p class="quiet">{words}</p></div>'
    title = tr("No project in hand") if others else tr("Welcome")
    steps = (
        (tr("Label"), tr("People write the answers a model should give, or correct drafts of it.")),
        (tr("Train"), tr("One click makes a fine-tuned model of the accepted pairs, on this machine.")),
        (tr("Judge"), tr("Base and fine-tuned answers side by side, with a verdict that says what is chance.")),
        (tr("Serve"), tr("The better one goes into service, and what it is asked comes back to be labeled.")),
    )
    items = "".join(f"<li><b>{name}</b><span>{text(words)}</span></li>" for name, words in steps)
    about = tr("A project is one task with its people, examples and models. It goes around a loop:")
    sample = tr(
        "The sample takes five minutes: write three answers beside sixty others, train a small model on them here, "
        "and read its answer beside the base model's. Or {make_one}.",
        make_one=_go("Projects", tr("make a project of your own"), "link"),
    )
    return (
        f'<div class="home welcome"><header><h2 class="title">{title}</h2><p class="quiet">{about}</p></header>'
        f'<ol class="ways">{items}</ol><p class="quiet">{sample}</p></div>'
    )


def home_html(found: Overview, step: Step | None, role: str) -> str:
    """A project's Home for those who run it or review in it."""
    sees_runs = role == "admin"
    project = found.project
    about = f"{tr(TASKS[project.task])} · {trn('{count:,} example', '{count:,} examples', found.tally.total)}"
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
    quiet = tr("All done here. Thank you; new ones will stand here.")
    facts = (
        (tr("Left to label"), tr("{count:,}", count=found.left)),
        (tr("Your last 24 hours"), trn("{count:,} answer", "{count:,} answers", found.today)),
        (tr("Labeled by all"), tr("{count:,}", count=found.tally.labeled)),
    )
    shown = "".join(f"<div><dt>{name}</dt><dd>{figure}</dd></div>" for name, figure in facts)
    return (
        f'<div class="home"><header><h2 class="title">{text(found.project.name)}</h2></header>'
        f'{_step_html(step, quiet)}<dl class="facts">{shown}</dl></div>'
    )


def stations(found: Overview) -> list[Station]:
    """The loop's stations with their counts, in its order."""
    tally = found.tally
    waiting, ratings = tally.pending + tally.flagged, found.up + found.down
    labeled = tr("to label, {labeled:,} labeled", labeled=tally.labeled)
    accepted = tr("to review, {accepted:,} accepted", accepted=tally.accepted)
    rated = tr("{up:,} up, {down:,} down in 7 days", up=found.up, down=found.down)
    return [
        Station(tr("Label"), tr("{count:,}", count=tally.todo), labeled, "Label", tally.total > 0),
        Station(tr("Review"), tr("{count:,}", count=waiting), accepted, "Review", waiting > 0),
        _frozen(found),
        _trained(found),
        _judged(found),
        _in_service(found),
        Station(tr("Feedback"), tr("{count:,}", count=ratings), rated, "Monitor", ratings > 0),
    ]


def _frozen(found: Overview) -> Station:
    if not found.newest:
        return Station(tr("Snapshot"), "–", tr("from {count} accepted pairs", count=FIRST_RUN), "Datasets", False)
    new = trn("{count:,} new pair since", "{count:,} new pairs since", found.fresh) if found.fresh else tr("up to date")
    return Station(tr("Snapshot"), f"v{found.newest.version}", new, "Datasets")


def _trained(found: Overview) -> Station:
    active = next((look.run for look in found.recent if look.active), None)
    if not active:
        runs = trn("run", "runs", found.runs)
        return Station(tr("Train"), tr("{count:,}", count=found.runs), runs, "Train", found.runs > 0)
    percent = f"{100 * active.step // active.steps} %" if active.steps else "…"
    words = tr("run {number} is {state}", number=active.number, state=tr(active.state))
    return Station(tr("Train"), percent, words, "Train")


def _judged(found: Overview) -> Station:
    judged = next((look for look in found.recent if look.kind), None)
    if not judged:
        return Station(tr("Verdict"), "–", tr("no run evaluated"), "Evaluate", False)
    words = tr("run {number} against its base", number=judged.run.number)
    return Station(tr("Verdict"), tr(_VERDICTS[judged.kind][0]), words, "Evaluate")


def _in_service(found: Overview) -> Station:
    if not found.in_service:
        return Station(tr("In service"), "–", tr("nothing yet"), "Deploy", False)
    asked = trn("{count:,} request in 7 days", "{count:,} requests in 7 days", found.requests)
    return Station(tr("In service"), tr("run {number}", number=found.in_service), asked, "Deploy")


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
        (came.imported, trn("{count:,} example came in", "{count:,} examples came in", came.imported)),
        (came.answers, trn("{count:,} answer by others", "{count:,} answers by others", came.answers)),
        (
            came.decisions,
            trn("{count:,} example reviewed by others", "{count:,} examples reviewed by others", came.decisions),
        ),
        (came.votes, trn("{count:,} vote by others", "{count:,} votes by others", came.votes)),
    ]
    if sees_runs:
        lines += [
            (came.snapshots, trn("{count:,} snapshot frozen", "{count:,} snapshots frozen", came.snapshots)),
            (came.runs_done, trn("{count:,} run finished", "{count:,} runs finished", came.runs_done)),
            (came.runs_failed, trn("{count:,} run failed", "{count:,} runs failed", came.runs_failed)),
            (came.requests, trn("{count:,} request served", "{count:,} requests served", came.requests)),
            (came.alerts, trn("{count:,} alert", "{count:,} alerts", came.alerts)),
        ]
    return [words for number, words in lines if number]


def _step_html(step: Step | None, quiet: str = "") -> str:
    if step is None:
        words = quiet or tr("Nothing waits for you now.")
        return f'<section class="next quietly"><p>{text(words)}</p></section>'
    return (
        f'<section class="next" aria-label="{tr("Next step")}"><p>{_part_html(step)}{text(step.sentence)}</p>'
        f"{_go(step.tab, step.button, 'first', step.run_id)}</section>"
    )


def _part_html(step: Step) -> str:
    """Which step of the guide it is, over the sentence."""
    if not step.part:
        return ""
    return f'<span class="part">{tr("First visit · step {part} of {all}", part=step.part, all=GUIDED)}</span>'


def _loop_html(loop: Sequence[Station], role: str) -> str:
    items = "".join(f"<li{'' if one.lit else ' class=dim'}>{_station(one, role)}</li>" for one in loop)
    return (
        f'<nav class="loop" aria-label="{tr("The loop")}"><ol>{items}</ol>'
        f'<p class="back"><span>{tr("corrections, votes and feedback come back as labels")}</span></p></nav>'
    )


def _station(one: Station, role: str) -> str:
    inside = f"<span>{text(one.name)}</span><b>{text(one.figure)}</b><small>{text(one.words)}</small>"
    if role != "admin" and one.tab not in _REVIEWERS:
        return f'<div class="station">{inside}</div>'
    return f'<button type="button" class="station" data-go="{one.tab.lower()}">{inside}</button>'


def _runs_html(found: Overview) -> str:
    title = f"<h3>{tr('Recent runs')}</h3>"
    if not found.recent:
        words = tr("No run yet. A run makes a fine-tuned model of a snapshot: it stands here with its curve.")
        return f'<section>{title}<p class="quiet">{words}</p></section>'
    rows = "".join(_run_html(look) for look in found.recent)
    more = trn("{count:,} run in all", "{count:,} runs in all", found.runs)
    more = f'<p class="quiet">{more}</p>' if found.runs > len(found.recent) else ""
    return f'<section>{title}<div class="list">{rows}</div>{more}</section>'


def _run_html(look: RunLook) -> str:
    run = look.run
    state = chip(tr(run.state), _STATES.get(run.state, "busy"))
    words, kind = _VERDICTS.get(look.kind, ("", ""))
    verdict = chip(tr(words), kind) if words else ""
    ends = ""
    if len(look.losses) > 1:
        ends = tr("loss {first:.2f} → {last:.2f}", first=look.losses[0], last=look.losses[-1])
    said = tr("Training loss of run {number}: {ends}", number=run.number, ends=ends) if ends else ""
    return (
        f'<button type="button" class="item run" data-go="train" data-run="{text(run.id)}">'
        f'<span class="about"><span class="head"><b>{tr("Run {number}", number=run.number)}</b> '
        f"{verdict or state}</span>"
        f'<span class="line">{text(ends) or text(tr(run.state))} · {moment(run.created_at)}</span></span>'
        f"{sparkline(look.losses, said)}</button>"
    )


def _since_html(found: Overview, sees_runs: bool) -> str:
    lines = changes_of(found, sees_runs)
    if found.since is None:
        first = tr("This is your first look at this project. Next time, what is new stands here.")
        words = f'<p class="quiet">{first}</p>'
    elif not lines:
        words = f'<p class="quiet">{tr("Nothing new since {when}.", when=moment(found.since))}</p>'
    else:
        items = "".join(f"<li>{text(line)}</li>" for line in lines)
        since = tr("since {when}", when=moment(found.since))
        words = f'<ul class="new">{items}</ul><p class="quiet">{since}</p>'
    return f"<section><h3>{tr('Since your last visit')}</h3>{words}</section>"


def _go(tab: str, words: str, kind: str, run_id: str = "") -> str:
    run = f' data-run="{text(run_id)}"' if run_id else ""
    return f'<button type="button" class="go {kind}" data-go="{tab.lower()}"{run}>{text(words)}</button>'
