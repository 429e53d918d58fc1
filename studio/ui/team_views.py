"""What the Team tab shows of annotators, agreement and label quality: data in, HTML out."""

from __future__ import annotations

from studio.labeling.agreement import Agreement
from studio.labeling.dashboard import Dashboard, Person, Share
from studio.labeling.label_quality import QualityReport
from studio.labeling.reliability import Estimate
from studio.language import mark, tr, trn
from studio.ui.components.html import duration, empty, notice, text
from studio.ui.components.lines import day_lines
from studio.ui.components.tables import Cell, choosable, interval, sortable

_MISSING = '<span class="quiet">–</span>'
_DISTANCES = {
    "nominal": mark("answers are the same or not"),
    "ordinal": mark("ratings are compared by rank"),
    "MASI": mark("label sets are compared by MASI: a subset counts as half the way"),
}


def dashboard_html(board: Dashboard, text_task: bool) -> str:
    """Answers a day, and a line an annotator."""
    if not board.people:
        return empty(
            tr("Nobody has answered yet"),
            tr("As soon as somebody labels in this project, their figures are here."),
        )
    title = tr("Answers a day")
    plot = day_lines(board.days, [(line.annotator, line.counts) for line in board.lines], title)
    more = trn(
        "And {count:,} annotator with fewer answers.", "And {count:,} annotators with fewer answers.", board.others
    )
    more = f"<p class='quiet'>{more}</p>" if board.others else ""
    head = [tr("Annotator"), tr("Answers"), tr("Median time"), tr("Agreement"), tr("Accepted")]
    head += [tr("Suggestions taken"), tr("Gold right")]
    table = sortable(tr("Annotators"), head, [_person(person, text_task) for person in board.people], range(1, 7))
    note = f"<p class='quiet'>{_figures_mean(text_task)}</p>"
    return f'<div class="team"><h3>{title}</h3>{plot}{more}{table}{note}</div>'


def _figures_mean(text_task: bool) -> str:
    if text_task:
        return tr(
            "Agreement: chrF with the others' answers to the same example, for ten examples or more. Accepted: of the "
            "answers that a reviewer decided about. A click on a heading sorts."
        )
    return tr(
        "Agreement: share of answers equal to another annotator's to the same example, for ten examples or more. "
        "Accepted: of the answers that a reviewer decided about. A click on a heading sorts."
    )


def _person(person: Person, text_task: bool) -> list[Cell]:
    pace = person.median_seconds
    gold = person.gold
    return [
        Cell(text(person.annotator), person.annotator),
        Cell(tr("{count:,}", count=person.answers), person.answers),
        Cell(_MISSING) if pace is None else Cell(text(duration(pace)), pace),
        _agreed(person.agreement, text_task),
        _share(person.accepted),
        _share(person.suggestions),
        Cell(_MISSING) if gold is None else _share(Share(gold.accuracy, gold.answers)),
    ]


def _agreed(found: Estimate | None, text_task: bool) -> Cell:
    if found is None or found.value is None:
        return Cell(_MISSING)
    shown = f"{found.value:.0f}" if text_task else f"{100 * found.value:.0f} %"
    return Cell(f"<span>{shown} <small>{tr('of {all:,}', all=found.examples)}</small></span>", found.value)


def _share(share: Share) -> Cell:
    if share.value is None:
        return Cell(_MISSING)
    of = tr("of {all:,}", all=share.of)
    return Cell(f"<span>{100 * share.value:.0f} % <small>{of}</small></span>", share.value)


def agreement_html(found: Agreement) -> str:
    """The headline figure with its interval, then labels and pairs."""
    overall, chrf = found.overall, found.measure == "chrf"
    if overall.value is None and overall.examples == 0:
        return empty(
            tr("No example has answers of two annotators"),
            tr(
                "Let several people answer each example (the overlap, in the project's settings): then it shows here "
                "how far they agree."
            ),
        )
    how = tr("0 to 100, higher is closer.")
    if not chrf:
        how = tr("1 is perfect, 0 is chance; {distance}.", distance=tr(_DISTANCES[found.distance]))
    counted = tr(
        "In brackets the 95 % bootstrap interval over examples. Imported answers, reviewers' edits and gold are not "
        "counted."
    )
    notes = "".join(notice("", note) for note in found.notes)
    return (
        f'<div class="team">{_headline(overall, chrf)}<p class="quiet">{text(how)} {counted}</p>{notes}'
        f'<div class="{"pair" if found.labels else "one"}">{_labels(found)}{_pairs(found)}</div></div>'
    )


