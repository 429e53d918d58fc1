"""A retraining as a line of stations with where it stands, its decision as a sentence, and those before it; HTML."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import Run
from studio.deploy.retraining import STEPS, WORDS
from studio.deploy.rules import Retraining
from studio.deploy.sentences import MESSAGES, REASONS, retold
from studio.language import mark, tr, trn
from studio.ui.components.html import bar, chip, empty, moment, notice, text

SHORT = {
    "snapshot": mark("Snapshot"),
    "preflight": mark("Preflight"),
    "train": mark("Train"),
    "evaluate": mark("Evaluate"),
    "evaluate-champion": mark("Evaluate production"),
    "decide": mark("Decide"),
}
"""What a station is called."""

_KINDS = {"promoted": "good", "kept": "warn", "failed": "bad", "cancelled": "warn"}


def retraining_html(found: Retraining | None, run: Run | None) -> str:
    """The newest retraining; `run`: the one that it trains or trained, None before there is one."""
    if found is None:
        return _never()
    ended = found.ended_at is not None
    state = _words(found)
    begun = tr("Begun {when}: {reasons}", when=moment(found.created_at), reasons=text(_reasons(found)))
    trains = " " + tr("It trains run {number}.", number=run.number) if run and not ended else ""
    head = f"<h3>{_name(found)} {chip(state, _KINDS.get(found.step, 'busy'))}</h3><p class='quiet'>{begun}{trains}</p>"
    if ended:
        said = retold(found.message, MESSAGES) or state
        return f"{head}{_line(found, run)}{notice(_KINDS.get(found.step, 'warn'), said)}"
    at = tr("{state} since {when}.", state=text(state), when=moment(found.step_at))
    since = f"<p class='quiet'>{at} {text(retold(found.message, MESSAGES))}</p>"
    return f"{head}{_line(found, run)}{_progress(found, run) or since}"


def _never() -> str:
    return empty(
        tr("Never retrained"),
        tr(
            "Retrain by hand, or switch a rule on. Train the project once by hand first: a retraining takes that run's "
            "base model and settings."
        ),
    )


def _name(found: Retraining) -> str:
    return tr("Retraining {number}", number=found.number)


def _words(found: Retraining) -> str:
    return tr(WORDS.get(found.step, found.step))


def _reasons(found: Retraining) -> str:
    return " ".join(retold(one, REASONS) for one in found.reasons)


def _progress(found: Retraining, run: Run | None) -> str:
    if found.step != "train" or run is None or not run.steps or run.state == "waiting":
        return ""
    told = tr("Training run {number}: step {step:,} of {steps:,}", number=run.number, step=run.step, steps=run.steps)
    return bar(run.step / run.steps, told)


def stations(found: Retraining, run: Run | None) -> list[tuple[str, str]]:
    """Each step with how it stands: done, now, ahead or ended (where a retraining that did not come through ended)."""
    steps = [step for step in STEPS if step != "evaluate-champion" or found.champion_id]
    at = _reached(found, run, steps)
    here = "now" if found.ended_at is None else "ended"
    return [(step, "done" if place < at else here if place == at else "ahead") for place, step in enumerate(steps)]


def _reached(found: Retraining, run: Run | None, steps: Sequence[str]) -> int:
    """The place of the step that a retraining is at, or ended at as far as its row says; all of them where it was
    decided."""
    if found.step in steps:
        return steps.index(found.step)
    if found.step == "promoted" or (found.step == "kept" and found.run_id):
        return len(steps)
    if not found.snapshot_id:
        return steps.index("snapshot")
    if not found.run_id:
        return steps.index("preflight")
    return steps.index("evaluate" if run is not None and run.state == "done" else "train")


def _line(found: Retraining, run: Run | None) -> str:
    items = "".join(
        f'<li class="{how}"{" aria-current=step" if how == "now" else ""}><i></i>'
        f"<span>{text(tr(SHORT.get(step, step)))}</span></li>"
        for step, how in stations(found, run)
    )
    end = ""
    if found.ended_at is not None:
        end = f'<li class="end {text(found.step)}"><i></i><span>{text(_words(found))}</span></li>'
    return f'<ol class="mon-stations">{items}{end}</ol>'


def history_html(before: Sequence[Retraining]) -> str:
    """The retrainings before the newest, folded."""
    if not before:
        return ""
    rows = "".join(
        f"<li><b>{_name(one)}</b> {chip(_words(one), _KINDS.get(one.step, ''))} "
        f"<span class='quiet'>{moment(one.created_at)}: {text(_reasons(one))}</span><br>"
        f"{text(retold(one.message, MESSAGES))}</li>"
        for one in before
    )
    told = trn("{count:,} retraining before", "{count:,} retrainings before", len(before))
    return f"<details class='why'><summary>{told}</summary><ul class='mon-history'>{rows}</ul></details>"
