"""What the Preflight tab shows of a check: the sentence on top, findings with what can be done, steps that were done.

Data in, HTML out, so it is tested without a browser. The rows of a finding are in preflight_rows, the pictures in
components.preflight_figures.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from storage.records import Project
from studio.contract.preflight import CHECKS, Finding, Report
from studio.data.repairing import Repair
from studio.jobs.preflighting import Look, Target
from studio.ui.components.html import bar, chip, count, empty, moment, notice, text
from studio.ui.components.preflight_figures import figure_tables, histogram, shown_rows
from studio.ui.preflight_rows import RowsPage, rows_html

_GROUPS = (("error", "To mend before training"), ("warning", "Worth a look"), ("note", "Good to know"))
_DOINGS = {
    "drop": ("Drop", "Leave these rows out of the queue and of later snapshots"),
    "redact": ("Redact", "Write placeholders over what was found"),
    "edit": ("Take the fix", "Write the mended texts shown below"),
    "back": ("Back to the queue", "Have them labeled again"),
    "augment": ("Make copies", "Add labeled copies with the terms swapped"),
}
DONE = {
    "drop": "Dropped",
    "redact": "Redacted",
    "edit": "Edited",
    "back": "Put back",
    "augment": "Copied",
}
BEFORE = empty(
    "Nothing checked yet",
    "Choose what to check and the base model, then press Check: tokens, duplicates, leaks, labels, languages, personal "
    "data, secrets and bias, before any GPU time.",
)
CHECKING = empty(
    "Checking", "The report appears here. You can go on with other work: the check does not need this page."
)
NO_PROJECT = empty("No project chosen", "Choose one above, or create one in the Projects tab.")


@dataclass(frozen=True)
class View:
    """What of a report is open: a finding's place (-1 for none), the page of its rows, the example being edited; and
    `of` which data, None before any was shown."""

    finding: int = -1
    page: int = 1
    editing: str = ""
    of: Target | None = None

    def for_data(self, target: Target) -> View:
        """The same for the data that it is of; all closed for other data. So a refresh that comes late, behind a change
        of project, closes nothing that was opened meanwhile."""
        return replace(self, of=target) if self.of in (None, target) else View(of=target)


def steps_since(look: Look, steps: Sequence[Repair]) -> list[Repair]:
    """The repairs since a check was started that stand."""
    return [step for step in steps if look.about and step.undone_at is None and step.created_at >= look.about.at]


def report_html(
    project: Project,
    look: Look,
    view: View,
    rows: RowsPage | None,
    steps: Sequence[Repair],
    touched: Collection[str] = (),
) -> str:
    """The whole report; `rows` are those of the open finding, `steps` the repairs of the project, newest first;
    `touched` the examples that are not any more what the check saw."""
    report = look.report
    assert report is not None and look.about is not None
    since = steps_since(look, steps)
    parts = [_head(look, report), _changed(look, since)]
    for severity, title in _GROUPS:
        found = [(at, one) for at, one in enumerate(report.findings) if one.severity == severity]
        if found:
            items = "".join(_finding(project, at, one, view, rows, since) for at, one in found)
            parts.append(f"<h3>{title}</h3>{items}")
    return f'<div class="pf">{"".join(parts)}{_sees(report, touched)}{figure_tables(report.figures)}</div>'


def state_html(look: Look) -> str:
    """How a check goes, or why there is no report."""
    if look.state == "running":
        return bar(look.fraction, f"{look.words} · {100 * look.fraction:.0f} %")
    return notice("bad" if look.state == "failed" else "warn", look.words) if look.words else ""


def verdict(report: Report) -> str:
    """One sentence: what stands between this data and a good run."""
    errors = [one for one in report.findings if one.severity == "error"]
    others = len(report.findings) - len(errors)
    rows = count(report.rows, "row")
    if not report.findings:
        return f"Nothing found: these {rows} are ready to train on."
    if not errors:
        verb = "is" if others == 1 else "are"
        return f"Nothing stands between these {rows} and a good run; {count(others, 'thing')} {verb} worth a look."
    names = [CHECKS.get(one.check, one.check).lower() for one in errors]
    verb = "stands" if len(names) == 1 else "stand"
    return f"{count(len(names), 'thing')} {verb} between these {rows} and a good run: {', '.join(names)}."


def brief(report: Report) -> str:
    """The findings of a snapshot in a line, folded out to their sentences, for the Train tab."""
    if not report.findings:
        return f"<p class='quiet'>{chip('no findings', 'good')} Preflight found nothing.</p>"
    errors = sum(one.severity == "error" for one in report.findings)
    mark = chip(f"{errors} to mend", "bad") if errors else ""
    lines = "".join(f"<li>{text(one.text)}</li>" for one in report.findings)
    return (
        f'<details class="why pf-brief"><summary>{count(len(report.findings), "finding")} {mark}</summary>'
        f"<ul>{lines}</ul></details>"
    )


def steps_html(steps: Sequence[Repair]) -> str:
    """What was done, newest first, each with its undo."""
    if not steps:
        return ""
    items = "".join(
        f'<li class="{"undone" if step.undone_at else ""}"><div><b>{DONE.get(step.kind, text(step.kind))} '
        f"{count(step.rows, 'row')}</b> <span>{text(step.reason)}</span></div><div class='line'>{text(step.user)}, "
        f"{moment(step.created_at)}{_undo(step)}</div></li>"
        for step in steps
    )
    return f'<h3>Steps</h3><ol class="pf-steps">{items}</ol>'


def _undo(step: Repair) -> str:
    if step.undone_at:
        return f" {chip('undone')}"
    return (
        f' <button type="button" class="find-do" data-act="undo" data-number="{step.number}" '
        f'data-key="undo-{step.number}" aria-label="Undo step {step.number}">Undo</button>'
    )


def _head(look: Look, report: Report) -> str:
    assert look.about is not None
    kinds = {"error": "bad", "warning": "warn", "note": "busy"}
    counts = [(name, sum(one.severity == name for one in report.findings)) for name in kinds]
    marks = " ".join(chip(count(number, name), kinds[name]) for name, number in counts if number)
    model = f"{text(report.model)}, {look.about.max_length:,} tokens" if report.model else "without a model"
    splits = " · ".join(f"{number:,} {text(name)}" for name, number in report.splits.items() if name)
    problem = notice("warn", report.model_problem) if report.model_problem else ""
    return (
        f'<header class="pf-verdict"><h2 class="title">{text(verdict(report))}</h2><p class="quiet">{marks} '
        f"{count(report.rows, 'row')}{f' ({splits})' if splits else ''} · {model} · {moment(look.about.at)}</p>"
        f"</header>{problem}"
    )


def _changed(look: Look, since: Sequence[Repair]) -> str:
    assert look.about is not None
    freeze = '<button type="button" class="find-do" data-act="freeze" data-key="freeze">Freeze a new snapshot</button>'
    if look.about.snapshot_id and since:
        verb = "has" if len(since) == 1 else "have"
        said = f"{count(len(since), 'step')} {verb} changed the project; this snapshot stays as it is."
        return f'<div class="notice busy"><p>{said} {freeze}</p></div>'
    if not look.about.snapshot_id and look.changed:
        said = "The data has changed since this check: check again to see what is left."
        return f'<div class="notice busy"><p>{said} {freeze if since else ""}</p></div>'
    return ""


def _finding(
    project: Project, at: int, finding: Finding, view: View, rows: RowsPage | None, since: Sequence[Repair]
) -> str:
    opened = view.finding == at and rows is not None
    name = CHECKS.get(finding.check, finding.check)
    head = (
        f'<button type="button" class="pf-head" data-act="open" data-key="finding-{at}" aria-expanded='
        f'"{"true" if opened else "false"}"><span class="pf-name"><b>{text(name)}</b> {chip(f"{finding.count:,}")}'
        f'</span><span class="line">{text(finding.text)}</span></button>'
    )
    body = ""
    if opened and rows is not None:
        done = [step for step in since if step.reason == name]
        body = (
            f'<div class="pf-body">{_done(done)}{_doings(finding, rows)}{rows_html(project, rows, view.editing)}</div>'
        )
    return f'<section class="pf-finding {finding.severity}" data-finding="{at}">{head}{body}</section>'


def _done(steps: Sequence[Repair]) -> str:
    return "".join(
        f'<p class="pf-did">{DONE.get(step.kind, text(step.kind))} {count(step.rows, "row")}.{_undo(step)}</p>'
        for step in steps
    )


def _doings(finding: Finding, rows: RowsPage) -> str:
    written = ("redact", "edit", "augment")
    offered = [kind for kind in finding.repairs if kind in _DOINGS and (kind not in written or rows.proposed)]
    if not offered or not rows.total:
        return ""
    buttons = "".join(
        f'<button type="button" class="find-do {"first" if number == 0 else ""}" data-act="{kind}" '
        f'data-key="do-{kind}" title="{_DOINGS[kind][1]}">{_DOINGS[kind][0]}</button>'
        for number, kind in enumerate(offered)
    )
    every = f"All {count(rows.total, 'row')}" if rows.total > 1 else "This row"
    return f'<div class="pf-acts"><output data-all="{every}">{every}</output>{buttons}</div>'


def _sees(report: Report, touched: Collection[str]) -> str:
    """Lengths and rendered rows, but for rows that were repaired: what was redacted is not shown here either."""
    lengths = histogram(report.lengths) if report.lengths else ""
    kept = [row for row in report.shown if row.example_id not in touched]
    shown = shown_rows(kept)
    if not (lengths or shown):
        return ""
    gone = len(report.shown) - len(kept)
    verb = "was" if gone == 1 else "were"
    old = f"<p class='quiet'>{count(gone, 'row')} {verb} repaired since: check again to see them.</p>" if gone else ""
    return f"<h3>What the model will see</h3>{lengths}{shown}{old}"
