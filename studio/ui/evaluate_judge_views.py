"""What Evaluate shows of a judge: what asking would send and cost, how it goes, and what was found."""

from __future__ import annotations

from collections.abc import Sequence

from studio.jobs.judging import Agreement, Estimate, JudgeReport, Judging, Standing
from studio.ui.components.html import bar, chip, count, notice, text

SENT = (
    "<p class='quiet'>Off until you send. Of each row the question, both answers and, if you wish, the reference go to "
    "this address and nowhere else, with your criteria, twice: a judge may favour what stands first, so only verdicts "
    "that hold in both orders count. Identical answers are not sent.</p>"
)
_OUTCOMES = {"win": ("judge: better", "good"), "loss": ("judge: worse", "bad"), "tie": ("judge: equal", "")}


def judge_state_html(standing: Standing) -> str:
    """A bar while the judge is asked; why it ended otherwise."""
    if standing.alive:
        return bar(standing.fraction, standing.words)
    kind = {"failed": "bad", "stopped": "warn"}.get(standing.state)
    return notice(kind, standing.words) if kind else ""


def estimate_html(found: Estimate, priced: bool, reference: bool) -> str:
    """What would be sent to which host, and what it would cost."""
    parts = [f"{count(found.rows, 'row')} chosen"]
    if found.same:
        parts.append(f"{found.same:,} with identical answers")
    if found.kept:
        parts.append(f"{found.kept:,} judged before")
    if not found.requests:
        words = f"Nothing needs to be sent: {', '.join(parts)}."
        return notice("good", words)
    what = "question, reference and both answers" if reference else "question and both answers"
    tokens = f"about {found.prompt_tokens:,} tokens out and {found.answer_tokens:,} back"
    cost = f"It costs about {money(found.cost)}, at most {money(found.most)}." if priced else (
        "Without prices its cost is not known."
    )  # fmt: skip
    sends = f"Sends {what} to {found.host} in {count(found.requests, 'request')} ({', '.join(parts)}): {tokens}. {cost}"
    return notice("busy", sends)


def judged_html(found: Judging, agreed: Agreement | None) -> str:
    """The section of the report; '' where no judge was asked."""
    report = found.report
    if report is None:
        return ""
    parts = [
        f"<p>{text(report.sentence)}</p>" if report.judged else "",
        _shares(report),
        notice("warn", "The run was evaluated anew since: ask the judge again.") if found.stale else "",
        notice("warn", f"{report.stopped} {count(report.left, 'row')} not judged.") if report.left else "",
        _facts(report, agreed),
        f"<details><summary>Criteria</summary><p class='criteria'>{text(report.criteria)}</p></details>",
    ]
    named = f'{text(report.model)} <span class="quiet">at {text(report.host)}</span>'
    return f'<section class="judged"><h3>What the judge says: {named}</h3>{"".join(parts)}</section>'


def _shares(report: JudgeReport) -> str:
    counted = [("win", report.wins), ("tie", report.ties), ("loss", report.losses)]
    if not report.judged:
        return ""
    words = ", ".join(
        f"{name} {_percent(share)}"
        for name, share in (("better", report.win), ("equal", report.tie), ("worse", report.loss))
    )
    drawn = "".join(f'<i class="{name}" style="flex:{number}"></i>' for name, number in counted if number)
    bars = f'<div class="outcome-bar" role="img" aria-label="{text(words)}">{drawn}</div>'
    return f'{bars}<p class="quiet">{text(words)}</p>'


def _facts(report: JudgeReport, agreed: Agreement | None) -> str:
    facts = []
    if report.shown_twice:
        share = report.changed / report.shown_twice
        facts.append(("Order changed the answer", f"{round(100 * share)} % of {count(report.shown_twice, 'row')}"))
    if report.first is not None:
        facts.append(("Chose what stood first", f"{round(100 * report.first)} % of choices"))
    if report.unread_replies:
        unread = f"{count(report.unread_replies, 'reply', 'replies')}, {count(report.unread, 'row')} left out"
        facts.append(("Could not be read", unread))
    if agreed:
        kappa = "" if agreed.kappa is None else f" · kappa {agreed.kappa:.2f}"
        facts.append(("Agrees with people", f"{agreed.agreed:,} of {count(agreed.votes, 'vote')}{kappa}"))
    tokens = f"{report.prompt_tokens:,} + {report.answer_tokens:,}" + ("" if report.counted else " (estimated)")
    facts.append(("Tokens, out + back", tokens))
    if report.cost:
        now = "" if abs(report.cost - report.cost_now) < 1e-12 else f", {money(report.cost_now)} of it last"
        facts.append(("Cost", f"{money(report.cost)}{now}"))
    lines = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts)
    return f'<dl class="lines">{lines}</dl>'


def row_judged(report: JudgeReport | None, row: int) -> str:
    """What the judge said of a row: a chip, and its reason; '' of rows it was not asked about."""
    found = next((one for one in report.rows if one.row == row), None) if report else None
    if found is None or found.same or found.outcome == "unread":
        return ""
    words, kind = _OUTCOMES[found.outcome]
    if found.changed:
        words, kind = "judge: depends on the order", "warn"
    why = f' <span class="quiet" dir="auto">{text(found.why)}</span>' if found.why else ""
    return f'<p class="judge-said">{chip(words, kind)}{why}</p>'


def money(amount: float) -> str:
    """An amount in the currency of the user's prices."""
    return f"{amount:,.2f}" if amount >= 10 else f"{amount:.2g}" if amount else "0"


def _percent(share: Sequence[float]) -> str:
    value, low, high = (round(100 * part) for part in share)
    return f"{value} % ({low}–{high})"