def _headline(overall: Estimate, chrf: bool) -> str:
    name = tr("Mean chrF of two answers to one example") if chrf else tr("Krippendorff's alpha")
    if overall.value is None:
        words = trn(
            "{name}: {reason} There is {count:,} example so far.",
            "{name}: {reason} There are {count:,} examples so far.",
            overall.examples,
            name=name,
            reason=overall.reason,
        )
        return notice("warn", words)
    words = trn(
        "{name} {value} {range} on {count:,} example.",
        "{name} {value} {range} on {count:,} examples.",
        overall.examples,
        name=name,
        value=f"<b>{_number(overall.value, chrf)}</b>",
        range=_range(overall, chrf),
    )
    return f"<p class='headline'>{words}</p>"


def _labels(found: Agreement) -> str:
    if not found.labels:
        return ""
    rows = [[Cell(text(row.label), row.label), *_estimate(row.alpha, False)] for row in found.labels]
    head = [tr("Label"), tr("Alpha"), tr("Interval"), tr("Examples")]
    return f"<div><h3>{tr('By label')}</h3>{sortable(tr('Alpha by label'), head, rows, (1, 2, 3))}</div>"


def _pairs(found: Agreement) -> str:
    if not found.pairs:
        return ""
    chrf = found.measure == "chrf"
    rows = [
        [Cell(f"{text(row.first)} · {text(row.second)}", row.first), *_estimate(row.agreement, chrf)]
        for row in found.pairs
    ]
    head = [tr("Annotators"), "chrF" if chrf else tr("Cohen's kappa"), tr("Interval"), tr("Examples")]
    table = sortable(tr("Agreement by pair of annotators"), head, rows, (1, 2, 3))
    return f"<div><h3>{tr('By pair')}</h3>{table}</div>"


def _estimate(found: Estimate, chrf: bool) -> list[Cell]:
    examples = Cell(tr("{count:,}", count=found.examples), found.examples)
    if found.value is None or found.low is None or found.high is None:
        hidden = f'<span class="quiet" title="{text(found.reason)}">{tr("not shown")}</span>'
        return [Cell(hidden), Cell(_MISSING), examples]
    least, most = (0.0, 100.0) if chrf else (-0.2, 1.0)
    bar = interval(found.low, found.value, found.high, least, most)
    return [
        Cell(f"<b>{_number(found.value, chrf)}</b>", found.value),
        Cell(f"{bar} <small>{_range(found, chrf)}</small>", found.high - found.low),
        examples,
    ]


def _number(value: float | None, chrf: bool) -> str:
    if value is None:
        return "–"
    return tr("{value:.1f}", value=value) if chrf else tr("{value:.2f}", value=value)


def _range(found: Estimate, chrf: bool) -> str:
    if found.low is None:
        return ""
    return tr("({low} to {high})", low=_number(found.low, chrf), high=_number(found.high, chrf))


def quality_html(report: QualityReport) -> str:
    """What was looked at, in a sentence."""
    sentences = [
        trn(
            "{count:,} label of {all:,} likely wrong.",
            "{count:,} labels of {all:,} likely wrong.",
            report.found,
            all=report.looked_at,
        )
    ]
    if report.found > len(report.suspects):
        sentences.append(tr("The {count:,} likeliest are listed.", count=len(report.suspects)))
    right = tr(
        "On examples it had not seen, the model gives the label of {percent:.0f} %: the lower this is, the less the "
        "list means.",
        percent=100 * report.accuracy,
    )
    details = [tr("Left out, for fewer than five examples have it: {label}", label=name) for name in report.left_out]
    if missed := max(0, report.labeled - report.looked_at):
        details.append(tr("{count:,} labeled examples were not looked at.", count=missed))
    return notice("good" if not report.found else "warn", " ".join([*sentences, right]), details)


def suspects_html(report: QualityReport) -> str:
    """The likely wrong labels, worst first."""
    if not report.suspects:
        return ""
    rows = [
        (
            item.example_id,
            tr("the example “{words}”", words=_short(item.text, 80)),
            [
                text(_short(item.text, 240)),
                f"<b>{text(item.given)}</b> <small>{tr('by {who}', who=text(item.annotator))}</small>",
                text(item.likely),
                tr("{percent:.1f} %", percent=100 * item.score),
            ],
        )
        for item in report.suspects
    ]
    head = [tr("Example"), tr("Given label"), tr("Likely label"), tr("Given is right")]
    return choosable(tr("Look again"), head, rows, (3,))


def _short(words: str, limit: int) -> str:
    return words if len(words) <= limit else words[: limit - 1] + "…"
