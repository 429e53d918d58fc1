"""The whole page: records in, one HTML file out. No script, no link, no font, no request; light, dark and on paper.

The policy in its head lets a browser load nothing, whatever the texts of the rows say.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

from studio.contract.colours import DARK, LIGHT, rule
from studio.contract.evaluation import EvalReport, MetricReport
from studio.jobs.evaluation_said import between, chance, figure, retold, signed
from studio.jobs.verdict_page import parts
from studio.jobs.verdict_page.lineage import base_name, compared, lineage
from studio.jobs.verdict_page.pieces import Html, facts, notice, quiet, text
from studio.jobs.verdict_page.records import VerdictRecords
from studio.jobs.verdict_page.rows import answers, shown_rows
from studio.language import mark, reader, tr, trn

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MAJORITY = mark(
    "The base was never trained on these labels; what always says the most frequent one stands in its place."
)


def verdict_page(records: VerdictRecords) -> str:
    """The file's content, in the language of who asks for it. Without `records.texts` it holds no text of a row, not
    even in names of classes."""
    report, name = records.report, parts.namer(records)
    body = [
        _top(records),
        compared(records),
        parts.metrics(report),
        answers(report, records.rows if records.texts else ()),
        parts.ways(report),
        parts.classes(report, name),
        parts.slices(report, name),
        parts.further(records),
        parts.judge(records.judged),
        lineage(records),
    ]
    about = records.about
    sentence = retold(report.verdict.sentence)
    title = text(
        tr("Run {number} of {project}: {verdict}", number=about.number, project=about.project, verdict=sentence)
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{reader()}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>{title}</title>\n<style>\n{stylesheet()}</style>\n</head>\n<body>\n'
        f"<main>\n{_NEWLINE.join(part for part in body if part)}\n</main>\n{_foot(records)}\n</body>\n</html>\n"
    )


_NEWLINE = "\n"


def file_name(records: VerdictRecords) -> str:
    """What the file is called: project and run, in letters that every system has."""
    plain = unicodedata.normalize("NFKD", records.about.project).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:60]
    return f"{slug or 'project'}-run-{records.about.number}-verdict.html"


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """The studio's colours, then the page's own rules. On paper it is light whatever the screen is."""
    dark = f"@media screen and (prefers-color-scheme: dark) {{ {rule(':root', DARK)} }}"
    own = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    return f"{rule(':root', LIGHT)}\n{dark}\n{own}"


def _top(records: VerdictRecords) -> Html:
    """The sentence, who against whom, and how the rows fell."""
    report = records.report
    verdict, lead = report.verdict, report.metrics[report.verdict.metric]
    notes = [notice("busy", tr(_MAJORITY))] if report.base_is == "majority" else []
    notes += [notice("warn", retold(note)) for note in report.notes]
    return Html(
        '<header><p class="from"><span class="mark" aria-hidden="true"></span><b>SFT Studio</b> '
        f"{text(tr('Verdict'))}</p>"
        f'<h1 class="{verdict.kind}">{_whole(retold(verdict.sentence))}</h1><p class="lede">{text(_lede(records))}</p>'
        f"{_outcomes(report)}{facts(_lead(lead), 'facts')}{''.join(notes)}</header>"
    )


def _lede(records: VerdictRecords) -> str:
    about, report = records.about, records.report
    values = {"number": about.number, "project": about.project, "base": base_name(records.base_model)}
    if report.base_is == "majority":
        return trn(
            "Run {number} of {project} against the most frequent label, on {count:,} held-out row.",
            "Run {number} of {project} against the most frequent label, on {count:,} held-out rows.",
            report.rows,
            **values,
        )
    return trn(
        "Run {number} of {project} against its base {base}, on {count:,} held-out row.",
        "Run {number} of {project} against its base {base}, on {count:,} held-out rows.",
        report.rows,
        **values,
    )


def _whole(sentence: str) -> str:
    """The sentence; what stands in brackets is not broken over two lines."""
    return re.sub(r"\([^()]{1,24}\)", r'<span class="whole">\g<0></span>', text(sentence))


def _outcomes(report: EvalReport) -> str:
    """Wins, ties and losses as one bar, each named."""
    verdict = report.verdict
    if verdict.wins is None or verdict.ties is None or verdict.losses is None:
        return ""
    fell = [
        ("win", verdict.wins, tr("{rows:,} better", rows=verdict.wins)),
        ("tie", verdict.ties, tr("{rows:,} equal", rows=verdict.ties)),
        ("loss", verdict.losses, tr("{rows:,} worse", rows=verdict.losses)),
    ]
    drawn = "".join(f'<i class="{kind}" style="flex:{number}"></i>' for kind, number, _ in fell if number)
    named = "".join(f'<span><i class="{kind}"></i>{text(words)}</span>' for kind, _, words in fell)
    title = text(tr("by {metric}", metric=tr(report.metrics[verdict.metric].title)))
    return (
        f'<div class="outcomes" aria-hidden="true">{drawn}</div><p class="legend">{named}'
        f'<span class="quiet">{title}</span></p>'
    )


def _lead(lead: MetricReport) -> list[tuple[str, object]]:
    known = between(lead.low, lead.high)
    difference = Html(f"{text(signed(lead.difference))} <small>{text(known)}</small>" if known else "")
    return [
        (tr("{metric}, base", metric=tr(lead.title)), figure(lead.base)),
        (tr("Tuned"), figure(lead.tuned)),
        (tr("Difference, 95 % interval"), difference or signed(lead.difference)),
        (tr("So large by chance"), chance(lead.p)),
    ]


def _foot(records: VerdictRecords) -> str:
    """When it was made, and what the reader holds in hands."""
    if records.texts:
        held = trn(
            "This file holds the texts of {count:,} held-out row: give it only to those who may read them.",
            "This file holds the texts of {count:,} held-out rows: give it only to those who may read them.",
            shown_rows(records.rows),
        )
    else:
        held = tr("This file holds no texts of rows.")
    when, version = f"{records.made:%Y-%m-%d %H:%M} UTC", records.about.studio
    made = tr("Made {when} by SFT Studio {version}. It loads nothing and runs no script.", when=when, version=version)
    return f"<footer>{quiet(held)}{quiet(made)}</footer>"
