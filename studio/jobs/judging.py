"""A model as judge of an evaluation's answers: what it would be sent and cost, start, how it goes, what people say.

Nothing is sent by looking or estimating, only by `start_judging`. The key goes to the process by its environment and is
written nowhere. What it leaves out: the asking (studio.jobs.judge), and figures (studio.evaluation.judge).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from storage.audit import record
from storage.comparisons import get_comparison, side_names, standing_votes
from storage.database import Database
from storage.projects import get_project
from storage.records import Comparison, Run, User, Vote
from storage.runs import get_run, list_runs
from studio.contract.answers import unsafe_text, with_flags
from studio.contract.chat import Message
from studio.contract.evaluation import EvalReport, read_eval_spec
from studio.contract.judging import (
    KEY_VARIABLE,
    JudgeReport,
    JudgeSpec,
    Pair,
    read_judge_spec,
    read_judged,
    write_pairs,
)
from studio.contract.plain import one_text, question_and_answer
from studio.contract.spec import SPEC_FILE
from studio.errors import BadInput, BadSpec, DiskFull, JobFailed
from studio.evaluation.judge import (
    DEFAULT_CRITERIA,
    USUAL_REPLY,
    Agreement,
    agreement,
    cost_of,
    reply_key,
    tokens_about,
    tokens_most,
    told,
)
from studio.jobs import job_folders
from studio.jobs.endpoint import Endpoint, checked_endpoint, with_kept_key
from studio.jobs.evaluating import EvalRow, folder_of, list_rows, look_at
from studio.jobs.job_folders import Standing
from studio.jobs.judge_kept import Kept
from studio.jobs.processes import claimed, is_alive, spawn
from studio.language import mark, tr
from studio.settings import Workspace

JUDGE_MODULE = "studio.jobs.judge"
MOST_ROWS = 10_000
_ALL = 1_000_000
_LOCK = threading.Lock()

__all__ = [
    "KEY_VARIABLE",
    "Agreement",
    "Estimate",
    "JudgeAsk",
    "JudgeReport",
    "Judging",
    "Standing",
    "agreement_with_people",
    "cancel_judging",
    "criteria_of",
    "estimate",
    "follow_judging",
    "judge_standing",
    "look_at_judge",
    "start_judging",
]


@dataclass(frozen=True)
class JudgeAsk:
    """What somebody asks of a judge. Prices are per million tokens; `most_cost` is in the same currency, 0 for no
    limit; `rows` held-out rows at the most, evenly spread."""

    url: str
    model: str
    criteria: str = ""
    rows: int = 100
    reference: bool = True
    price_in: float = 0.0
    price_out: float = 0.0
    most_cost: float = 0.0
    reply_tokens: int = 400


@dataclass(frozen=True)
class Estimate:
    """What asking would send and cost: `requests` for `rows` rows, of which `same` have one answer twice and `kept`
    were judged before. Tokens and `cost` are what is usual; `most` is what it cannot exceed, each question asked
    twice over."""

    host: str
    model: str
    rows: int
    same: int
    kept: int
    requests: int
    prompt_tokens: int
    answer_tokens: int
    cost: float
    most: float


@dataclass(frozen=True)
class Judging:
    """How a run's judging stands, and its report; `stale`: the run was evaluated anew since."""

    standing: Standing
    report: JudgeReport | None = None
    stale: bool = False


@dataclass(frozen=True)
class _Order:
    """What an ask comes to: the endpoint, the spec, the pairs."""

    endpoint: Endpoint
    spec: JudgeSpec
    pairs: tuple[Pair, ...]


def estimate(db: Database, workspace: Workspace, run_id: str, asked: JudgeAsk) -> Estimate:
    """What it would send and cost, without sending anything. Raises BadInput, BadSpec, NotFound."""
    order = _order(db, workspace, run_id, asked, "")
    spec, kept = order.spec, Kept(order.spec.kept)
    different = [pair for pair in order.pairs if not pair.same]
    missing = [
        told(pair, spec.criteria, first, spec.reference)
        for pair in different
        for first in ("base", "tuned")
        if not kept.choice(reply_key(spec.url, spec.model, spec.criteria, pair, first, spec.reference))  # type: ignore[arg-type]
    ]
    usual, most = sum(map(tokens_about, missing)), sum(map(tokens_most, missing))
    answers = len(missing) * USUAL_REPLY
    prices = (spec.price_in, spec.price_out)
    worst = 2 * cost_of(most, len(missing) * spec.reply_tokens, *prices)
    return Estimate(
        host=order.endpoint.host,
        model=spec.model,
        rows=len(order.pairs),
        same=len(order.pairs) - len(different),
        kept=_done(spec, kept, different),
        requests=len(missing),
        prompt_tokens=usual,
        answer_tokens=answers,
        cost=cost_of(usual, answers, *prices),
        most=min(worst, spec.most_cost) if spec.most_cost else worst,
    )


