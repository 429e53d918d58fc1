"""The figures of the page: metrics, ways, classes, confusions, slices, and what the evaluation looked at besides.

Figures are written as on Evaluate (studio.contract.figures). Without texts nothing stands here that only rows hold:
classes outside of the project's settings, and names and answers of regression cases, are counted instead of named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from studio.contract.evaluation import ConfusionReport, EvalReport, MetricReport, SliceReport
from studio.contract.figures import between, chance, count, figure, signed
from studio.contract.judging import JudgeReport
from studio.jobs.verdict_page.pieces import Html, chip, part, quiet, said, table, text
from studio.jobs.verdict_page.plot import differences, spark
from studio.jobs.verdict_page.records import VerdictRecords

_MOST_CLASSES = 12
"""Classes of a confusion matrix that fits a page."""

_SHOWN_ANSWER = 400
_HOW = (
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
    numbers = {label: f"class {at}" for at, label in enumerate(hidden, start=1)}
    return lambda label: numbers.get(label, label)


def metrics(report: EvalReport) -> Html:
    """The plot of the differences, and each figure in a table."""
    reasons = Counter(one.reason for one in report.metrics.values() if one.reason)
    head = ["Metric", "Base", "Tuned", "Difference", "95 % interval", "By chance", "Rows"]
    rows = [_metric(one) for one in report.metrics.values()]
    shown = table("Metrics", head, rows, range(1, 7), "stack")
    told = (quiet(reason) for reason in reasons)
    return part("Metrics", differences(report.metrics), shown, *told, note=_HOW)


def _metric(one: MetricReport) -> list[object]:
    less = Html("") if one.higher else Html("<small>less is better</small>")
    return [
        Html(f"{text(one.title)}{less}"),
        figure(one.base),
        figure(one.tuned),
        Html(f"<b>{text(signed(one.difference))}</b>"),
        between(one.low, one.high) or "not known",
        chance(one.p) or "not known",
        f"{one.rows:,}",
    ]


def ways(report: EvalReport) -> Html:
    """Whether fine-tuning is worth it: what each way of asking gives and costs."""
    rows = [
        [
            way.words[:1].upper() + way.words[1:],
            figure(way.value),
            "" if way.low is None else f"{figure(way.low)}–{figure(way.high)}",
            "under 0.01 s" if way.seconds < 0.005 else f"{way.seconds:.2f} s",
            f"{way.prompt_tokens:.0f} + {way.answer_tokens:.0f}",
            "–" if way.training_minutes is None else f"{way.training_minutes:.1f} min",
        ]
        for way in report.ways
    ]
    if not rows:
        return Html("")
    title = report.metrics[report.verdict.metric].title
    head = ["Way", title, "95 % interval", "Time an answer", "Tokens, prompt + answer", "Training"]
    return part(
        "Is fine-tuning worth it?", said(report.advice), table("Ways to answer", head, rows, range(1, 6), "stack")
    )


def classes(report: EvalReport, name: Namer) -> Html:
    """Precision, recall and F1 of each class, the weakest of the tuned model first, and what was called what."""
    rows = [
        [
            name(one.label),
            f"{one.rows:,}",
            *(f"{before:.2f} → {after:.2f}" for before, after in zip(one.base, one.tuned, strict=True)),
        ]
        for one in sorted(report.classes, key=lambda one: one.tuned[2])
    ]
    shown = table("Classes", ["Class", "Rows", "Precision", "Recall", "F1"], rows, range(1, 5), "stack")
    lost = ""
    if report.unmatched and any(report.unmatched):
        words = f"{report.unmatched[0]:,} answers of the base and {report.unmatched[1]:,} of the run name no label"
        lost = quiet(f"{words}: they count as wrong.")
    note = "Base → tuned, the weakest class of the tuned model first." if rows else ""
    return Html(part("Classes", shown, lost, note=note) + part("Confusions", _confusion(report, name)))


def _confusion(report: EvalReport, name: Namer) -> Html:
    found = report.confusion
    if found is None:
        return Html("")
    if len(found.labels) > _MOST_CLASSES:
        return _most_confused(found, name)
    sides = [("Tuned model", found.tuned)]
    if report.base_is == "model":
        sides.insert(0, ("Base model", found.base))
    drawn = "".join(f"<div><h3>{title}</h3>{_matrix(title, found, counts, name)}</div>" for title, counts in sides)
    how = quiet("Rows: what it is. Columns, by the numbers of the rows: what it was called; – stands for no label.")
    return Html(f'<div class="matrices">{drawn}</div>{how}')


def _matrix(title: str, found: ConfusionReport, counts: Sequence[Sequence[int]], name: Namer) -> Html:
    head = ["Is \\ called", *(str(at) for at in range(1, len(found.labels) + 1)), "–"]
    rows = [
        [Html(f"<small>{at + 1}</small> {text(name(label))}"), *_shares(line, at)]
        for at, (label, line) in enumerate(zip(found.labels, counts, strict=True))
    ]
    return table(f"Confusion matrix: {title}", head, rows, range(1, len(head)), "matrix")


def _shares(line: Sequence[int], right: int) -> list[Html]:
    """Counts as cells, shaded by their share of the row: teal where it is right, red where not."""
    whole = sum(line) or 1
    cells = []
    for at, number in enumerate(line):
        kind, share = "right" if at == right else "wrong", round(40 * number / whole)
        cells.append(Html(f'<span class="{kind}" style="--share:{share}%">{f"{number:,}" if number else "·"}</span>'))
    return cells


def _most_confused(found: ConfusionReport, name: Namer) -> Html:
    names = (*(name(label) for label in found.labels), "no label")
    pairs = sorted(
        ((number, found.base[i][j], i, j) for i, line in enumerate(found.tuned) for j, number in enumerate(line)
         if i != j and number), reverse=True)[:20]  # fmt: skip
    rows = [[names[i], names[j], f"{now:,}", f"{was:,}"] for now, was, i, j in pairs]
    return table("Most confused", ["Is", "Called", "By the run", "By the base"], rows, (2, 3))


def slices(report: EvalReport, name: Namer) -> Html:
    """Parts of the rows, the one that gained least first in each kind, with their intervals drawn on one scale."""
    ends = [abs(end) for one in report.slices for end in (one.low, one.difference, one.high) if end is not None]
    reach = max(ends, default=0.0) * 1.05
    rows = [_slice(one, reach, name) for one in report.slices]
    title = report.metrics[report.verdict.metric].title
    head = ["Part", "By", "Rows", f"{title}, base", "Tuned", "Difference", "95 % interval"]
    note = f"{title} on rows with something in common; the smallest difference of a kind first."
    return part(
        "Where it helps, and where not", table("Slices", head, rows, (2, 3, 4), "stack"), note=note if rows else ""
    )


def _slice(one: SliceReport, reach: float, name: Namer) -> list[object]:
    known = between(one.low, one.high)
    label = name(one.name) if one.kind == "label" else one.name
    picture = spark(one.low, one.difference, one.high, reach)
    drawn = Html(f'<span class="whole">{picture}<b>{text(signed(one.difference))}</b></span>')
    return [
        label,
        one.kind,
        f"{one.rows:,}",
        figure(one.base),
        figure(one.tuned),
        drawn,
        Html(f'<span class="whole">{text(known or "not known")}</span>'),
    ]


def further(records: VerdictRecords) -> Html:
    """What was forgotten, what was learnt by heart, and the regression suite."""
    report, parts = records.report, []
    if found := report.general:
        rows = [[kind, f"{n:,}", f"{base:.2f}", f"{tuned:.2f}"] for kind, n, base, tuned in found.kinds]
        head = ["Questions", "Number", "Base, nats a token", "Tuned, nats a token"]
        shown = table("General questions by kind", head, rows, (1, 2, 3))
        parts.append(part("General ability: what was forgotten", said(found.sentence), shown))
    if report.memorised:
        codes = said(report.memorised.codes_sentence) if report.memorised.codes else ""
        parts.append(part("Learnt by heart", said(report.memorised.sentence), codes))
    parts.append(_regression(records))
    return Html("".join(parts))


def _regression(records: VerdictRecords) -> Html:
    found = records.report.regression
    if found is None:
        return Html("")
    if not records.texts:
        passed, before = (sum(getattr(case, side) for case in found.cases) for side in ("tuned", "base"))
        lost = sum(case.base and not case.tuned for case in found.cases)
        words = f"{passed:,} of {count(len(found.cases), 'case')} pass with the run, {before:,} with the base"
        return part("Regression suite", said(f"{words}; {lost:,} that the base passes fail now."))
    rows = [
        [case.name, _passes(case.base), _passes(case.tuned), case.why, _cut(case.answer)]
        for case in sorted(found.cases, key=lambda case: case.tuned)
    ]
    shown = table("Regression cases", ["Case", "Base", "Tuned", "Why", "Answer of the run"], rows, kind="texts stack")
    return part("Regression suite", said(found.sentence), shown)


def _passes(passed: bool) -> Html:
    return chip("passes", "good") if passed else chip("fails", "bad")


def _cut(answer: str) -> str:
    return answer if len(answer) <= _SHOWN_ANSWER else f"{answer[:_SHOWN_ANSWER]} …"


def judge(found: JudgeReport | None) -> Html:
    """What another model said of the answers, where one was asked."""
    if found is None or not found.judged:
        return Html("")
    who = f"{found.model} at {found.host}, asked in both orders about {count(found.judged, 'row')}."
    return part("What a judge says", said(found.sentence), quiet(who))
