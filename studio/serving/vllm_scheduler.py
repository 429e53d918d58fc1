"""Rows written by vLLM: each is one streamed request to it, and it puts together what it writes in a step.

The same face as OwnScheduler has. What it leaves out: the process (vllm_process.py), and prompts, adapters and pieces
(vllm_models.py, vllm_rows.py).
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx

from studio.contract.serving import Loan, ServeSpec, read_names
from studio.errors import BadInput, JobFailed, StudioError
from studio.inference.places import find
from studio.inference.request import answer_limit
from studio.serving.tickets import Hand, Item, QueueFull, Ticket, check_length, patience
from studio.serving.vllm_models import Base, Voice, base_voice, plain_lora, read_base, read_ids, run_voice
from studio.serving.vllm_process import VllmProcess, most_rank
from studio.serving.vllm_rows import Row, body, reason_of

_KEEP = 32
_ENDING = "The server is ending: ask again in a moment."
_LOAD_SECONDS = 300
_LINGER_SECONDS = 0.5


class Vllm:
    """A vLLM that answers, with its base. Stop it when done."""

    def __init__(self, folder: Path, spec: ServeSpec, stopped: Callable[[], bool] = lambda: False) -> None:
        """Takes minutes. Raises BadModel, BadInput, NotFound for what it cannot serve, JobFailed, DiskFull."""
        self.base: Base = read_base(spec)
        self.runs = spec.runs
        wanted = {run for run in read_names(folder).names.values() if run}
        self.rank = most_rank(max((plain_lora(find(spec.runs, run)).r for run in wanted), default=0))
        self.copies = folder / "vllm-adapters"
        shutil.rmtree(self.copies, ignore_errors=True)
        self.process = VllmProcess(folder, spec, self.base.folder, self.rank)
        try:
            self.process.wait(stopped)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process and remove its copies."""
        self.process.stop()
        shutil.rmtree(self.copies, ignore_errors=True)


