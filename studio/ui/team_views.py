"""What the Team tab shows of annotators, agreement and label quality: data in, HTML out."""

from __future__ import annotations

from studio.labeling.agreement import Agreement
from studio.labeling.dashboard import Dashboard, Person, Share
from studio.labeling.label_quality import QualityReport
from studio.labeling.reliability import Estimate
from studio.ui.components.html import count, duration, empty, notice, text
from studio.ui.components.lines import day_lines
from studio.ui.components.tables import Cell, choosable, interval, sortable

_MISSING = '<span class="quiet">–</span>'
_DISTANCES = {
    "nominal": "answers are the same or not",
    "ordinal": "ratings are compared by rank",
    "MASI": "label sets are compared by MASI: a subset counts as half the way",
}


def dashboard_html(board: Dashboard, text_task: bool) -> str:
    """Answers a day, and a line an annotator."""
    if not board.people:
        return empty("Nobody has answered yet", "As soon as somebody labels in this project, their figures are here.")
    plot = day_lines(board.days, [(line.annotator, line.counts) for line in board.lines], "Answers a day")
    more = f"<p class='quiet'>And {count(board.others, 'annotator')} with fewer answers.</p>" if board.others else ""
    head = ["Annotator", "Answers", "Median time", "Agreement", "Accepted", "Suggestions taken", "Gold right"]
    table = sortable("Annotators", head, [_person(person, text_task) for person in board.people], range(1, 7))
    said = "chrF with the others' answers" if text_task else "share of answers equal to another annotator's"
    note = (
        f"<p class='quiet'>Agreement: {said} to the same example, for ten examples or more. Accepted: of the answers "
        "that a reviewer decided about. A click on a heading sorts.</p>"
    )
    return f'<div class="team"><h3>Answers a day</h3>{plot}{more}{table}{note}</div>'


def _person(person: Person, text_task: bool) -> list[Cell]:
    pace = person.median_seconds
    gold = person.gold
    return [
        Cell(text(person.annotator), person.annotator),
        Cell(f"{person.answers:,}", person.answers),
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
    return Cell(f"<span>{shown} <small>of {found.examples:,}</small></span>", found.value)


def _share(share: Share) -> Cell:
    if share.value is None:
        return Cell(_MISSING)
    return Cell(f"<span>{100 * share.value:.0f} % <small>of {share.of:,}</small></span>", share.value)


def agreement_html(found: Agreement) -> str:
    """The headline figure with its interval, then labels and pairs."""
    overall, chrf = found.overall, found.measure == "chrf"
    if overall.value is None and overall.examples == 0:
        return empty(
            "No example has answers of two annotators",
            "Let several people answer each example (the overlap, in the project's settings): then it shows here how "
            "far they agree.",
        )
    name = "Mean chrF of two answers to one example" if chrf else "Krippendorff's alpha"
    headline = (
        f"<p class='headline'>{name} <b>{_number(overall.value, chrf)}</b> {_range(overall, chrf)} on "
        f"{count(overall.examples, 'example')}.</p>"
        if overall.value is not None
        else notice("warn", f"{name}: {overall.reason} There is {count(overall.examples, 'example')} so far.")
    )
    how = "0 to 100, higher is closer." if chrf else f"1 is perfect, 0 is chance; {_DISTANCES[found.distance]}."
    notes = "".join(notice("", note) for note in found.notes)
    return (
        f'<div class="team">{headline}<p class="quiet">{text(how)} In brackets the 95 % bootstrap interval over '
        f"examples. Imported answers, reviewers' edits and gold are not counted.</p>{notes}"
        f'<div class="{"pair" if found.labels else "one"}">{_labels(found)}{_pairs(found)}</div></div>'
    )


def _labels(found: Agreement) -> str:
    if not found.labels:
        return ""
    rows = [[Cell(text(row.label), row.label), *_estimate(row.alpha, False)] for row in found.labels]
    head = ["Label", "Alpha", "Interval", "Examples"]
    return "<div><h3>By label</h3>" + sortable("Alpha by label", head, rows, (1, 2, 3)) + "</div>"


def _pairs(found: Agreement) -> str:
    if not found.pairs:
        return ""
    chrf = found.measure == "chrf"
    rows = [
        [Cell(f"{text(row.first)} · {text(row.second)}", row.first), *_estimate(row.agreement, chrf)]
        for row in found.pairs
    ]
    head = ["Annotators", "chrF" if chrf else "Cohen's kappa", "Interval", "Examples"]
    return "<div><h3>By pair</h3>" + sortable("Agreement by pair of annotators", head, rows, (1, 2, 3)) + "</div>"


def _estimate(found: Estimate, chrf: bool) -> list[Cell]:
    examples = Cell(f"{found.examples:,}", found.examples)
    if found.value is None or found.low is None or found.high is None:
        return [Cell(f'<span class="quiet" title="{text(found.reason)}">not shown</span>'), Cell(_MISSING), examples]
    least, most = (0.0, 100.0) if chrf else (-0.2, 1.0)
    bar = interval(found.low, found.value, found.high, least, most)
    return [
        Cell(f"<b>{_number(found.value, chrf)}</b>", found.value),
        Cell(f"{bar} <small>{_range(found, chrf)}</small>", found.high - found.low),
        examples,
    ]


def _number(value: float | None, chrf: bool) -> str:
    return "–" if value is None else f"{value:.1f}" if chrf else f"{value:.2f}"


def _range(found: Estimate, chrf: bool) -> str:
    return f"({_number(found.low, chrf)} to {_number(found.high, chrf)})" if found.low is not None else ""


def quality_html(report: QualityReport) -> str:
    """What was looked at, in a sentence."""
    shown = f" The {len(report.suspects):,} likeliest are listed." if report.found > len(report.suspects) else ""
    sentence = (
        f"{count(report.found, 'label')} of {report.looked_at:,} likely wrong.{shown} On examples it had not seen, the "
        f"model gives the label of {100 * report.accuracy:.0f} %: the lower this is, the less the list means."
    )
    details = [f"Left out, for fewer than five examples have it: {name}" for name in report.left_out]
    if report.labeled > report.looked_at:
        details.append(f"{report.labeled - report.looked_at:,} labeled examples were not looked at.")
    return notice("good" if not report.found else "warn", sentence, details)


def suspects_html(report: QualityReport) -> str:
    """The likely wrong labels, worst first."""
    if not report.suspects:
        return ""
    rows = [
        (
            item.example_id,
            f"the example “{_short(item.text, 80)}”",
            [
                text(_short(item.text, 240)),
                f"<b>{text(item.given)}</b> <small>by {text(item.annotator)}</small>",
                text(item.likely),
                f"{100 * item.score:.1f} %",
            ],
        )
        for item in report.suspects
    ]
    return choosable("Look again", ["Example", "Given label", "Likely label", "Given is right"], rows, (3,))


def _short(words: str, limit: int) -> str:
    return words if len(words) <= limit else words[: limit - 1] + "…"
