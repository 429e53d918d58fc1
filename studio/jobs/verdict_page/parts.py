"""The figures of the page: metrics, ways, classes, confusions, slices, and what the evaluation looked at besides.

Figures are written as on Evaluate (studio.contract.figures). Without texts nothing stands here that only rows hold:
classes outside of the project's settings, and names and answers of regression cases, are counted instead of named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from studio.contract.evaluation import ConfusionReport, EvalReport, MetricReport, SliceReport, WayReport
from studio.contract.judging import JudgeReport
from studio.jobs.evaluation_said import between, chance, figure, retold, signed
from studio.jobs.verdict_page.pieces import Html, chip, part, quiet, said, table, text
from studio.jobs.verdict_page.plot import differences, spark
from studio.jobs.verdict_page.records import VerdictRecords
from studio.language import mark, tr, trn

_MOST_CLASSES = 12
"""Classes of a confusion matrix that fits a page."""

_SHOWN_ANSWER = 400
_COUNT, _TWO, _BECAME = "{number:,}", "{value:.2f}", "{before:.2f} → {after:.2f}"
_HOW = mark(
    "Differences are tuned less base; bars are their 95 % intervals: green where the run is shown to be better, red "
    "where it is shown to be worse, grey where neither is shown."
)
Namer = Callable[[str], str]


def namer(records: VerdictRecords) -> Namer:
    """What a class is called: its name, or a number where only rows have it and their texts stay here."""
    report = records.report
    if records.texts:
        return str
    known, seen = set(records.labels), [one.label for one in report.classes]
    seen += list(report.confusion.labels) if report.confusion else []
    seen += [one.name for one in report.slices if one.kind == "label"]
    hidden = [label for label in dict.fromkeys(seen) if label not in known]
    numbers = {label: tr("class {number}", number=at) for at, label in enumerate(hidden, start=1)}
    return lambda label: numbers.get(label, label)


def metrics(report: EvalReport) -> Html:
    """The plot of the differences, and each figure in a table."""
    reasons = Counter(one.reason for one in report.metrics.values() if one.reason)
    figures = [tr("Base"), tr("Tuned"), tr("Difference"), tr("95 % interval"), tr("By chance"), tr("Rows")]
    rows = [_metric(one) for one in report.metrics.values()]
    shown = table(tr("Metrics"), [tr("Metric"), *figures], rows, range(1, 7), "stack")
    told = (quiet(retold(reason)) for reason in reasons)
    return part(tr("Metrics"), differences(report.metrics), shown, *told, note=tr(_HOW))


def _whole(number: int) -> str:
    return tr(_COUNT, number=number)


def _metric(one: MetricReport) -> list[object]:
    less = "" if one.higher else f"<small>{text(tr('less is better'))}</small>"
    return [
        Html(f"{text(tr(one.title))}{less}"),
        figure(one.base),
        figure(one.tuned),
        Html(f"<b>{text(signed(one.difference))}</b>"),
        between(one.low, one.high) or tr("not known"),
        chance(one.p) or tr("not known"),
        _whole(one.rows),
    ]


def ways(report: EvalReport) -> Html:
    """Whether fine-tuning is worth it: what each way of asking gives and costs."""
    rows = [_way(way) for way in report.ways]
    if not rows:
        return Html("")
    title = tr(report.metrics[report.verdict.metric].title)
    costs = [tr("Time an answer"), tr("Tokens, prompt + answer"), tr("Training")]
    shown = table(tr("Ways to answer"), [tr("Way"), title, tr("95 % interval"), *costs], rows, range(1, 6), "stack")
    return part(tr("Is fine-tuning worth it?"), said(retold(report.advice)), shown)


def _way(way: WayReport) -> list[str]:
    words, quick = retold(way.words), way.seconds < 0.005
    return [
        words[:1].upper() + words[1:],
        figure(way.value),
        "" if way.low is None else f"{figure(way.low)}–{figure(way.high)}",
        tr("under {seconds:.2f} s", seconds=0.01) if quick else tr("{seconds:.2f} s", seconds=way.seconds),
        f"{way.prompt_tokens:.0f} + {way.answer_tokens:.0f}",
        "–" if way.training_minutes is None else tr("{minutes:.1f} min", minutes=way.training_minutes),
    ]


def classes(report: EvalReport, name: Namer) -> Html:
    """Precision, recall and F1 of each class, the weakest of the tuned model first, and what was called what."""
    rows = [
        [
            name(one.label),
            _whole(one.rows),
            *(tr(_BECAME, before=before, after=after) for before, after in zip(one.base, one.tuned, strict=True)),
        ]
        for one in sorted(report.classes, key=lambda one: one.tuned[2])
    ]
    head = [tr("Class"), tr("Rows"), tr("Precision"), tr("Recall"), "F1"]
    shown = table(tr("Classes"), head, rows, range(1, 5), "stack")
    lost = ""
    if report.unmatched and any(report.unmatched):
        base, run = report.unmatched
        words = mark("{base:,} answers of the base and {run:,} of the run name no label: they count as wrong.")
        lost = quiet(tr(words, base=base, run=run))
    note = tr("Base → tuned, the weakest class of the tuned model first.") if rows else ""
    return Html(part(tr("Classes"), shown, lost, note=note) + part(tr("Confusions"), _confusion(report, name)))


def _confusion(report: EvalReport, name: Namer) -> Html:
    found = report.confusion
    if found is None:
        return Html("")
    if len(found.labels) > _MOST_CLASSES:
        return _most_confused(found, name)
    sides = [(tr("Tuned model"), found.tuned)]
    if report.base_is == "model":
        sides.insert(0, (tr("Base model"), found.base))
    drawn = "".join(
        f"<div><h3>{text(title)}</h3>{_matrix(title, found, counts, name)}</div>" for title, counts in sides
    )
    how = quiet(tr("Rows: what it is. Columns, by the numbers of the rows: what it was called; – stands for no label."))
    return Html(f'<div class="matrices">{drawn}</div>{how}')


def _matrix(title: str, found: ConfusionReport, counts: Sequence[Sequence[int]], name: Namer) -> Html:
    head = [tr("Is \\ called"), *(str(at) for at in range(1, len(found.labels) + 1)), "–"]
    rows = [
        [Html(f"<small>{at + 1}</small> {text(name(label))}"), *_shares(line, at)]
        for at, (label, line) in enumerate(zip(found.labels, counts, strict=True))
    ]
    return table(tr("Confusion matrix: {model}", model=title), head, rows, range(1, len(head)), "matrix")


def _shares(line: Sequence[int], right: int) -> list[Html]:
    """Counts as cells, shaded by their share of the row: teal where it is right, red where not."""
    whole = sum(line) or 1
    cells = []
    for at, number in enumerate(line):
        kind, share = "right" if at == right else "wrong", round(40 * number / whole)
        cells.append(Html(f'<span class="{kind}" style="--share:{share}%">{_whole(number) if number else "·"}</span>'))
    return cells


def _most_confused(found: ConfusionReport, name: Namer) -> Html:
    names = (*(name(label) for label in found.labels), tr("no label"))
    pairs = sorted(
        ((number, found.base[i][j], i, j) for i, line in enumerate(found.tuned) for j, number in enumerate(line)
         if i != j and number), reverse=True)[:20]  # fmt: skip
    rows = [[names[i], names[j], _whole(now), _whole(was)] for now, was, i, j in pairs]
    head = [tr("Is"), tr("Called"), tr("By the run"), tr("By the base")]
    return table(tr("Most confused"), head, rows, (2, 3))


def slices(report: EvalReport, name: Namer) -> Html:
    """Parts of the rows, the one that gained least first in each kind, with their intervals drawn on one scale."""
    ends = [abs(end) for one in report.slices for end in (one.low, one.difference, one.high) if end is not None]
    reach = max(ends, default=0.0) * 1.05
    rows = [_slice(one, reach, name) for one in report.slices]
    title = tr(report.metrics[report.verdict.metric].title)
    base = tr("{metric}, base", metric=title)
    by, _, piece = tr("By | Part").partition(" | ")
    head = [piece, by, tr("Rows"), base, tr("Tuned"), tr("Difference"), tr("95 % interval")]
    note = tr("{metric} on rows with something in common; the smallest difference of a kind first.", metric=title)
    shown = table(tr("Slices"), head, rows, (2, 3, 4), "stack")
    return part(tr("Where it helps, and where not"), shown, note=note if rows else "")


def _slice(one: SliceReport, reach: float, name: Namer) -> list[object]:
    known = between(one.low, one.high)
    label = name(one.name) if one.kind == "label" else tr(one.name) if one.kind == "length" else one.name
    picture = spark(one.low, one.difference, one.high, reach)
    drawn = Html(f'<span class="whole">{picture}<b>{text(signed(one.difference))}</b></span>')
    return [
        label,
        tr(one.kind),
        _whole(one.rows),
        figure(one.base),
        figure(one.tuned),
        drawn,
        Html(f'<span class="whole">{text(known or tr("not known"))}</span>'),
    ]


def further(records: VerdictRecords) -> Html:
    """What was forgotten, what was learnt by heart, and the regression suite."""
    report, parts = records.report, []
    if found := report.general:
        rows = [[tr(kind), _whole(n), *(tr(_TWO, value=loss) for loss in losses)] for kind, n, *losses in found.kinds]
        head = [tr("Questions"), tr("Number"), tr("Base, nats a token"), tr("Tuned, nats a token")]
        shown = table(tr("General questions by kind"), head, rows, (1, 2, 3))
        parts.append(part(tr("General ability: what was forgotten"), said(retold(found.sentence)), shown))
    if report.memorised:
        codes = said(retold(report.memorised.codes_sentence)) if report.memorised.codes else ""
        parts.append(part(tr("Learnt by heart"), said(retold(report.memorised.sentence)), codes))
    parts.append(_regression(records))
    return Html("".join(parts))


def _regression(records: VerdictRecords) -> Html:
    found = records.report.regression
    if found is None:
        return Html("")
    if not records.texts:
        passed, before = (sum(getattr(case, side) for case in found.cases) for side in ("tuned", "base"))
        lost = sum(case.base and not case.tuned for case in found.cases)
        words = trn(
            "{passed:,} of {count:,} case pass with the run, {before:,} with the base; {lost:,} that the base passes "
            "fail now.",
            "{passed:,} of {count:,} cases pass with the run, {before:,} with the base; {lost:,} that the base passes "
            "fail now.",
            len(found.cases),
            passed=passed,
            before=before,
            lost=lost,
        )
        return part(tr("Regression suite"), said(words))
    rows = [
        [case.name, _passes(case.base), _passes(case.tuned), _why(case.why), _cut(case.answer)]
        for case in sorted(found.cases, key=lambda case: case.tuned)
    ]
    head = [tr("Case"), tr("Base"), tr("Tuned"), tr("Why"), tr("Answer of the run")]
    shown = table(tr("Regression cases"), head, rows, kind="texts stack")
    return part(tr("Regression suite"), said(retold(found.sentence)), shown)


def _why(words: str) -> str:
    return "; ".join(retold(one) for one in words.split("; "))


def _passes(passed: bool) -> Html:
    return chip(tr("passes"), "good") if passed else chip(tr("fails"), "bad")


def _cut(answer: str) -> str:
    return answer if len(answer) <= _SHOWN_ANSWER else f"{answer[:_SHOWN_ANSWER]} …"


def judge(found: JudgeReport | None) -> Html:
    """What another model said of the answers, where one was asked."""
    if found is None or not found.judged:
        return Html("")
    who = trn(
        "{model} at {host}, asked in both orders about {count:,} row.",
        "{model} at {host}, asked in both orders about {count:,} rows.",
        found.judged,
        model=found.model,
        host=found.host,
    )
    return part(tr("What a judge says"), said(retold(found.sentence)), quiet(who))
