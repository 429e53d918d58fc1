"""What the Evaluate tab shows: the sentence first, then figures with intervals, wins and losses, and the parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from studio.contract.evaluation import ConfusionReport, EvalReport, MetricReport, SliceReport, WayReport
from studio.contract.figures import between, chance, figure, signed
from studio.jobs.evaluating import EvalPage, EvalRow, Evaluated, Standing
from studio.jobs.judging import Agreement, Judging
from studio.ui.components.html import bar, chip, count, duration, empty, notice, table, text
from studio.ui.components.tables import interval
from studio.ui.components.words import word_diff
from studio.ui.evaluate_judge_views import judged_html, row_judged

PAGE_ROWS = 10
KINDS = {"better": "good", "worse": "bad", "unshown": "warn", "same": "", "unknown": "warn"}
_SAID = {
    "better": "better",
    "worse": "worse",
    "unshown": "no difference shown",
    "same": "the same",
    "unknown": "unclear",
}
_OUTCOMES = {"": "All", "win": "Wins", "loss": "Losses", "tie": "Ties"}
_MOST_CLASSES = 12
"""Classes of a confusion matrix that fits a screen."""

NO_PROJECT = empty("No project chosen", "Choose a project above, or create one in the Projects tab.")
NO_RUN = empty("No run to evaluate yet", "Train a run first: here it is held against its base on held-out rows.")
NOT_YET = empty(
    "Not evaluated yet",
    "Evaluate answers the held-out rows with the base model and with this run, and says what the difference is worth.",
)


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


def state_html(standing: Standing) -> str:
    """How an evaluation stands: a bar while it answers, why it ended otherwise."""
    if standing.alive:
        return bar(standing.fraction, standing.words)
    kind = {"failed": "bad", "stopped": "warn"}.get(standing.state)
    return notice(kind, standing.words) if kind else ""


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
    likely = f"A difference this large by chance: {chance(lead.p)}" if lead.p is not None else ""
    shares = ""
    if verdict.wins is not None and verdict.losses is not None and verdict.ties is not None:
        parts = [("win", verdict.wins), ("tie", verdict.ties), ("loss", verdict.losses)]
        words = f"{verdict.wins} better, {verdict.ties} equal, {verdict.losses} worse"
        shares = f'<div class="outcome-bar" role="img" aria-label="{words}">' + "".join(
            f'<i class="{name}" style="flex:{number}"></i>' for name, number in parts if number
        )
        shares += f'</div><p class="quiet">{words} · by {text(lead.title)}. {text(likely)}</p>'
    against = ""
    if report.base_is == "majority":
        against = notice("busy", "The base was never trained on these labels; what always says the most frequent one "
                         "stands in its place.")  # fmt: skip
    notes = "".join(notice("warn", note) for note in report.notes)
    return f'<h2 class="verdict {verdict.kind}">{text(verdict.sentence)}</h2>{shares}{against}{notes}'


def metrics_html(report: EvalReport) -> str:
    """Each metric: base, tuned, and the difference as a bar with zero in the middle."""
    said = Counter(one.reason for one in report.metrics.values() if one.reason)
    shared = {reason for reason, times in said.items() if times > 1}  # said once, below
    rows = "".join(_metric_row(one, shared) for one in report.metrics.values())
    notes = "".join(f'<p class="quiet">{text(reason)}</p>' for reason in said if reason in shared)
    names = {"Metric": "", "Base": "num", "Tuned": "num", "Difference (95 %)": "", "p": "num"}
    head = "".join(f'<th scope="col" class="{side}">{name}</th>' for name, side in names.items())
    return _section(
        "Metrics",
        f'<div class="table figures"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{notes}',
    )


def _metric_row(one: MetricReport, shared: Collection[str]) -> str:
    shown = between(one.low, one.high)
    drawn = ""
    if one.low is not None and one.high is not None:
        most = max(abs(one.low), abs(one.high), abs(one.difference), 1e-9) * 1.15
        drawn = interval(one.low, one.difference, one.high, -most, most)
    arrow = "" if one.higher else ' <small class="quiet">less is better</small>'
    care = f'<br><small class="quiet">{text(one.reason)}</small>' if one.reason and one.reason not in shared else ""
    return (
        f'<tr><th scope="row">{text(one.title)}{arrow}</th><td class="num">{figure(one.base)}</td>'
        f'<td class="num">{figure(one.tuned)}</td><td>{drawn} <span class="between"><b>{signed(one.difference)}</b> '
        f'<span class="quiet">{shown}</span></span>{care}</td><td class="num">{chance(one.p)}</td></tr>'
    )


def ways_html(ways: Sequence[WayReport], advice: str) -> str:
    """Whether fine-tuning is worth it: what each way of asking gives and costs."""
    if not ways:
        return ""
    rows = [
        [
            way.words[:1].upper() + way.words[1:],
            f"{figure(way.value)}" + (f" ({figure(way.low)}–{figure(way.high)})" if way.low is not None else ""),
            "under 0.01 s" if way.seconds < 0.005 else f"{way.seconds:.2f} s",
            f"{way.prompt_tokens:.0f} + {way.answer_tokens:.0f}",
            "" if way.training_minutes is None else f"{way.training_minutes:.1f} min",
        ]
        for way in ways
    ]
    head = ["Way", "Result (95 %)", "Time an answer", "Tokens, prompt + answer", "Training"]
    return _section("Is fine-tuning worth it?", f"<p>{text(advice)}</p>{table(head, rows, (1, 2, 3, 4))}")


def rows_html(rows: Rows, page: EvalPage) -> str:
    """Some held-out rows with both answers, and what differs from the reference."""
    kinds = "".join(
        f'<button type="button" class="tool" data-id="rows:{key}:0" aria-pressed="{str(key == rows.outcome).lower()}">'
        f"{name}</button>"
        for key, name in _OUTCOMES.items()
    )
    items = "".join(_row_html(row, rows) for row in page.rows) or empty("None", "No row is of this kind.")
    return _section("Wins and losses", f'<div class="switch">{kinds}</div>{items}{_pager(page, rows)}')


def _row_html(row: EvalRow, rows: Rows) -> str:
    kind = {"win": "good", "loss": "bad"}.get(row.outcome, "")
    label = {"win": "better", "loss": "worse", "tie": "equal"}[row.outcome]
    asked = row.row == rows.asked
    return (
        f'<article class="held"><div class="head">{chip(label, kind)} <span class="quiet">row {row.row} · '
        f"{figure(row.base_score)} → {figure(row.tuned_score)}</span></div>"
        f'<p class="prompt" dir="auto">{text(row.prompt)}</p>'
        f'<dl><dt>Reference</dt><dd dir="auto">{text(row.reference)}</dd>'
        f'<dt>Base</dt><dd dir="auto">{_answer(row.reference, row.base)}</dd>'
        f'<dt>Tuned</dt><dd dir="auto">{_answer(row.reference, row.tuned)}</dd></dl>{_judged(rows, row)}'
        f'<button type="button" class="tool" data-id="why:{row.row}" aria-expanded="{str(asked).lower()}">Why this?'
        f"</button>{rows.why if asked else ''}</article>"
    )


def _judged(rows: Rows, row: EvalRow) -> str:
    judging = rows.judging
    return row_judged(judging.report, row.row) if judging and not judging.stale else ""


def _answer(reference: str, answer: str) -> str:
    """An answer, what differs from the reference marked where most of it is alike."""
    if not answer:
        return '<span class="quiet">(no answer)</span>'
    if len(reference) < 20 or answer == reference:
        return text(answer)
    return word_diff(reference, answer)


def _pager(page: EvalPage, rows: Rows) -> str:
    if page.total <= PAGE_ROWS:
        return ""
    outcome, start = rows.outcome, rows.start
    last = start + len(page.rows)
    before = _turn("Earlier", f"rows:{outcome}:{max(0, start - PAGE_ROWS)}", start > 0)
    after = _turn("Later", f"rows:{outcome}:{start + PAGE_ROWS}", last < page.total)
    return f'<p class="pager">{before}<span class="quiet">{start + 1:,}–{last:,} of {page.total:,}</span>{after}</p>'


def _turn(name: str, act: str, on: bool) -> str:
    return f'<button type="button" class="tool" data-id="{act}"{"" if on else " disabled"}>{name}</button>'


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
        shown = table(["Case", "Base", "Tuned", "Answer"], rows)
        parts.append(_section("Regression suite", f"<p>{text(report.regression.sentence)}</p>{shown}"))
    if report.general:
        rows = [[kind, f"{n}", f"{base:.2f}", f"{tuned:.2f}"] for kind, n, base, tuned in report.general.kinds]
        shown = _folded("By kind", table(["Questions", "Number", "Base", "Tuned"], rows, (1, 2, 3)))
        parts.append(_section("General ability", f"<p>{text(report.general.sentence)}</p>{shown}"))
    if report.memorised:
        codes = f"<p>{text(report.memorised.codes_sentence)}</p>" if report.memorised.codes else ""
        parts.append(_section("Learnt by heart", f"<p>{text(report.memorised.sentence)}</p>{codes}"))
    return "".join(parts)


def _passes(passed: bool, why: str = "") -> str:
    return "passes" if passed else f"fails: {why}" if why else "fails"


def slices_html(slices: Sequence[SliceReport], report: EvalReport) -> str:
    """Parts of the rows, the one that gained least first in each kind."""
    if not slices:
        return ""
    rows = [
        [
            one.kind,
            one.name,
            f"{one.rows:,}",
            figure(one.base),
            figure(one.tuned),
            signed(one.difference) + (f" ({shown})" if (shown := between(one.low, one.high)) else ""),
        ]
        for one in slices
    ]
    title = report.metrics[report.verdict.metric].title
    head = ["By", "Part", "Rows", f"{title}, base", "Tuned", "Difference (95 %)"]
    return _folded(f"By label, length, language and source ({count(len(rows), 'part')})", table(head, rows, (2, 3, 4)))


def classes_html(report: EvalReport) -> str:
    """Precision, recall and F1 of each class, the weakest of the tuned model first."""
    if not report.classes:
        return ""
    ordered = sorted(report.classes, key=lambda one: one.tuned[2])
    rows = [
        [
            one.label,
            f"{one.rows:,}",
            *(f"{before:.2f} → {after:.2f}" for before, after in zip(one.base, one.tuned, strict=True)),
        ]
        for one in ordered
    ]
    unmatched = ""
    if report.unmatched and any(report.unmatched):
        words = f"{report.unmatched[0]:,} answers of the base and {report.unmatched[1]:,} of the run name no label: "
        unmatched = f'<p class="quiet">{words}they count as wrong.</p>'
    head = ["Class", "Rows", "Precision", "Recall", "F1"]
    return _folded(f"Classes ({len(rows):,})", unmatched + table(head, rows, (1, 2, 3, 4)))


def confusion_html(found: ConfusionReport | None) -> str:
    """What was called what, by the tuned model; of many classes the pairs that are confused most."""
    if found is None:
        return ""
    if len(found.labels) <= _MOST_CLASSES:
        head = ["", *found.labels, "no label"]
        rows = [[label, *(n or "·" for n in line)] for label, line in zip(found.labels, found.tuned, strict=True)]
        return _folded("Confusion of the tuned model", table(head, rows, tuple(range(1, len(head)))))
    names = (*found.labels, "no label")
    pairs = [
        (number, found.base[i][j], found.labels[i], names[j])
        for i, line in enumerate(found.tuned)
        for j, number in enumerate(line)
        if i != j and number
    ]
    rows = [[true, said, f"{now:,}", f"{was:,}"] for now, was, true, said in sorted(pairs, reverse=True)[:20]]
    return _folded("Most confused", table(["Is", "Called", "By the run", "By the base"], rows, (2, 3)))


def board_html(boards: Sequence[Sequence[Evaluated]], current: str) -> str:
    """The evaluated runs of a project, those on the same rows together, the best first."""
    return "".join(_board(board, current) for board in boards)


def _board(board: Sequence[Evaluated], current: str) -> str:
    first = board[0].report
    assert first is not None
    title = first.metrics[first.verdict.metric].title
    items = "".join(_board_line(found, current) for found in board)
    words = f"{count(first.rows, 'held-out row')} · {title}"
    return f'<h3>Leaderboard</h3><p class="quiet">{text(words)}</p><div class="list">{items}</div>'


def _board_line(found: Evaluated, current: str) -> str:
    report = found.report
    assert report is not None
    lead = report.metrics[report.verdict.metric]
    said = chip(_SAID[report.verdict.kind], KINDS[report.verdict.kind])
    chosen = "item current" if found.run.id == current else "item"
    figures = f"{figure(lead.base)} → {figure(lead.tuned)}"
    return (
        f'<button type="button" class="{chosen}" data-id="run:{text(found.run.id)}">'
        f'<div class="head"><b>Run {found.run.number}</b><span class="line">{figures}</span>{said}</div>'
        f'<div class="line">{text(found.run.base_model)}</div></button>'
    )


def _foot(report: EvalReport) -> str:
    left = f" · {count(report.left_out, 'row')} without an answer left out" if report.left_out else ""
    words = (
        f"{count(report.rows, 'row')} of the {report.split} split of snapshot {report.snapshot[:8]}{left} · greedy "
        f"answers of at most {report.most_tokens} tokens · {report.device} · {duration(report.seconds)} · base "
        f"{report.base_hash[:12]} · weights {report.adapter_hash[:12]}"
    )
    return f'<p class="quiet weights">{text(words)}</p>'


def _section(title: str, body: str) -> str:
    return f"<section><h3>{text(title)}</h3>{body}</section>"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{text(title)}</summary>{body}</details>"