def start_judging(db: Database, workspace: Workspace, user: User, run_id: str, asked: JudgeAsk, key: str = "") -> Run:
    """Have a judge compare base and tuned answers of a run's newest evaluation; replies it gave before are not asked
    for again. Without a key, the one that was named for the same address is used. The audit log keeps who sent how
    many rows to which host.

    Raises BadInput (not evaluated, one is at work, an address or a limit that cannot be), BadSpec, NotFound, DiskFull,
    JobFailed.
    """
    order = _order(db, workspace, run_id, asked, key)
    run, folder = get_run(db, run_id), _folder(workspace, run_id)
    with _LOCK:
        if is_alive(folder):
            raise BadInput(tr("Run {number} is being judged already: wait for it, or stop it.", number=run.number))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "events.jsonl").unlink(missing_ok=True)
            (folder / SPEC_FILE).write_text(order.spec.model_dump_json(), encoding="utf-8")
            write_pairs(folder, order.pairs)
        except OSError as error:
            why = error.strerror or error
            words = tr("The judging cannot be written to {folder}: {reason}.", folder=folder, reason=why)
            raise DiskFull(words) from error
        sent = {"model": order.spec.model, "rows": len(order.pairs), "reference": order.spec.reference}
        record(db, user.name, "judge ask", run.project_id, run.id, host=order.endpoint.host, **sent)
        with claimed(folder) as lock:
            # Always set, so that a key in the app's own environment never goes to an address that a form names.
            spawn(folder, JUDGE_MODULE, lock, {KEY_VARIABLE: order.endpoint.key})
    return run


def look_at_judge(workspace: Workspace, run: Run) -> Judging:
    """How a run's newest judging stands."""
    found = judge_standing(workspace, run.id)
    try:
        report = read_judged(folder_of(workspace, run.id))
    except JobFailed as error:
        return Judging(found if found.alive else Standing("failed", words=str(error)))
    evaluated = look_at(workspace, run).report if report else None
    stale = report is not None and (evaluated is None or report.evaluation != _name(evaluated))
    return Judging(found, report, stale)


def judge_standing(workspace: Workspace, run_id: str) -> Standing:
    """How a run's newest judging stands, without its report."""
    stopped = mark("Stopped: what was judged is kept, and asking again goes on there.")
    return job_folders.standing(_folder(workspace, run_id), mark("The judging broke off"), stopped)


def cancel_judging(workspace: Workspace, run_id: str) -> None:
    """Stop asking; replies that came are kept."""
    job_folders.end(_folder(workspace, run_id))


def follow_judging(
    workspace: Workspace, run: Run, on_progress: Callable[[float, str], object] = lambda fraction, words: None
) -> JudgeReport:
    """See a judging to its end; an interrupt stops it. Raises JobFailed, Cancelled."""
    job_folders.follow(
        lambda: look_at_judge(workspace, run).standing, lambda: cancel_judging(workspace, run.id), on_progress
    )
    report = read_judged(folder_of(workspace, run.id))
    if report is None:
        raise JobFailed("The limit on the cost allows not a single row: raise it.")
    return report


def criteria_of(db: Database, workspace: Workspace, project_id: str) -> str:
    """The criteria to begin with: those that a judge of this project was last given, else the project's guidelines,
    else what is generally wanted. Raises NotFound."""
    specs = [_folder(workspace, run.id) / SPEC_FILE for run in list_runs(db, project_id)]
    for path in sorted((path for path in specs if path.exists()), key=lambda path: -path.stat().st_mtime):
        try:
            return read_judge_spec(path.parent).criteria
        except BadSpec:
            continue
    return get_project(db, project_id).guidelines.strip() or DEFAULT_CRITERIA


def agreement_with_people(db: Database, workspace: Workspace, run: Run, report: JudgeReport) -> Agreement | None:
    """How far the judge agrees with people who voted on the very same answers in Compare; None where nobody did."""
    sides = side_names(db, run.project_id)
    votes = [
        vote
        for vote in standing_votes(db, run.project_id)
        if {sides[vote.comparison_id][place].run_id for place in (vote.left, vote.right)} == {"", run.id}
    ]
    if not votes:
        return None
    try:
        pairs = {_shown(pair.question, pair.base, pair.tuned): pair.row for pair in _pairs(workspace, run)}
    except BadInput:
        return None
    verdicts = {row.row: row.outcome for row in report.rows if row.outcome != "unread" and not row.same}
    seen = {name: get_comparison(db, name) for name in dict.fromkeys(vote.comparison_id for vote in votes)}
    found = [_voted(vote, seen[vote.comparison_id], run.id, pairs) for vote in votes]
    return agreement([(str(verdicts[row]), said) for row, said in found if row in verdicts])


