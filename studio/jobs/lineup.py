"""Who answers in a comparison: the base model, up to three runs of it from one engine, and an endpoint if one is named.

One engine holds one base model, so runs that began as another are told why they do not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from storage.database import Database
from storage.runs import get_run
from studio.contract.chat import Message
from studio.errors import BadInput
from studio.jobs.comparison import Pane, Stream, stream_sides
from studio.jobs.endpoint import Endpoint, load_endpoint
from studio.jobs.endpoint_stream import stream_endpoint
from studio.jobs.engine import Answer, Engine, Engines, Question, Sampling, where_to_run
from studio.language import tr
from studio.settings import Workspace

BASE, ENDPOINT = "", "endpoint"
"""Keys of the parties that are no run."""
MOST_RUNS = 3


@dataclass(frozen=True)
class Party:
    """Who answers on one side: `key` is BASE, ENDPOINT or a run's id, `name` what people read, in English as votes keep
    it (studio.jobs.evaluation_said says it); `refused` says in a sentence why it does not answer."""

    key: str
    name: str
    refused: str = ""


@dataclass(frozen=True)
class Lineup:
    """The parties of a comparison, and the base model, device and dtype of the engine that answers for them."""

    parties: tuple[Party, ...]
    held: tuple[str, str, str]
    endpoint: Endpoint | None = None


def line_up(db: Database, workspace: Workspace, run_ids: Sequence[str], endpoint: bool = False) -> Lineup:
    """The base model, then its runs in the order given, then the endpoint if asked for.

    The first run says which base model, and with which device and dtype, as it was trained. Raises BadInput for none
    or too many runs or an endpoint that nobody has named, NotFound.
    """
    chosen = list(dict.fromkeys(run_ids))
    if not chosen:
        raise BadInput("Choose a run first; when there is none yet, train one in the Train tab.")
    if len(chosen) > MOST_RUNS:
        raise BadInput(tr("Compare at most {count} runs at once: take some away.", count=MOST_RUNS))
    runs = [get_run(db, run_id) for run_id in chosen]
    base = runs[0].base_model
    parties = [Party(BASE, "Base")]
    for run in runs:
        parties.append(Party(run.id, f"Run {run.number}", "" if run.base_model == base else _other(run.number, base)))
    named = load_endpoint(workspace) if endpoint else None
    if named:
        parties.append(Party(ENDPOINT, f"{named.model} at {named.host}"))
    elif endpoint:
        raise BadInput("No endpoint is named yet: an admin names one in the Suggestions tab.")
    return Lineup(tuple(parties), (base, *where_to_run(runs[0].spec)), named)


async def ask(
    engines: Engines, lineup: Lineup, conversations: Sequence[Sequence[Message]], sampling: Sampling
) -> AsyncGenerator[tuple[Pane, ...], None]:
    """Each party's answer to its own conversation, as `stream_sides` gives them. Raises what `Engines.get` raises."""
    engine = await asyncio.to_thread(engines.get, *lineup.held)
    asked = zip(lineup.parties, conversations, strict=True)
    streams = [_stream(engine, lineup.endpoint, party, messages, sampling) for party, messages in asked]
    async with aclosing(stream_sides(streams)) as growing:
        async for panes in growing:
            yield panes


def _stream(
    engine: Engine, endpoint: Endpoint | None, party: Party, messages: Sequence[Message], sampling: Sampling
) -> Stream:
    if party.refused:
        return _refuse(party.refused)
    if party.key == ENDPOINT and endpoint:
        return stream_endpoint(endpoint, messages, sampling)
    return engine.stream(Question(tuple(messages), party.key or None, sampling))


async def _refuse(why: str) -> AsyncIterator[str | Answer]:
    raise BadInput(why)
    yield ""  # makes it a generator, as the others are


def _other(number: int, base: str) -> str:
    return tr(
        "Run {number} was not trained from {base}, which is in memory now: compare it apart from the others.",
        number=number,
        base=base,
    )
