"""The inference process as the app sees it: start it, ask it, stop it.

One engine holds one base model; what that base's runs learnt is loaded beside it when first asked for. It listens on
127.0.0.1 with a token of its own and ends with the app or when it has been idle.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from studio.contract.chat import Message
from studio.contract.events import log_tail, read_all
from studio.contract.spec import SPEC_FILE, EngineSpec
from studio.errors import BadInput, DiskFull, JobFailed, NotFound
from studio.jobs.models import check_base_model
from studio.jobs.processes import ask_to_stop, claimed, gives_memory_back, is_alive, reap, spawn
from studio.language import mark, tr
from studio.settings import Workspace

ENGINE_MODULE = "studio.inference"
BASE = "base"
_START_SECONDS = 600
_READ_SECONDS = 3600
"""Between two pieces of an answer; before the first one, others' answers are written. A dead process tells at once."""
_KILL_SECONDS = 2
_CLOSING = mark("The studio is closing.")
_NO_CLASSIFIER = "no_classifier"


@dataclass(frozen=True)
class Sampling:
    """How to draw tokens: temperature 0 is greedy; `max_tokens` counts answer tokens; a seed makes it repeatable."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None


class NoClassifier(BadInput):
    """The base model of a classification run was asked: it knows no labels, so there is nothing it could answer."""


@dataclass(frozen=True)
class Weights:
    """Which weights answered: names with SHA-256 hashes; `adapter` is None for the bare base model.

    With `whole` the run has a model of its own, which its name and hash stand for: it only began as the base.
    """

    base: str
    base_hash: str
    adapter: str | None
    adapter_hash: str | None
    whole: bool = False


@dataclass(frozen=True)
class Answer:
    """A whole answer. `finish` is stop or length; times in seconds; `entropy` is the mean token entropy in nats, of a
    classifier that of its labels, and `probability` how likely it holds the label that it answers."""

    text: str
    weights: Weights
    finish: str
    tokens: int
    seconds: float
    entropy: float | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Question:
    """What to ask whom: `adapter` is a run id, or None for the bare base model."""

    messages: tuple[Message, ...]
    adapter: str | None
    sampling: Sampling = Sampling()


class Engine:
    """A running inference process. Close it when done."""

    def __init__(self, held: tuple[str, str, str], run_dir: Path, port: int, token: str) -> None:
        self.held = held
        """Base model, device and dtype, as they were asked for."""
        self.run_dir = run_dir
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._headers = {"Authorization": f"Bearer {token}"}

    @property
    def alive(self) -> bool:
        """Whether its process lives."""
        return is_alive(self.run_dir)

    def answer(self, question: Question) -> Answer:
        """The whole answer at once. Raises BadInput (NoClassifier is one), NotFound, JobFailed with its sentence."""
        coming = _Coming()
        # Streamed, so that the time-out counts from piece to piece and a long answer on a slow device comes through.
        with self._told(), self._streamed(question) as response:
            if response.status_code != 200:
                _raise_for(response.status_code, response.read().decode())
            for line in response.iter_lines():
                coming.take(line)
        return coming.whole()

    def answer_many(self, questions: Sequence[Question], parallel: int = 16) -> list[Answer]:
        """Answers in the order of the questions; the engine puts those that wait together into one batch."""
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            return list(pool.map(self.answer, questions))

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Pieces of text as they come, then the whole Answer. Closing the iterator stops the generation."""
        coming = _Coming()
        async with httpx.AsyncClient(timeout=_READ_SECONDS, trust_env=False) as client:
            with self._told():
                async with client.stream("POST", self._url, headers=self._headers, json=_body(question)) as response:
                    if response.status_code != 200:
                        _raise_for(response.status_code, (await response.aread()).decode())
                    async for line in response.aiter_lines():
                        if piece := coming.take(line):
                            yield piece
        yield coming.whole()

    def close(self) -> None:
        """End the process and remove its folder."""
        if ask_to_stop(self.run_dir):
            deadline = time.monotonic() + 5
            while self.alive and time.monotonic() < deadline:
                time.sleep(0.05)
        _kill(self.run_dir)

    def _streamed(self, question: Question) -> AbstractContextManager[httpx.Response]:
        body, headers = _body(question), self._headers
        return httpx.stream("POST", self._url, headers=headers, json=body, timeout=_READ_SECONDS, trust_env=False)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            kind = type(error).__name__
            raise JobFailed(tr("The model's process does not answer ({kind}): ask again.", kind=kind)) from error


class _Coming:
    """An answer while its lines come in."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._text, self._finish, self._body = "", "stop", dict[str, Any]()

    def take(self, line: str) -> str:
        """The piece of text in a line of the stream, if any. Raises JobFailed with the engine's sentence."""
        if not line.startswith("data: ") or line == "data: [DONE]":
            return ""
        self._body = json.loads(line[6:])
        if "error" in self._body:
            raise JobFailed(str(self._body["error"]["message"]))
        choice = self._body["choices"][0]
        piece = str(choice["delta"].get("content") or "")
        self._text += piece
        self._finish = choice.get("finish_reason") or self._finish
        return piece

    def whole(self) -> Answer:
        """The answer, once all lines are taken. Raises JobFailed when the end is missing."""
        return _answer(self._text, self._finish, self._body, time.perf_counter() - self._start)


