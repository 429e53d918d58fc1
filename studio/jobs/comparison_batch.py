"""Answers to many prompts made beforehand and kept as comparisons, so that people can vote on them in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import PurePath

from storage.database import Database
from storage.records import Side, User
from studio.contract.chat import Message
from studio.jobs.comparison import Pane
from studio.jobs.engine import Engines, Sampling, Weights
from studio.jobs.lineup import BASE, ENDPOINT, Lineup, ask
from studio.labeling.comparing import save_comparison
from studio.language import tr

_AT_ONCE = 4
"""Prompts that are asked together; their sides wait in the engine's one queue and make up its batches."""


@dataclass(frozen=True)
class Asked:
    """A prompt: the whole conversation, and the example that it is of, or None."""

    messages: tuple[Message, ...]
    example_id: str | None = None


@dataclass(frozen=True)
class Made:
    """How many comparisons were kept of how many prompts, and what the first one that failed said."""

    kept: int
    asked: int
    problem: str = ""


def make_comparisons(
    db: Database,
    engines: Engines,
    user: User,
    project_id: str,
    lineup: Lineup,
    prompts: Sequence[Asked],
    sampling: Sampling,
    note: Callable[[float, str], bool],
) -> Made:
    """Ask all parties each prompt and keep what was answered by all. `note(fraction, words)` is told how far it is and
    says whether to go on; what is kept by then stays. Raises BadInput, JobFailed, NotFound."""
    kept, done, problem = 0, 0, ""
    going = note(0.0, tr("Loading the model"))

    def tell() -> bool:
        return note(done / len(prompts), tr("{done} of {total} prompts answered", done=done, total=len(prompts)))

    for start in range(0, len(prompts), _AT_ONCE):
        if not going:
            break
        chunk = prompts[start : start + _AT_ONCE]
        answered = asyncio.run(_ask_all(engines, lineup, chunk, sampling, tell))
        for asked, panes in zip(chunk, answered, strict=True):
            if panes and all(pane.answer for pane in panes):
                sides = sides_of(lineup, panes)
                save_comparison(db, user, project_id, asked.messages, sides, asdict(sampling), asked.example_id)
                kept += 1
            problem = problem or next((pane.error or pane.note or "" for pane in panes if not pane.answer), "")
        done += len(chunk)
        going = tell()
    return Made(kept, len(prompts), problem)


def sides_of(lineup: Lineup, panes: Sequence[Pane]) -> list[Side]:
    """Whole answers as they are kept, in the order of the parties; the base model by its name, as votes on several base
    models may meet."""
    found = []
    for party, pane in zip(lineup.parties, panes, strict=True):
        assert pane.answer is not None
        answer = pane.answer
        name = f"Base {short_name(lineup.held[0])}" if party.key == BASE else party.name
        run_id = "" if party.key == ENDPOINT else party.key
        found.append(Side(run_id, name, named(answer.weights), answer.text, answer.tokens, answer.seconds))
    return found


def named(weights: Weights) -> str:
    """The weights that answered, in words, with the beginnings of their hashes."""
    if not weights.base_hash:
        return weights.base
    base = f"base {weights.base} {weights.base_hash[:12]}"
    run = f"{weights.adapter} {(weights.adapter_hash or '')[:12]}"
    if weights.whole:
        return f"model of {run}, fully trained from {base}"
    return f"{base} + adapter {run}" if weights.adapter else base


def short_name(base_model: str) -> str:
    """A base model's name without the folders above it; a hub id whole."""
    return PurePath(base_model).name if base_model.startswith(("/", "~", ".")) else base_model


async def _ask_all(
    engines: Engines, lineup: Lineup, chunk: Sequence[Asked], sampling: Sampling, go_on: Callable[[], bool]
) -> list[tuple[Pane, ...]]:
    """Each prompt's panes as they ended; () for those that were given up."""

    async def one(asked: Asked) -> tuple[Pane, ...]:
        conversations = [asked.messages] * len(lineup.parties)
        panes: tuple[Pane, ...] = ()
        async with aclosing(ask(engines, lineup, conversations, sampling)) as growing:
            async for now in growing:
                panes = now
                if not go_on():
                    return ()
        return panes

    return list(await asyncio.gather(*(one(asked) for asked in chunk)))