def _voted(vote: Vote, on: Comparison, run_id: str, rows: Mapping[tuple[str, str, str], int]) -> tuple[int, str]:
    """The row that a vote between base and run is on (0: none), and what it is for the run."""
    sides = (on.sides[vote.left], on.sides[vote.right])
    tuned_left = sides[0].run_id == run_id
    tuned, base = sides if tuned_left else sides[::-1]
    question = one_text([Message(turn.role, turn.content) for turn in on.messages])  # type: ignore[arg-type]
    row = rows.get(_shown(question, base.text, tuned.text), 0)
    if vote.choice in ("left", "right"):
        return row, "win" if (vote.choice == "left") == tuned_left else "loss"
    return row, "tie"


def _shown(question: str, base: str, tuned: str) -> tuple[str, str, str]:
    return question.strip(), base.strip(), tuned.strip()


def _done(spec: JudgeSpec, kept: Kept, pairs: Sequence[Pair]) -> int:
    """Pairs of which both orders were judged."""
    return sum(
        all(
            kept.choice(reply_key(spec.url, spec.model, spec.criteria, pair, first, spec.reference))
            for first in ("base", "tuned")
        )
        for pair in pairs
    )


def _order(db: Database, workspace: Workspace, run_id: str, asked: JudgeAsk, key: str) -> _Order:
    run = get_run(db, run_id)
    report = look_at(workspace, run).report
    if report is None:
        words = tr(
            "Run {number} is not evaluated yet: evaluate it first, a judge reads those answers.", number=run.number
        )
        raise BadInput(words)
    endpoint = with_kept_key(workspace, checked_endpoint(asked.url, asked.model, key))
    criteria = asked.criteria.strip() or criteria_of(db, workspace, run.project_id)
    if unsafe_text(criteria):
        raise BadInput("The criteria hold characters that cannot be sent: type them anew.")
    if not 1 <= asked.rows <= MOST_ROWS:
        raise BadInput(tr("A judge is asked about 1 to {most:,} rows.", most=MOST_ROWS))
    if asked.most_cost and not (asked.price_in or asked.price_out):
        raise BadInput("A limit on the cost needs the prices: give them as the endpoint's provider names them.")
    pairs = _pairs(workspace, run)
    at = [round(number * (len(pairs) - 1) / max(1, asked.rows - 1)) for number in range(asked.rows)]
    chosen = pairs if len(pairs) <= asked.rows else [pairs[place] for place in at]
    try:
        spec = JudgeSpec(
            run=run.id,
            evaluation=_name(report),
            into=folder_of(workspace, run.id),
            kept=workspace.evaluations / "judge" / f"{_judge(endpoint, criteria)}.jsonl",
            url=endpoint.url,
            model=endpoint.model,
            criteria=criteria,
            reference=asked.reference,
            price_in=asked.price_in,
            price_out=asked.price_out,
            most_cost=asked.most_cost,
            reply_tokens=asked.reply_tokens,
        )
    except ValidationError as error:
        raise job_folders.unusable(error) from None
    return _Order(endpoint, spec, tuple(chosen))


def _pairs(workspace: Workspace, run: Run) -> list[Pair]:
    """The evaluation's rows with their whole questions. Raises BadInput."""
    try:
        rows: Sequence[EvalRow] = list_rows(workspace, run.id, count=_ALL).rows
        spec = read_eval_spec(folder_of(workspace, run.id))
        turns = pq.read_table(spec.snapshot / f"{spec.split}.parquet", columns=["messages"])["messages"].to_pylist()
        asked = {row.row: question_and_answer(with_flags(turns[row.row - 1] or []))[0] for row in rows}
    except (OSError, KeyError, IndexError, ValueError, pa.ArrowException, JobFailed, BadSpec) as error:
        raise BadInput("The rows of this evaluation cannot be read: evaluate again.") from error
    return [
        Pair(row=row.row, question=one_text(asked[row.row]), reference=row.reference, base=row.base, tuned=row.tuned)
        for row in rows
    ]


def _name(report: EvalReport) -> str:
    """Names the answers of an evaluation by what they depend on."""
    parts = (report.held_out, report.base_hash, report.adapter_hash, str(report.most_tokens), str(report.rows))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _judge(endpoint: Endpoint, criteria: str) -> str:
    return hashlib.sha256("\n".join((endpoint.url, endpoint.model, criteria)).encode()).hexdigest()[:24]


def _folder(workspace: Workspace, run_id: str) -> Path:
    return folder_of(workspace, run_id) / "judge"