def start_engine(
    workspace: Workspace,
    base_model: str,
    device: str = "auto",
    dtype: str = "auto",
    closing: threading.Event | None = None,
) -> Engine:
    """Start an inference process and wait until it is ready. Raises BadModel, DiskFull, JobFailed.

    Setting `closing` breaks the wait off: the process is killed and JobFailed raised.
    """
    base_model = check_base_model(base_model)
    run_dir = workspace.engines / f"engine-{secrets.token_hex(4)}"
    token = secrets.token_urlsafe(32)
    spec = EngineSpec.model_validate(
        {
            "models": workspace.models,
            "runs": workspace.runs,
            "base_model": base_model,
            "device": device,
            "dtype": dtype,
            "token": token,
            "owner": os.getpid(),
        }
    )
    try:
        run_dir.mkdir(parents=True)
        path = run_dir / SPEC_FILE
        path.touch(mode=0o600)  # it holds the token
        path.write_text(spec.model_dump_json(), encoding="utf-8")
    except OSError as error:
        why = error.strerror
        raise DiskFull(tr("The engine's folder cannot be written: {reason}. Make room.", reason=why)) from error
    with claimed(run_dir) as lock:
        spawn(run_dir, ENGINE_MODULE, lock, gives_memory_back())
    try:
        return Engine(
            (base_model, device, dtype), run_dir, _wait_for_port(run_dir, closing or threading.Event()), token
        )
    except BaseException:
        _kill(run_dir)
        raise


def where_to_run(spec: Mapping[str, object]) -> tuple[str, str]:
    """Device and dtype that a run was trained with, for an engine that is to answer as its evaluation did."""
    return str(spec.get("device", "auto")), str(spec.get("dtype", "auto"))


@contextmanager
def open_engine(workspace: Workspace, base_model: str, device: str = "auto", dtype: str = "auto") -> Iterator[Engine]:
    """An engine for the length of a `with` block."""
    engine = start_engine(workspace, base_model, device, dtype)
    try:
        yield engine
    finally:
        engine.close()


class Engines:
    """The app's one engine: started when first asked for, exchanged when another base model, device or dtype is."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._engine: Engine | None = None
        self._asked_at = 0.0
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def get(self, base_model: str, device: str = "auto", dtype: str = "auto") -> Engine:
        """An engine that holds `base_model`; blocks while it loads. Raises like `start_engine`, after `close` too."""
        held = (check_base_model(base_model), device, dtype)
        with self._lock:
            if self._closing.is_set():
                raise JobFailed(_CLOSING)
            engine, self._asked_at = self._engine, time.monotonic()
            if engine and engine.alive and engine.held == held:
                return engine
            self._drop()
            self._engine = start_engine(self._workspace, *held, closing=self._closing)
            return self._engine

    def is_free_for(self, base_model: str, device: str = "auto", dtype: str = "auto", seconds: float = 120) -> bool:
        """Whether `get` would take nothing from anybody: no engine, the same one, or one not asked for so long."""
        engine = self._engine
        if engine is None or not engine.alive or engine.held == (base_model, device, dtype):
            return True
        return time.monotonic() - self._asked_at > seconds

    def close(self) -> None:
        """End the engine for good, also one that is still loading, and remove what dead ones left."""
        self._closing.set()  # whoever waits in `get` holds the lock, for minutes where the model is large
        with self._lock:
            self._drop()
        for folder in self._workspace.engines.glob("engine-*"):
            if not is_alive(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _drop(self) -> None:
        if self._engine:
            self._engine.close()
            self._engine = None


def _kill(run_dir: Path) -> None:
    """End whatever lives in an engine's folder and remove it."""
    ask_to_stop(run_dir, hard=True)
    deadline = time.monotonic() + _KILL_SECONDS
    while is_alive(run_dir) and time.monotonic() < deadline:
        time.sleep(0.01)
    reap(run_dir)
    shutil.rmtree(run_dir, ignore_errors=True)


def _wait_for_port(run_dir: Path, closing: threading.Event) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        alive = is_alive(run_dir)
        for event in read_all(run_dir):
            if event.kind == "error":
                raise JobFailed(str(event.data["message"]))
            if port := event.data.get("port"):
                return int(str(port))
        if not alive:
            last = log_tail(run_dir, 1)
            ended = tr("The model's process ended while it loaded. Its last words: {words}", words=last[:300])
            raise JobFailed(ended)
        if closing.wait(0.05):
            raise JobFailed(_CLOSING)
    raise JobFailed("The model did not load within ten minutes: choose a smaller one.")


def _body(question: Question) -> dict[str, Any]:
    options = {name: value for name, value in asdict(question.sampling).items() if value is not None}
    turns = [{"role": turn.role, "content": turn.content} for turn in question.messages]
    return {"model": question.adapter or BASE, "messages": turns, "stream": True, **options}


def _answer(text: str, finish: str, body: dict[str, Any], seconds: float) -> Answer:
    try:
        weights = Weights(**body["weights"])
        tokens = int(body["usage"]["completion_tokens"])
        entropy, probability = (body.get(name) for name in ("entropy", "probability"))
    except KeyError:
        raise JobFailed("The model's process broke off in the middle of the answer: ask again.") from None
    told = [None if number is None else float(number) for number in (entropy, probability)]
    return Answer(text, weights, finish, tokens, seconds, *told)


def _raise_for(status: int, body: str) -> None:
    if status == 200:
        return
    try:
        error = json.loads(body)["error"]
        message, code = str(error["message"]), error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, code = tr("The model's process answered with status {status}.", status=status), None
    if code == _NO_CLASSIFIER:
        raise NoClassifier(message)
    kind = {400: BadInput, 404: NotFound, 413: BadInput}.get(status, JobFailed)
    raise kind(message)
