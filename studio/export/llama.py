"""A GGUF file read by llama.cpp itself, where it is installed: `xllamacpp` in this process, or `llama-server`.

Neither is needed; without them the file is read by transformers alone, and the card says so. What it leaves out:
llama-cpp-python, which has to be compiled.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from studio.contract.tools import template_fields
from studio.errors import JobFailed
from studio.export.asking import Reference
from studio.export.parity import Answered

_START_SECONDS = 120.0
_ANSWER_SECONDS = 600.0
_THREADS = 4


def installed() -> bool:
    """Whether llama.cpp is on this machine."""
    return find_spec("xllamacpp") is not None or shutil.which("llama-server") is not None


def answers(
    file: Path,
    references: Sequence[Reference],
    ends: Sequence[int],
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[Answered]:
    """What llama.cpp makes of the prompts: the template and the tokens of the file, and greedy answers. Raises
    JobFailed where it does not take the file."""
    context = max(len(one.prompt) + one.limit for one in references) + 16
    found = []
    try:
        with _served(file, context) as address:
            for number, one in enumerate(references):
                found.append(_answered(address, one, ends))
                on_progress(number + 1)
    except (OSError, URLError, ValueError, KeyError, RuntimeError) as error:
        raise JobFailed(
            f"llama.cpp does not read the GGUF file ({type(error).__name__}), so nothing was exported: its log "
            "(log.txt) says why."
        ) from error
    return found


def _answered(address: str, one: Reference, ends: Sequence[int]) -> Answered:
    turns = [{"role": m.role, "content": m.content} | template_fields(m.extra) for m in one.messages]
    text = str(_post(address, "/apply-template", {"messages": turns})["prompt"])
    words = {"content": text, "add_special": True, "parse_special": True}
    prompt = [int(token) for token in _post(address, "/tokenize", words)["tokens"]]
    greedy = {"temperature": 0.0, "top_k": 1, "repeat_penalty": 1.0, "cache_prompt": False, "return_tokens": True}
    said = _post(address, "/completion", {"prompt": prompt, "n_predict": one.limit, **greedy})
    answer = [int(token) for token in said["tokens"]]
    at = next((n for n, token in enumerate(answer) if token in ends), len(answer))
    return Answered(tuple(prompt), str(said["content"]), tuple(answer[:at]))


@contextmanager
def _served(file: Path, context: int) -> Iterator[str]:
    """The address of a llama.cpp server for this file, on this machine alone, for the length of a `with` block."""
    if find_spec("xllamacpp") is None:
        with _server_of_its_own(file, context) as address:
            yield address
        return
    import xllamacpp

    settings: Any = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.n_ctx, settings.n_parallel, settings.warmup = context, 1, False
    settings.n_gpu_layers, settings.cpuparams.n_threads = 0, _THREADS
    server: Any = xllamacpp.Server(settings)
    yield str(server.listening_address)
    del server


@contextmanager
def _server_of_its_own(file: Path, context: int) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    program = shutil.which("llama-server") or "llama-server"
    told = ["-m", str(file), "-c", str(context), "-np", "1", "-ngl", "0", "--jinja", "--port", str(port)]
    process = subprocess.Popen([program, *told, "--host", "127.0.0.1"], stdin=subprocess.DEVNULL)
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _START_SECONDS
        while not _healthy(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("llama-server did not start")
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def _healthy(address: str) -> bool:
    try:
        urlopen(f"{address}/health", timeout=2).close()  # noqa: S310 (our own process on this machine)
    except OSError:
        return False
    return True


def _post(address: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(fields).encode()
    request = Request(address + path, body, {"Content-Type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
        told: dict[str, Any] = json.loads(answer.read())
    return told
