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
from studio.jobs.preflight_said import retold
from studio.jobs.preflighting import Look, Target
from studio.language import mark, tr, trn
from studio.ui.components.html import bar, chip, empty, moment, notice, number, text
from studio.ui.components.preflight_figures import figure_tables, histogram, shown_rows
from studio.ui.preflight_rows import RowsPage, rows_html

_GROUPS = (
    ("error", mark("To mend before training")),
    ("warning", mark("Worth a look")),
    ("note", mark("Good to know")),
)
_DOINGS = {
    "drop": (mark("Drop"), mark("Leave these rows out of the queue and of later snapshots")),
    "redact": (mark("Redact"), mark("Write placeholders over what was found")),
    "edit": (mark("Take the fix"), mark("Write the mended texts shown below")),
    "back": (mark("Back to the queue"), mark("Have them labeled again")),
    "augment": (mark("Make copies"), mark("Add labeled copies with the terms swapped")),
}
DONE = {
    "drop": mark("Dropped"),
    "redact": mark("Redacted"),
    "edit": mark("Edited"),
    "back": mark("Put back"),
    "augment": mark("Copied"),
}


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


def before() -> str:
    """What stands where nothing was checked yet."""
    how = tr(
        "Choose what to check and the base model, then press Check: tokens, duplicates, leaks, labels, languages, "
        "personal data, secrets and bias, before any GPU time."
    )
    return empty(tr("Nothing checked yet"), how)


def checking() -> str:
    """What stands where the report of a running check will."""
    words = tr("The report appears here. You can go on with other work: the check does not need this page.")
    return empty(tr("Checking"), words)


def no_project() -> str:
    """What stands where no project is in hand."""
    return empty(tr("No project chosen"), tr("Choose one above, or create one in the Projects tab."))


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
            parts.append(f"<h3>{text(tr(title))}</h3>{items}")
    return f'<div class="pf">{"".join(parts)}{_sees(report, touched)}{figure_tables(report.figures)}</div>'


def state_html(look: Look) -> str:
    """How a check goes, or why there is no report."""
    if look.state == "running":
        done = tr("{percent:.0f} %", percent=100 * look.fraction)
        return bar(look.fraction, f"{retold(look.words)} · {done}")
    return notice("bad" if look.state == "failed" else "warn", retold(look.words)) if look.words else ""


def verdict(report: Report) -> str:
    """One sentence: what stands between this data and a good run."""
    errors = [one for one in report.findings if one.severity == "error"]
    others = len(report.findings) - len(errors)
    if not report.findings:
        return trn(
            "Nothing found: these {count:,} row are ready to train on.",
            "Nothing found: these {count:,} rows are ready to train on.",
            report.rows,
        )
    rows = trn("{count:,} row", "{count:,} rows", report.rows)
    if not errors:
        things = trn("{count:,} thing is worth a look", "{count:,} things are worth a look", others)
        return tr("Nothing stands between these {rows} and a good run; {things}.", rows=rows, things=things)
    return trn(
        "{count:,} thing stands between these {rows} and a good run: {names}.",
        "{count:,} things stand between these {rows} and a good run: {names}.",
        len(errors),
        rows=rows,
        names=", ".join(_within(CHECKS.get(one.check, one.check)) for one in errors),
    )


def _within(name: str) -> str:
    """A check's name within a sentence; a translation stays as it is, as German nouns are written large."""
    shown = tr(name)
    return shown.lower() if shown == name else shown


def brief(report: Report) -> str:
    """The findings of a snapshot in a line, folded out to their sentences, for the Train tab."""
    if not report.findings:
        said = text(tr("Preflight found nothing."))
        return f"<p class='quiet'>{chip(tr('no findings'), 'good')} {said}</p>"
    errors = sum(one.severity == "error" for one in report.findings)
    chips = chip(tr("{count} to mend", count=errors), "bad") if errors else ""
    found = text(trn("{count:,} finding", "{count:,} findings", len(report.findings)))
    lines = "".join(f"<li>{text(retold(one.text))}</li>" for one in report.findings)
    return f'<details class="why pf-brief"><summary>{found} {chips}</summary><ul>{lines}</ul></details>'


def steps_html(steps: Sequence[Repair]) -> str:
    """What was done, newest first, each with its undo."""
    if not steps:
        return ""
    items = "".join(
        f'<li class="{"undone" if step.undone_at else ""}"><div><b>{text(_did(step))}</b> '
        f"<span>{text(tr(step.reason))}</span></div><div class='line'>{text(step.user)}, "
        f"{moment(step.created_at)}{_undo(step)}</div></li>"
        for step in steps
    )
    return f'<h3>{text(tr("Steps"))}</h3><ol class="pf-steps">{items}</ol>'


def _did(step: Repair) -> str:
    rows = trn("{count:,} row", "{count:,} rows", step.rows)
    return tr("{done} {rows}", done=tr(DONE.get(step.kind, step.kind)), rows=rows)