class VllmScheduler:
    """Hands rows to vLLM, `rows` of which it writes at once, while `limit` more may wait there. See
    tickets.Scheduler."""

    def __init__(self, engine: Vllm, rows: int, limit: int, hand: Hand, most_prompt: int = 0) -> None:
        self._engine, self._process, self._base = engine, engine.process, engine.base
        self._rows, self._limit, self._hand, self._most_prompt = rows, limit, hand, most_prompt
        self._voices: dict[str | None, Voice] = {None: base_voice(engine.base)}
        self._loaded: set[str] = set()
        self._uses: Counter[str] = Counter()
        self._tasks: dict[Ticket, asyncio.Task[None]] = {}
        self._waiting: set[Ticket] = set()
        self._lock = threading.Lock()
        self._seconds, self._closing = 1.0, False
        self._loop = asyncio.new_event_loop()
        self._loading = asyncio.Lock()
        self._client = httpx.AsyncClient(
            base_url=self._process.url, headers=self._process.headers, trust_env=False,
            timeout=httpx.Timeout(None, connect=10), limits=httpx.Limits(max_connections=None),
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """See tickets.Scheduler: rows without their first token."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """See tickets.Scheduler."""
        return len(self._waiting | set(self._tasks))

    @property
    def alive(self) -> bool:
        """See tickets.Scheduler."""
        return self._process.alive and self._thread.is_alive()

    @property
    def lent_to(self) -> str:
        """See tickets.Scheduler: vLLM keeps what it has taken."""
        return ""

    def lend(self, loan: Loan | None) -> None:
        """See tickets.Scheduler: vLLM keeps what it has taken."""

    def last_words(self) -> str:
        """See tickets.Scheduler."""
        return f"vLLM has ended. {self._process.last_words()}"

    def submit(self, tickets: Sequence[Ticket]) -> None:
        """See tickets.Scheduler."""
        if self._closing or not self.alive:
            raise JobFailed(_ENDING)
        with self._lock:
            if self.active + len(tickets) > self._rows + self._limit:
                raise QueueFull(patience(self.waiting, self._rows, self._seconds))
            self._waiting.update(tickets)
        self._loop.call_soon_threadsafe(self._begin, tickets)

    def load(self, run: str) -> Future[None]:
        """See tickets.Scheduler."""

        async def bring() -> None:
            await self._voice(run)

        return asyncio.run_coroutine_threadsafe(bring(), self._loop)

    def close(self, timeout: float = 5.0) -> None:
        """See tickets.Scheduler."""
        self._closing = True
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop)
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _end(self) -> None:
        await asyncio.sleep(0)  # a task that is ended before its first step would not say so
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()
        self._loop.stop()

    def _begin(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            if ticket.cancelled or self._closing:
                self._waiting.discard(ticket)
                self._give(ticket, JobFailed(_ENDING))
                continue
            task = self._tasks[ticket] = self._loop.create_task(self._write(ticket))
            ticket.wake = partial(self._wake, ticket, task)

    def _wake(self, ticket: Ticket, task: asyncio.Task[None]) -> None:
        if ticket.ended:
            return
        with suppress(RuntimeError):  # the loop has ended, and the row with it
            self._loop.call_soon_threadsafe(task.cancel)

    async def _write(self, ticket: Ticket) -> None:
        """A row from its prompt to its end; the client's going cancels this task, and with it vLLM's work."""
        try:
            voice = await self._voice(ticket.request.adapter)
            self._uses[voice.model] += 1
            try:
                await self._stream(ticket, voice)
            finally:
                self._uses[voice.model] -= 1
        except asyncio.CancelledError:
            self._give(ticket, JobFailed(_ENDING if self._closing else "The client has gone."))
        except StudioError as error:
            self._give(ticket, error)
        except httpx.HTTPError as error:
            self._give(ticket, self._broken(error))
        except Exception:
            traceback.print_exc()
            self._give(ticket, JobFailed("The server failed at this answer; its log says more."))
        finally:
            self._waiting.discard(ticket)
            del self._tasks[ticket]
            self._tidy()

    async def _stream(self, ticket: Ticket, voice: Voice) -> None:
        request = ticket.request
        ids = read_ids(self._base, voice, request)
        check_length(len(ids), self._most_prompt)
        limit = answer_limit(self._process.window, len(ids), request.max_tokens)
        row = Row(self._base, voice, request, len(ids), limit)
        asked = body(request, voice, ids, limit)
        async with self._client.stream("POST", "/v1/completions", json=asked) as response:
            if response.status_code != 200:
                await response.aread()
                raise _refusal(response)
            lines = response.aiter_lines()
            async for line in lines:
                delta = row.take(line)
                self._waiting.discard(ticket)
                if delta:
                    self._give(ticket, delta)
                if delta and delta.done:
                    self._seconds += 0.05 * (delta.done.seconds - self._seconds)
                    with suppress(TimeoutError):  # read to its end, the connection serves the next row
                        async with asyncio.timeout(_LINGER_SECONDS):
                            async for _ in lines:
                                pass
                    return
        raise JobFailed("vLLM broke off in the middle of this answer: ask again.")

    def _give(self, ticket: Ticket, item: Item) -> None:
        if not ticket.ended:
            ticket.ended = isinstance(item, StudioError) or item.done is not None
            self._hand([(ticket, item)])

    def _broken(self, error: httpx.HTTPError) -> JobFailed:
        if self._process.alive:
            return JobFailed(f"vLLM does not answer ({type(error).__name__}): ask again.")
        return JobFailed("vLLM has ended, and this server with it: ask again when it is back.")

    async def _voice(self, run: str | None) -> Voice:
        """Who answers for a run, brought into vLLM's memory where it is not there. Raises NotFound, BadInput."""
        if known := self._known(run):
            return known
        # Not broken off with the request of whoever asks first: what vLLM has loaded must be known here.
        return await asyncio.shield(self._loop.create_task(self._bring(run)))

    async def _bring(self, run: str | None) -> Voice:
        async with self._loading:
            if known := self._known(run):
                return known
            assert run is not None
            engine = self._engine
            voice = await asyncio.to_thread(run_voice, self._base, engine.runs, run, engine.copies, engine.rank)
            if voice.model not in self._loaded:
                await self._tell("load", voice.model)
                self._loaded.add(voice.model)
            self._voices[run] = voice
        return voice

    def _known(self, run: str | None) -> Voice | None:
        voice = self._voices.get(run)
        if voice is None or run is None:
            return voice
        if voice.stamp != find(self._engine.runs, run).stamp():
            return None
        self._voices[run] = self._voices.pop(run)  # the one used last stands at the end
        return voice

    async def _tell(self, what: str, model: str) -> None:
        asked = {"lora_name": model}
        asked |= {"lora_path": str(self._engine.copies / model)} if what == "load" else {}
        try:
            response = await self._client.post(f"/v1/{what}_lora_adapter", json=asked, timeout=_LOAD_SECONDS)
        except httpx.HTTPError as error:
            raise self._broken(error) from error
        words = reason_of(_json(response)).replace(str(self._engine.copies), "")
        if response.status_code != 200 and "already been loaded" not in words:
            raise BadInput(f"vLLM cannot {what} the adapter '{model}': {words}")

    def _tidy(self) -> None:
        """Let vLLM forget adapters that were replaced, and the least used of too many, once no row needs them."""
        idle = [run for run, voice in self._voices.items() if run and not self._uses[voice.model]]
        for run in idle[: max(0, len(self._voices) - 1 - _KEEP)]:
            del self._voices[run]
        if self._spare() and not self._closing:
            self._forgetting = self._loop.create_task(self._forget())

    def _spare(self) -> set[str]:
        wanted = {voice.model for voice in self._voices.values()}
        return {model for model in self._loaded if model not in wanted and not self._uses[model]}

    async def _forget(self) -> None:
        async with self._loading:  # not while the same weights are on their way back
            for model in self._spare():
                self._loaded.discard(model)
                try:
                    await self._tell("unload", model)
                except StudioError as error:
                    print(error, file=sys.stderr)
                shutil.rmtree(self._engine.copies / model, ignore_errors=True)


def _refusal(response: httpx.Response) -> StudioError:
    """An answer other than 200, as the studio says it."""
    words = reason_of(_json(response))
    if response.status_code in (400, 422):
        return BadInput(f"vLLM refuses this request: {words}")
    print(f"vLLM: {response.status_code} {words}", file=sys.stderr)
    return JobFailed("vLLM failed at this answer; the server's log says more.")


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return response.text
