"""The judge's process: `python -m studio.jobs.judge JUDGE_DIR` shows each pair in both orders and writes judged.json.

Its key comes by the environment and is written nowhere. Replies are kept as they come, so a judging that was stopped,
or had reached its limit, goes on where it was. What it leaves out: whose answers these are (studio.jobs.judging).
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.contract.chat import Message
from studio.contract.events import EventWriter
from studio.contract.job import run_job
from studio.contract.judging import (
    KEY_VARIABLE,
    JudgedRow,
    JudgeReport,
    JudgeSpec,
    Pair,
    read_judge_spec,
    read_pairs,
    write_judged,
)
from studio.errors import JobFailed
from studio.evaluation.judge import (
    Side,
    combined,
    cost_of,
    read_reply,
    reply_key,
    tally,
    tokens_about,
    tokens_most,
    told,
)
from studio.jobs.endpoint import checked_endpoint
from studio.jobs.judge_asking import Asker, Stop
from studio.jobs.judge_kept import Budget, Kept, Reply

_ORDERS: tuple[Side, Side] = ("base", "tuned")
_NICE = 5
_TELL_SECONDS = 0.3
_OVER = "The limit on the cost is reached: raise it and ask again, what was judged is kept."


@dataclass(frozen=True)
class Desk:
    """What the asking threads share."""

    spec: JudgeSpec
    kept: Kept
    asker: Asker
    budget: Budget
    stop: threading.Event = field(default_factory=threading.Event)


def work(folder: Path, events: EventWriter, transport: Any = None) -> None:
    """Ask about all pairs of the folder and write what came of it, whatever ends it. Raises BadSpec, JobFailed."""
    spec, pairs = read_judge_spec(folder), read_pairs(folder)
    endpoint = checked_endpoint(spec.url, spec.model, os.environ.pop(KEY_VARIABLE, ""))
    stop = threading.Event()
    asker = Asker(endpoint, spec.reply_tokens, stop.wait, transport)
    desk = Desk(spec, Kept(spec.kept), asker, Budget(spec.most_cost), stop)
    stopped = "Stopped: what was judged is kept."
    try:
        stopped = _ask_all(desk, pairs, endpoint.host, events)
    except JobFailed as error:
        stopped = str(error)
        raise
    finally:
        stop.set()
        report = report_of(desk, pairs, endpoint.host, stopped)
        if report.shown_twice or report.unread or not report.left:  # ties of one answer alone are no judging
            write_judged(spec.into, report)


def _ask_all(desk: Desk, pairs: Sequence[Pair], host: str, events: EventWriter) -> str:
    """Ask about every pair; why some were not asked about, or ''. Raises JobFailed with the first failure."""
    todo: queue.SimpleQueue[Pair] = queue.SimpleQueue()
    done: queue.SimpleQueue[bool | BaseException] = queue.SimpleQueue()
    different = [pair for pair in pairs if not pair.same]
    for pair in different:
        todo.put(pair)
    # Daemons: a cancelled process does not wait for what an endpoint may be minutes with.
    for _ in range(min(desk.spec.parallel, len(different))):
        threading.Thread(target=_work_off, args=(desk, todo, done), daemon=True).start()
    over, last = False, 0.0
    events.write("state", state="judging", message=f"Asking {host}", step=0, steps=max(1, len(different)))
    for number in range(1, len(different) + 1):
        came = done.get()
        if isinstance(came, BaseException):
            raise came
        over = over or not came
        if time.monotonic() - last > _TELL_SECONDS:
            last, words = time.monotonic(), f"{number:,} of {len(different):,} rows asked about{_spent(desk)}"
            events.write("state", state="judging", message=words, step=number, steps=len(different))
    return _OVER if over else ""


def _spent(desk: Desk) -> str:
    spec = desk.spec
    return f" · {desk.budget.spent:.4g} so far" if spec.price_in or spec.price_out else ""


def _work_off(desk: Desk, todo: queue.SimpleQueue[Pair], done: queue.SimpleQueue[bool | BaseException]) -> None:
    """Take pairs until there are none, telling of each whether the limit allowed it."""
    while not desk.stop.is_set():
        try:
            pair = todo.get_nowait()
        except queue.Empty:
            return
        try:
            done.put(all(_ask(desk, pair, first) for first in _ORDERS))
        except Stop:
            return
        except BaseException as error:  # raised again in the main thread, which ends the others
            done.put(error)
            return


def _ask(desk: Desk, pair: Pair, first: Side) -> bool:
    """Ask about one order, twice where the reply cannot be read; False where the limit on the cost forbids it."""
    spec = desk.spec
    key = reply_key(spec.url, spec.model, spec.criteria, pair, first, spec.reference)
    if desk.kept.choice(key):
        return True
    for again in (False, True):
        turns = told(pair, spec.criteria, first, spec.reference, again)
        most = cost_of(tokens_most(turns), spec.reply_tokens, spec.price_in, spec.price_out)
        if not desk.budget.take(most):
            return False
        spent = 0.0
        try:
            reply = _reply(desk, turns)
            spent = cost_of(reply.prompt_tokens, reply.answer_tokens, spec.price_in, spec.price_out)
            desk.kept.add(key, reply)
        finally:
            desk.budget.give(most, spent)
        if reply.choice:
            break
    return True


def _reply(desk: Desk, turns: Sequence[Message]) -> Reply:
    said = desk.asker.ask(turns)
    choice, why = read_reply(said.text) or (None, "")
    counted = said.prompt_tokens is not None and said.answer_tokens is not None
    prompt = tokens_about(turns) if said.prompt_tokens is None else said.prompt_tokens
    answer = len(said.text.encode("utf-8", "replace")) // 4 + 1 if said.answer_tokens is None else said.answer_tokens
    return Reply(choice, why, prompt, answer, counted)


def report_of(desk: Desk, pairs: Sequence[Pair], host: str, stopped: str) -> JudgeReport:
    """What the replies so far amount to."""
    spec = desk.spec
    replies: list[Reply] = []
    choices: list[str] = []
    rows: list[JudgedRow] = []
    for pair in pairs:
        keys = [reply_key(spec.url, spec.model, spec.criteria, pair, first, spec.reference) for first in _ORDERS]
        replies += [] if pair.same else [reply for key in keys for reply in desk.kept.replies(key)]
        row, chosen = _row(pair, [desk.kept.choice(key) for key in keys], [desk.kept.replies(key) for key in keys])
        choices += chosen
        rows += [row] if row else []
    found = tally(rows)
    decided = [choice for choice in choices if choice != "tie"]
    prompt, answer = sum(reply.prompt_tokens for reply in replies), sum(reply.answer_tokens for reply in replies)
    left = len(pairs) - len(rows)
    return JudgeReport(
        run=spec.run,
        evaluation=spec.evaluation,
        model=spec.model,
        host=host,
        criteria=spec.criteria,
        reference=spec.reference,
        asked=len(pairs),
        left=left,
        unread=sum(row.outcome == "unread" for row in rows),
        same=sum(row.same for row in rows),
        wins=found.wins,
        ties=found.ties,
        losses=found.losses,
        win=found.win,
        tie=found.tie,
        loss=found.loss,
        rate=found.rate,
        changed=sum(row.changed for row in rows),
        shown_twice=sum(not row.same and row.outcome != "unread" for row in rows),
        first=sum(choice == "first" for choice in decided) / len(decided) if decided else None,
        unread_replies=sum(reply.choice is None for reply in replies),
        prompt_tokens=prompt,
        answer_tokens=answer,
        counted=all(reply.counted for reply in replies),
        cost=cost_of(prompt, answer, spec.price_in, spec.price_out),
        cost_now=desk.budget.spent,
        sentence=found.sentence,
        stopped=stopped if left else "",
        rows=tuple(rows),
    )


def _row(
    pair: Pair, read: Sequence[Reply | None], all_of: Sequence[Sequence[Reply]]
) -> tuple[JudgedRow | None, list[str]]:
    """What became of a pair (None: nothing yet), and the choices that were read."""
    if pair.same:
        return JudgedRow(row=pair.row, outcome="tie", same=True), []
    base_first, tuned_first = read
    if base_first and tuned_first and base_first.choice and tuned_first.choice:
        outcome, changed = combined(base_first.choice, tuned_first.choice)
        why = " / ".join(dict.fromkeys(said for said in (base_first.why, tuned_first.why) if said))
        made = JudgedRow(row=pair.row, outcome=outcome, changed=changed, why=why)
        return made, [base_first.choice, tuned_first.choice]
    missing = [tried for one, tried in zip(read, all_of, strict=True) if one is None]
    return (JudgedRow(row=pair.row, outcome="unread"), []) if all(missing) else (None, [])


if __name__ == "__main__":
    sys.exit(run_job("studio.jobs.judge", sys.argv[1:], _NICE, work))