def _undo(step: Repair) -> str:
    if step.undone_at:
        return f" {chip(tr('undone'))}"
    label, undo = text(tr("Undo step {number}", number=step.number)), text(tr("Undo"))
    return (
        f' <button type="button" class="find-do" data-act="undo" data-number="{step.number}" '
        f'data-key="undo-{step.number}" aria-label="{label}">{undo}</button>'
    )


def _head(look: Look, report: Report) -> str:
    assert look.about is not None
    kinds = {"error": "bad", "warning": "warn", "note": "busy"}
    counts = [(name, sum(one.severity == name for one in report.findings)) for name in kinds]
    marks = " ".join(chip(_severe(name, found), kinds[name]) for name, found in counts if found)
    model = tr("without a model")
    if report.model:
        model = tr("{model}, {length:,} tokens", model=report.model, length=look.about.max_length)
    splits = " · ".join(f"{number(rows)} {tr(name)}" for name, rows in report.splits.items() if name)
    rows = trn("{count:,} row", "{count:,} rows", report.rows) + (f" ({splits})" if splits else "")
    problem = notice("warn", retold(report.model_problem)) if report.model_problem else ""
    return (
        f'<header class="pf-verdict"><h2 class="title">{text(verdict(report))}</h2><p class="quiet">{marks} '
        f"{text(rows)} · {text(model)} · {moment(look.about.at)}</p></header>{problem}"
    )


def _severe(name: str, found: int) -> str:
    """How many findings there are of a severity, in words."""
    return {
        "error": trn("{count:,} error", "{count:,} errors", found),
        "warning": trn("{count:,} warning", "{count:,} warnings", found),
        "note": trn("{count:,} note", "{count:,} notes", found),
    }[name]


def _changed(look: Look, since: Sequence[Repair]) -> str:
    assert look.about is not None
    words = text(tr("Freeze a new snapshot"))
    freeze = f'<button type="button" class="find-do" data-act="freeze" data-key="freeze">{words}</button>'
    if look.about.snapshot_id and since:
        said = trn(
            "{count:,} step has changed the project; this snapshot stays as it is.",
            "{count:,} steps have changed the project; this snapshot stays as it is.",
            len(since),
        )
        return f'<div class="notice busy"><p>{text(said)} {freeze}</p></div>'
    if not look.about.snapshot_id and look.changed:
        said = tr("The data has changed since this check: check again to see what is left.")
        return f'<div class="notice busy"><p>{text(said)} {freeze if since else ""}</p></div>'
    return ""


def _finding(
    project: Project, at: int, finding: Finding, view: View, rows: RowsPage | None, since: Sequence[Repair]
) -> str:
    opened = view.finding == at and rows is not None
    name = CHECKS.get(finding.check, finding.check)
    head = (
        f'<button type="button" class="pf-head" data-act="open" data-key="finding-{at}" aria-expanded='
        f'"{"true" if opened else "false"}"><span class="pf-name"><b>{text(tr(name))}</b> {chip(number(finding.count))}'
        f'</span><span class="line">{text(retold(finding.text))}</span></button>'
    )
    body = ""
    if opened and rows is not None:
        done = [step for step in since if step.reason == name]
        body = (
            f'<div class="pf-body">{_done(done)}{_doings(finding, rows)}{rows_html(project, rows, view.editing)}</div>'
        )
    return f'<section class="pf-finding {finding.severity}" data-finding="{at}">{head}{body}</section>'


def _done(steps: Sequence[Repair]) -> str:
    return "".join(f'<p class="pf-did">{text(tr("{done}.", done=_did(step)))}{_undo(step)}</p>' for step in steps)


def _doings(finding: Finding, rows: RowsPage) -> str:
    written = ("redact", "edit", "augment")
    offered = [kind for kind in finding.repairs if kind in _DOINGS and (kind not in written or rows.proposed)]
    if not offered or not rows.total:
        return ""
    buttons = "".join(
        f'<button type="button" class="find-do {"first" if at == 0 else ""}" data-act="{kind}" '
        f'data-key="do-{kind}" title="{text(tr(_DOINGS[kind][1]))}">{text(tr(_DOINGS[kind][0]))}</button>'
        for at, kind in enumerate(offered)
    )
    every = text(tr("All {count:,} rows", count=rows.total) if rows.total > 1 else tr("This row"))
    return f'<div class="pf-acts"><output data-all="{every}">{every}</output>{buttons}</div>'


def _sees(report: Report, touched: Collection[str]) -> str:
    """Lengths and rendered rows, but for rows that were repaired: what was redacted is not shown here either."""
    lengths = histogram(report.lengths) if report.lengths else ""
    kept = [row for row in report.shown if row.example_id not in touched]
    shown = shown_rows(kept)
    if not (lengths or shown):
        return ""
    gone = len(report.shown) - len(kept)
    said = trn(
        "{count:,} row was repaired since: check again to see them.",
        "{count:,} rows were repaired since: check again to see them.",
        gone,
    )
    old = f"<p class='quiet'>{text(said)}</p>" if gone else ""
    return f"<h3>{text(tr('What the model will see'))}</h3>{lengths}{shown}{old}"
