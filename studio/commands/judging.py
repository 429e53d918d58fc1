"""`judge RUN --url URL --model NAME`: a model of an OpenAI-compatible endpoint compares base and tuned answers.

Its key is taken from the environment variable SFT_STUDIO_JUDGE_KEY, never from a flag, which other users of the machine
could read. With `--estimate` nothing is sent. JSON: {"run", "model", "host", "rows", "judged", "wins", "ties",
"losses", "rate": {"value", "low", "high"}, "order_changed", "chose_first", "unread", "left", "tokens": {"prompt",
"answer", "counted"}, "cost", "cost_now", "people": {"votes", "agreed", "kappa"} or null, "sentence"}; of an estimate
{"host", "rows", "same", "kept", "requests", "tokens", "cost", "most"}.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from storage.records import User
from storage.runs import get_run
from studio.commands import Outcome, opened, teller
from studio.contract.judging import KEY_VARIABLE
from studio.errors import BadInput
from studio.jobs.judging import (
    Agreement,
    Estimate,
    JudgeAsk,
    JudgeReport,
    agreement_with_people,
    estimate,
    follow_judging,
    start_judging,
)
from studio.settings import USER, Workspace

_CRITERIA_BYTES = 64_000


def judge(workspace: Workspace, flags: Namespace) -> Outcome:
    """`judge RUN --url URL --model NAME [--criteria TEXT|@FILE] [--rows N] [--price-in X] [--price-out Y] [--most-cost
    Z] [--reply-tokens N] [--no-reference] [--estimate]`; an interrupt stops it, and what was judged is kept."""
    asked = JudgeAsk(
        url=flags.url,
        model=flags.model,
        criteria=_criteria(flags.criteria),
        rows=flags.rows,
        reference=not flags.no_reference,
        price_in=flags.price_in,
        price_out=flags.price_out,
        most_cost=flags.most_cost,
        reply_tokens=flags.reply_tokens,
    )
    with opened(workspace) as db:
        found = estimate(db, workspace, flags.run, asked)
        if flags.estimate:
            return Outcome(estimate_json(found), _would(found))
        print(_would(found), file=sys.stderr)
        user = User(USER, "admin")
        run = start_judging(db, workspace, user, flags.run, asked, os.environ.get(KEY_VARIABLE, ""))
    report = follow_judging(workspace, run, teller())
    with opened(workspace) as db:
        agreed = agreement_with_people(db, workspace, get_run(db, run.id), report)
    return Outcome(report_json(report, agreed), f"{report.sentence} {report.stopped}".strip())


def report_json(report: JudgeReport, agreed: Agreement | None) -> dict[str, object]:
    """What a judge found as one JSON object."""
    value, low, high = report.rate
    people = {"votes": agreed.votes, "agreed": agreed.agreed, "kappa": agreed.kappa} if agreed else None
    return {
        "run": report.run,
        "model": report.model,
        "host": report.host,
        "rows": report.asked,
        "judged": report.judged,
        "wins": report.wins,
        "ties": report.ties,
        "losses": report.losses,
        "rate": {"value": value, "low": low, "high": high},
        "order_changed": report.changed / report.shown_twice if report.shown_twice else None,
        "chose_first": report.first,
        "unread": report.unread,
        "left": report.left,
        "tokens": {"prompt": report.prompt_tokens, "answer": report.answer_tokens, "counted": report.counted},
        "cost": report.cost,
        "cost_now": report.cost_now,
        "people": people,
        "sentence": report.sentence,
    }


def estimate_json(found: Estimate) -> dict[str, object]:
    """What asking would send and cost as one JSON object."""
    tokens = {"prompt": found.prompt_tokens, "answer": found.answer_tokens}
    names = ("host", "rows", "same", "kept", "requests", "cost", "most")
    return {name: getattr(found, name) for name in names} | {"tokens": tokens}


def _would(found: Estimate) -> str:
    return (
        f"{found.requests:,} requests to {found.host} for {found.rows:,} rows: about {found.prompt_tokens:,} tokens "
        f"out and {found.answer_tokens:,} back, cost about {found.cost:.4g}, at most {found.most:.4g}."
    )


def _criteria(given: str) -> str:
    """The text of the flag, or of the file that it names behind an @. Raises BadInput."""
    if not given.startswith("@"):
        return given
    try:
        with Path(given[1:]).open("rb") as file:
            return file.read(_CRITERIA_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"The criteria cannot be read from {given[1:]}: give a text file.") from None
