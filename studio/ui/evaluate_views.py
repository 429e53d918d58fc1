"""What the Evaluate tab shows: the sentence first, then figures with intervals, wins and losses, and the parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from studio.contract.evaluation import ConfusionReport, EvalReport, MetricReport, SliceReport, WayReport
from studio.jobs.evaluating import EvalPage, EvalRow, Evaluated, Standing
from studio.jobs.evaluation_said import between, chance, duration, figure, retold, signed
from studio.jobs.judging import Agreement, Judging
from studio.language import mark, tr, trn
from studio.ui.components.html import bar, chip, empty, notice, table, text
from studio.ui.components.tables import interval
from studio.ui.components.words import word_diff
from studio.ui.evaluate_judge_views import judged_html, row_judged

PAGE_ROWS = 10
KINDS = {"better": "good", "worse": "bad", "unshown": "warn", "same": "", "unknown": "warn"}
_SAID = {
    "better": mark("better"),
    "worse": mark("worse"),
    "unshown": mark("no difference shown"),
    "same": mark("the same"),
    "unknown": mark("unclear"),
}
_OUTCOMES = {"": mark("All"), "win": mark("Wins"), "loss": mark("Losses"), "tie": mark("Ties")}
_ROW = {"win": mark("better"), "loss": mark("worse"), "tie": mark("equal")}
_COUNT = "{number:,}"
_TWO, _BECAME = "{value:.2f}", "{before:.2f} → {after:.2f}"
_MOST_CLASSES = 12
"""Classes of a confusion matrix that fits a screen."""


@dataclass(frozen=True)
class Rows:
    """The rows that are shown: a page of those with an outcome, from `start`; under row `asked` (from 1, 0 for none)
    stands `why`, HTML. `judging` is what a judge said of them, `agreed` how far people say the same."""

    page: EvalPage | None = None
    outcome: str = ""
    start: int = 0
    asked: int = 0
    why: str = ""
    judging: Judging | None = None
    agreed: Agreement | None = None


def no_project() -> str:
    """What stands there without a project."""
    return empty(tr("No project chosen"), tr("Choose a project above, or create one in the Projects tab."))


def no_run() -> str:
    """The same without a run."""
    what = tr("Train a run first: here it is held against its base on held-out rows.")
    return empty(tr("No run to evaluate yet"), what)


def not_yet() -> str:
    """The same of a run without a report."""
    what = tr(
        "Evaluate answers the held-out rows with the base model and with this run, and says what the difference is "
        "worth."
    )
    return empty(tr("Not evaluated yet"), what)


def state_html(standing: Standing) -> str:
    """How an evaluation stands: a bar while it answers, why it ended otherwise."""
    if standing.alive:
        return bar(standing.fraction, retold(standing.words))
    kind = {"failed": "bad", "stopped": "warn"}.get(standing.state)
    return notice(kind, retold(standing.words)) if kind else ""


def report_html(report: EvalReport, rows: Rows) -> str:
    """The whole report of a run."""
    parts = [
        verdict_html(report),
        metrics_html(report),
        ways_html(report.ways, report.advice),
        judged_html(rows.judging, rows.agreed) if rows.judging else "",
        rows_html(rows, rows.page) if rows.page else "",
        further_html(report),
        slices_html(report.slices, report),
        classes_html(report),
        confusion_html(report.confusion),
        _foot(report),
    ]
    return f'<div class="verdict-report">{"".join(parts)}</div>'


def verdict_html(report: EvalReport) -> str:
    """The sentence, and how likely such a difference is by chance."""
    verdict = report.verdict
    lead = report.metrics[verdict.metric]
    likely = tr("A difference this large by chance: {chance}", chance=chance(lead.p)) if lead.p is not None else ""
    shares = ""
    if verdict.wins is not None and verdict.losses is not None and verdict.ties is not None:
        parts = [("win", verdict.wins), ("tie", verdict.ties), ("loss", verdict.losses)]
        fell = {"wins": verdict.wins, "ties": verdict.ties, "losses": verdict.losses}
        words = tr("{wins} better, {ties} equal, {losses} worse", **fell)
        shares = f'<div class="outcome-bar" role="img" aria-label="{text(words)}">' + "".join(
            f'<i class="{name}" style="flex:{number}"></i>' for name, number in parts if number
        )
        by = tr("{rows} · by {metric}.", rows=words, metric=tr(lead.title))
        shares += f'</div><p class="quiet">{text(by)} {text(likely)}</p>'
    against = ""
    if report.base_is == "majority":
        against = notice("busy", tr(
            "The base was never trained on these labels; what always says the most frequent one stands in its place."
        ))  # fmt: skip
    notes = "".join(notice("warn", retold(note)) for note in report.notes)
    return f'<h2 class="verdict {verdict.kind}">{text(retold(verdict.sentence))}</h2>{shares}{against}{notes}'


def metrics_html(report: EvalReport) -> str:
    """Each metric: base, tuned, and the difference as a bar with zero in the middle."""
    said = Counter(one.reason for one in report.metrics.values() if one.reason)
    shared = {reason for reason, times in said.items() if times > 1}  # said once, below
    rows = "".join(_metric_row(one, shared) for one in report.metrics.values())
    notes = "".join(f'<p class="quiet">{text(retold(reason))}</p>' for reason in said if reason in shared)
    names = [tr("Metric"), tr("Base"), tr("Tuned"), tr("Difference (95 %)"), "p"]
    sides = ("", "num", "num", "", "num")
    head = "".join(f'<th scope="col" class="{side}">{text(name)}</th>' for name, side in zip(names, sides, strict=True))
    return _section(
        tr("Metrics"),
        f'<div class="table figures"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}',
    )


def _metric_row(one: MetricReport, shared: Collection[str]) -> str:
    shown = between(one.low, one.high)
    drawn = ""
    if one.low is not None and one.high is not None:
        most = max(abs(one.low), abs(one.high), abs(one.difference), 1e-9) * 1.15
        drawn = interval(one.low, one.difference, one.high, -most, most)
    arrow = "" if one.higher else f' <small class="quiet">{text(tr("less is better"))}</small>'
    own = one.reason if one.reason not in shared else ""
    care = f'<br><small class="quiet">{text(retold(own))}</small>' if own else ""
    return (
        f'<tr><th scope="row">{text(tr(one.title))}{arrow}</th><td class="num">{figure(one.base)}</td>'
        f'<td class="num">{figure(one.tuned)}</td><td>{drawn} <span class="between"><b>{signed(one.difference)}</b> '
        f'<span class="quiet">{shown}</span></span>{care}</td><td class="num">{chance(one.p)}</td></tr>'
    )


def ways_html(ways: Sequence[WayReport], advice: str) -> str:
    """Whether fine-tuning is worth it: what each way of asking gives and costs."""
    if not ways:
        return ""
    head = [tr("Way"), tr("Result (95 %)"), tr("Time an answer"), tr("Tokens, prompt + answer"), tr("Training")]
    shown = table(head, [_way(way) for way in ways], (1, 2, 3, 4))
    return _section(tr("Is fine-tuning worth it?"), f"<p>{text(retold(advice))}</p>{shown}")


def _way(way: WayReport) -> list[str]:
    words = retold(way.words)
    known = "" if way.low is None else f" ({figure(way.low)}–{figure(way.high)})"
    quick = way.seconds < 0.005
    return [
        words[:1].upper() + words[1:],
        f"{figure(way.value)}{known}",
        tr("under {seconds:.2f} s", seconds=0.01) if quick else tr("{seconds:.2f} s", seconds=way.seconds),
        f"{way.prompt_tokens:.0f} + {way.answer_tokens:.0f}",
        "" if way.training_minutes is None else tr("{minutes:.1f} min", minutes=way.training_minutes),
    ]


def rows_html(rows: Rows, page: EvalPage) -> str:
    """Some held-out rows with both answers, and what differs from the reference."""
    kinds = "".join(
        f'<button type="button" class="tool" data-id="rows:{key}:0" aria-pressed="{str(key == rows.outcome).lower()}">'
        f"{text(tr(name))}</button>"
        for key, name in _OUTCOMES.items()
    )
    items = "".join(_row_html(row, rows) for row in page.rows) or empty(tr("None"), tr("No row is of this kind."))
    return _section(tr("Wins and losses"), f'<div class="switch">{kinds}</div>{items}{_pager(page, rows)}')


def _row_html(row: EvalRow, rows: Rows) -> str:
    kind = {"win": "good", "loss": "bad"}.get(row.outcome, "")
    asked = row.row == rows.asked
    number = text(tr("row {number}", number=row.row))
    return (
        f'<article class="held"><div class="head">{chip(tr(_ROW[row.outcome]), kind)} <span class="quiet">{number} · '
        f"{figure(row.base_score)} → {figure(row.tuned_score)}</span></div>"
        f'<p class="prompt" dir="auto">{text(row.prompt)}</p>'
        f'<dl><dt>{text(tr("Reference"))}</dt><dd dir="auto">{text(row.reference)}</dd>'
        f'<dt>{text(tr("Base"))}</dt><dd dir="auto">{_answer(row.reference, row.base)}</dd>'
        f'<dt>{text(tr("Tuned"))}</dt><dd dir="auto">{_answer(row.reference, row.tuned)}</dd></dl>{_judged(rows, row)}'
        f'<button type="button" class="tool" data-id="why:{row.row}" aria-expanded="{str(asked).lower()}">'
        f"{text(tr('Why this?'))}</button>{rows.why if asked else ''}</article>"
    )


def _judged(rows: Rows, row: EvalRow) -> str:
    judging = rows.judging
    return row_judged(judging.report, row.row) if judging and not judging.stale else ""


def _answer(reference: str, answer: str) -> str:
    """An answer, what differs from the reference marked where most of it is alike."""
    if not answer:
        return f'<span class="quiet">{text(tr("(no answer)"))}</span>'
    if len(reference) < 20 or answer == reference:
        return text(answer)
    return word_diff(reference, answer)


def _pager(page: EvalPage, rows: Rows) -> str:
    if page.total <= PAGE_ROWS:
        return ""
    outcome, start = rows.outcome, rows.start
    last = start + len(page.rows)
    before = _turn(tr("Earlier"), f"rows:{outcome}:{max(0, start - PAGE_ROWS)}", start > 0)
    after = _turn(tr("Later"), f"rows:{outcome}:{start + PAGE_ROWS}", last < page.total)
    shown = tr("{first:,}–{last:,} of {total:,}", first=start + 1, last=last, total=page.total)
    return f'<p class="pager">{before}<span class="quiet">{text(shown)}</span>{after}</p>'


def _turn(name: str, act: str, on: bool) -> str:
    return f'<button type="button" class="tool" data-id="{act}"{"" if on else " disabled"}>{text(name)}</button>'


def further_html(report: EvalReport) -> str:
    """The regression suite, what was forgotten, and what was learnt by heart: a sentence each."""
    parts = []
    if report.regression:
        rows = [
            [
                case.name,
                _passes(case.base),
                _passes(case.tuned, case.why),
                case.answer,
            ]
            for case in sorted(report.regression.cases, key=lambda case: case.tuned)
        ]
        shown = table([tr("Case"), tr("Base"), tr("Tuned"), tr("Answer")], rows)
        parts.append(_section(tr("Regression suite"), f"<p>{text(retold(report.regression.sentence))}</p>{shown}"))
    if report.general:
        rows = [[tr(kind), f"{n}", _two(base), _two(tuned)] for kind, n, base, tuned in report.general.kinds]
        shown = table([tr("Questions"), tr("Number"), tr("Base"), tr("Tuned")], rows, (1, 2, 3))
        said = f"<p>{text(retold(report.general.sentence))}</p>{_folded(tr('By kind'), shown)}"
        parts.append(_section(tr("General ability"), said))
    if report.memorised:
        codes = f"<p>{text(retold(report.memorised.codes_sentence))}</p>" if report.memorised.codes else ""
        parts.append(_section(tr("Learnt by heart"), f"<p>{text(retold(report.memorised.sentence))}</p>{codes}"))
    return "".join(parts)


def _passes(passed: bool, why: str = "") -> str:
    if passed or not why:
        return tr("passes") if passed else tr("fails")
    return tr("fails: {why}", why="; ".join(retold(one) for one in why.split("; ")))


def _two(value: float) -> str:
    return tr(_TWO, value=value)


def slices_html(slices: Sequence[SliceReport], report: EvalReport) -> str:
    """Parts of the rows, the one that gained least first in each kind."""
    if not slices:
        return ""
    rows = [
        [
            tr(one.kind),
            tr(one.name) if one.kind == "length" else one.name,
            _whole(one.rows),
            figure(one.base),
            figure(one.tuned),
            signed(one.difference) + (f" ({shown})" if (shown := between(one.low, one.high)) else ""),
        ]
        for one in slices
    ]
    base = tr("{metric}, base", metric=tr(report.metrics[report.verdict.metric].title))
    by, _, part = tr("By | Part").partition(" | ")
    head = [by, part, tr("Rows"), base, tr("Tuned"), tr("Difference (95 %)")]
    title = trn(
        "By label, length, language and source ({count:,} part)",
        "By label, length, language and source ({count:,} parts)",
        len(rows),
    )
    return _folded(title, table(head, rows, (2, 3, 4)))


def _whole(number: int) -> str:
    return tr(_COUNT, number=number)


def classes_html(report: EvalReport) -> str:
    """Precision, recall and F1 of each class, the weakest of the tuned model first."""
    if not report.classes:
        return ""
    ordered = sorted(report.classes, key=lambda one: one.tuned[2])
    rows = [
        [
            one.label,
            _whole(one.rows),
            *(tr(_BECAME, before=before, after=after) for before, after in zip(one.base, one.tuned, strict=True)),
        ]
        for one in ordered
    ]
    unmatched = ""
    if report.unmatched and any(report.unmatched):
        base, run = report.unmatched
        words = tr(
            "{base:,} answers of the base and {run:,} of the run name no label: they count as wrong.",
            base=base,
            run=run,
        )
        unmatched = f'<p class="quiet">{text(words)}</p>'
    head = [tr("Class"), tr("Rows"), tr("Precision"), tr("Recall"), "F1"]
    return _folded(tr("Classes ({count:,})", count=len(rows)), unmatched + table(head, rows, (1, 2, 3, 4)))


def confusion_html(found: ConfusionReport | None) -> str:
    """What was called what, by the tuned model; of many classes the pairs that are confused most."""
    if found is None:
        return ""
    if len(found.labels) <= _MOST_CLASSES:
        head = ["", *found.labels, tr("no label")]
        rows = [[label, *(n or "·" for n in line)] for label, line in zip(found.labels, found.tuned, strict=True)]
        return _folded(tr("Confusion of the tuned model"), table(head, rows, tuple(range(1, len(head)))))
    names = (*found.labels, tr("no label"))
    pairs = [
        (number, found.base[i][j], found.labels[i], names[j])
        for i, line in enumerate(found.tuned)
        for j, number in enumerate(line)
        if i != j and number
    ]
    rows = [[true, said, _whole(now), _whole(was)] for now, was, true, said in sorted(pairs, reverse=True)[:20]]
    return _folded(
        tr("Most confused"), table([tr("Is"), tr("Called"), tr("By the run"), tr("By the base")], rows, (2, 3))
    )


def board_html(boards: Sequence[Sequence[Evaluated]], current: str) -> str:
    """The evaluated runs of a project, those on the same rows together, the best first."""
    return "".join(_board(board, current) for board in boards)


def _board(board: Sequence[Evaluated], current: str) -> str:
    first = board[0].report
    assert first is not None
    title = first.metrics[first.verdict.metric].title
    items = "".join(_board_line(found, current) for found in board)
    words = f"{trn('{count:,} held-out row', '{count:,} held-out rows', first.rows)} · {tr(title)}"
    return f'<h3>{text(tr("Leaderboard"))}</h3><p class="quiet">{text(words)}</p><div class="list">{items}</div>'


def _board_line(found: Evaluated, current: str) -> str:
    report = found.report
    assert report is not None
    lead = report.metrics[report.verdict.metric]
    said = chip(tr(_SAID[report.verdict.kind]), KINDS[report.verdict.kind])
    chosen = "item current" if found.run.id == current else "item"
    figures = f"{figure(lead.base)} → {figure(lead.tuned)}"
    return (
        f'<button type="button" class="{chosen}" data-id="run:{text(found.run.id)}">'
        f'<div class="head"><b>{text(tr("Run {number}", number=found.run.number))}</b>'
        f'<span class="line">{figures}</span>{said}</div>'
        f'<div class="line">{text(found.run.base_model)}</div></button>'
    )


def _foot(report: EvalReport) -> str:
    rows = trn(
        "{count:,} row of the {split} split of snapshot {snapshot}",
        "{count:,} rows of the {split} split of snapshot {snapshot}",
        report.rows,
        split=tr(report.split),
        snapshot=report.snapshot[:8],
    )
    left = trn("{count:,} row without an answer left out", "{count:,} rows without an answer left out", report.left_out)
    words = [
        rows,
        *([left] if report.left_out else []),
        tr("greedy answers of at most {tokens} tokens", tokens=report.most_tokens),
        report.device,
        duration(report.seconds),
        tr("base {hash}", hash=report.base_hash[:12]),
        tr("weights {hash}", hash=report.adapter_hash[:12]),
    ]
    return f'<p class="quiet weights">{text(" · ".join(words))}</p>'


def _section(title: str, body: str) -> str:
    return f"<section><h3>{text(title)}</h3>{body}</section>"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{text(title)}</summary>{body}</details>"
