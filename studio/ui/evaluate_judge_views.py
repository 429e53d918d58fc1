"""What Evaluate shows of a judge: what asking would send and cost, how it goes, and what was found."""

from __future__ import annotations

from collections.abc import Sequence

from studio.jobs.evaluation_said import retold
from studio.jobs.judging import Agreement, Estimate, JudgeReport, Judging, Standing
from studio.language import mark, tr, trn
from studio.ui.components.html import bar, chip, notice, text

SENT = (
    "<p class='quiet'>Off until you send. Of each row the question, both answers and, if you wish, the reference go to "
    "this address and nowhere else, with your criteria, twice: a judge may favour what stands first, so only verdicts "
    "that hold in both orders count. Identical answers are not sent.</p>"
)
_OUTCOMES = {
    "win": (mark("judge: better"), "good"),
    "loss": (mark("judge: worse"), "bad"),
    "tie": (mark("judge: equal"), ""),
}


_COUNTED, _ESTIMATED = "{out:,} + {back:,}", mark("{out:,} + {back:,} (estimated)")
_CENTS, _SMALL = "{amount:,.2f}", "{amount:.2g}"


def judge_state_html(standing: Standing) -> str:
    """A bar while the judge is asked; why it ended otherwise."""
    if standing.alive:
        return bar(standing.fraction, retold(standing.words))
    kind = {"failed": "bad", "stopped": "warn"}.get(standing.state)
    return notice(kind, retold(standing.words)) if kind else ""


def estimate_html(found: Estimate, priced: bool, reference: bool) -> str:
    """What would be sent to which host, and what it would cost."""
    parts = [trn("{count:,} row chosen", "{count:,} rows chosen", found.rows)]
    if found.same:
        parts.append(tr("{rows:,} with identical answers", rows=found.same))
    if found.kept:
        parts.append(tr("{rows:,} judged before", rows=found.kept))
    rows = ", ".join(parts)
    if not found.requests:
        return notice("good", tr("Nothing needs to be sent: {rows}.", rows=rows))
    cost = tr("Without prices its cost is not known.")
    if priced:
        cost = tr("It costs about {cost}, at most {most}.", cost=money(found.cost), most=money(found.most))
    return notice("busy", f"{_sends(found, rows, reference)} {cost}")


def _sends(found: Estimate, rows: str, reference: bool) -> str:
    values = {"host": found.host, "rows": rows, "out": found.prompt_tokens, "back": found.answer_tokens}
    if reference:
        return trn(
            "Sends question, reference and both answers to {host} in {count:,} request ({rows}): about {out:,} tokens "
            "out and {back:,} back.",
            "Sends question, reference and both answers to {host} in {count:,} requests ({rows}): about {out:,} tokens "
            "out and {back:,} back.",
            found.requests,
            **values,
        )
    return trn(
        "Sends question and both answers to {host} in {count:,} request ({rows}): about {out:,} tokens out and "
        "{back:,} back.",
        "Sends question and both answers to {host} in {count:,} requests ({rows}): about {out:,} tokens out and "
        "{back:,} back.",
        found.requests,
        **values,
    )


def judged_html(found: Judging, agreed: Agreement | None) -> str:
    """The section of the report; '' where no judge was asked."""
    report = found.report
    if report is None:
        return ""
    parts = [
        f"<p>{text(retold(report.sentence))}</p>" if report.judged else "",
        _shares(report),
        notice("warn", tr("The run was evaluated anew since: ask the judge again.")) if found.stale else "",
        notice("warn", f"{retold(report.stopped)} {_left(report.left)}") if report.left else "",
        _facts(report, agreed),
        f"<details><summary>{text(tr('Criteria'))}</summary><p class='criteria'>{text(report.criteria)}</p></details>",
    ]
    named = f'{text(report.model)} <span class="quiet">{text(tr("at {host}", host=report.host))}</span>'
    head = tr("What the judge says: {judge}", judge=named)
    return f'<section class="judged"><h3>{head}</h3>{"".join(parts)}</section>'


def _left(rows: int) -> str:
    return trn("{count:,} row not judged.", "{count:,} rows not judged.", rows)


def _shares(report: JudgeReport) -> str:
    counted = [("win", report.wins), ("tie", report.ties), ("loss", report.losses)]
    if not report.judged:
        return ""
    words = ", ".join(
        [
            tr("better {share}", share=_percent(report.win)),
            tr("equal {share}", share=_percent(report.tie)),
            tr("worse {share}", share=_percent(report.loss)),
        ]
    )
    drawn = "".join(f'<i class="{name}" style="flex:{number}"></i>' for name, number in counted if number)
    bars = f'<div class="outcome-bar" role="img" aria-label="{text(words)}">{drawn}</div>'
    return f'{bars}<p class="quiet">{text(words)}</p>'


def _facts(report: JudgeReport, agreed: Agreement | None) -> str:
    facts = []
    if report.shown_twice:
        share = round(100 * report.changed / report.shown_twice)
        of = trn("{share} % of {count:,} row", "{share} % of {count:,} rows", report.shown_twice, share=share)
        facts.append((tr("Order changed the answer"), of))
    if report.first is not None:
        facts.append((tr("Chose what stood first"), tr("{share} % of choices", share=round(100 * report.first))))
    if report.unread_replies:
        replies = trn("{count:,} reply", "{count:,} replies", report.unread_replies)
        rows = trn("{count:,} row left out", "{count:,} rows left out", report.unread)
        facts.append((tr("Could not be read"), f"{replies}, {rows}"))
    if agreed:
        votes = trn("{agreed:,} of {count:,} vote", "{agreed:,} of {count:,} votes", agreed.votes, agreed=agreed.agreed)
        kappa = "" if agreed.kappa is None else f" · {tr('kappa {kappa:.2f}', kappa=agreed.kappa)}"
        facts.append((tr("Agrees with people"), f"{votes}{kappa}"))
    facts.append((tr("Tokens, out + back"), _tokens(report)))
    if report.cost:
        once = abs(report.cost - report.cost_now) < 1e-12
        cost, last = money(report.cost), money(report.cost_now)
        facts.append((tr("Cost"), cost if once else tr("{cost}, {last} of it last", cost=cost, last=last)))
    lines = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts)
    return f'<dl class="lines">{lines}</dl>'


def _tokens(report: JudgeReport) -> str:
    values = {"out": report.prompt_tokens, "back": report.answer_tokens}
    return tr(_COUNTED if report.counted else _ESTIMATED, **values)


def row_judged(report: JudgeReport | None, row: int) -> str:
    """What the judge said of a row: a chip, and its reason; '' of rows it was not asked about."""
    found = next((one for one in report.rows if one.row == row), None) if report else None
    if found is None or found.same or found.outcome == "unread":
        return ""
    words, kind = _OUTCOMES[found.outcome]
    if found.changed:
        words, kind = mark("judge: depends on the order"), "warn"
    why = f' <span class="quiet" dir="auto">{text(found.why)}</span>' if found.why else ""
    return f'<p class="judge-said">{chip(tr(words), kind)}{why}</p>'


def money(amount: float) -> str:
    """An amount in the currency of the user's prices."""
    return (tr(_CENTS, amount=amount) if amount >= 10 else tr(_SMALL, amount=amount)) if amount else "0"


def _percent(share: Sequence[float]) -> str:
    value, low, high = (round(100 * part) for part in share)
    return f"{value} % ({low}–{high})"
