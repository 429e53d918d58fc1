"""Concurrent streams of the starter model: our server against `transformers serve`, and what logging a request costs.

    python tests/bench/bench_serve.py [--streams 1,8,32] [--tokens 32] [--threads 2] [--rounds 1] [--batching] [--save]
    python tests/bench/bench_serve.py --log 5        ours alone: with and without the log of requests, so many rounds
    python tests/bench/bench_serve.py --short        a tiny random model, ours alone: no meaning

Both serve the same folder in float32 on the CPU with as many threads, one after the other on the same machine, and
stream greedy answers to the same chat prompts. Counted are tokens of the text that came (by the model's tokenizer), and
the median time to the first text. `--batching` starts theirs with --continuous-batching. The cost of the log is the
processor time of one line (counts alone; and a prompt and an answer redacted), as a share of that of one request at the
most streams. On a shared machine only the columns in processor time mean anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import httpx  # noqa: E402

from studio.contract.serving import ServeSpec  # noqa: E402
from studio.contract.traffic import ServedRequest  # noqa: E402
from tests.bench import saved  # noqa: E402
from tests.bench.served import Server, free_port, serving  # noqa: E402

MODELS = Path(os.environ.get("STUDIO_BENCH_MODELS", Path.home() / ".cache" / "sft-studio-bench"))
QUESTIONS = ROOT / "studio" / "evaluation" / "general_questions.json"


@dataclass(frozen=True)
class Round:
    """What so many streams measured: answer tokens, seconds of clock and of the server's processor, first-text times
    (seconds) and the texts."""

    streams: int
    tokens: int
    clock: float
    processor: float
    firsts: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def first(self) -> float:
        """The median time to the first text."""
        return statistics.median(self.firsts)

    def line(self, name: str) -> str:
        """Its figures."""
        return (
            f"{name:12s} {self.streams:3d} streams: {self.tokens / self.clock:7.1f} tokens/s, "
            f"{self.tokens / self.processor:7.1f} by processor time, first text after {self.first * 1000:7.0f} ms"
        )


def main(arguments: Sequence[str] | None = None) -> dict[str, list[Round]]:
    """Measure both servers and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batching", action="store_true")
    parser.add_argument("--log", type=int, default=0, metavar="ROUNDS")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args(arguments)
    streams = [int(one) for one in options.streams.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        base = _base(Path(folder), options.short)
        if options.log:
            lines = log_ratio(Path(folder), base, max(streams), options)
            print("\n".join(lines))
            if options.save:
                note = f"--streams {options.streams} --tokens {options.tokens} --log {options.log}"
                saved.save("serve-log-cpu", "bench_serve", note, lines, options.threads)
            return {}
        sides = [("ours", ours)] if options.short else [("transformers", theirs), ("ours", ours)]
        found = {name: make(Path(folder), base, streams, options) for name, make in sides}
        lines = told(found) + log_cost(Path(folder), found["ours"][-1])
    print("\n".join(lines))
    if options.save:
        note = f"--streams {options.streams} --tokens {options.tokens} --rounds {options.rounds}"
        note += " --batching" if options.batching else ""
        saved.save("serve-cpu", "bench_serve", note, lines, options.threads)
    return found


def told(found: dict[str, list[Round]]) -> list[str]:
    """What is printed."""
    lines = [one.line(name) for name, rounds in found.items() for one in rounds]
    for their, our in zip(found.get("transformers", []), found["ours"], strict=False):
        speed = our.tokens / our.clock / (their.tokens / their.clock)
        thrift = our.tokens / our.processor / (their.tokens / their.processor)
        same = sum(one == other for one, other in zip(our.texts, their.texts, strict=True))
        lines.append(
            f"ours / transformers serve, {our.streams} streams: {speed:.2f}x tokens/s, {thrift:.2f}x by processor, "
            f"{our.first / their.first:.2f}x time to first text; same text {same} of {len(our.texts)}"
        )
    return lines


def theirs(folder: Path, base: str, streams: list[int], options: argparse.Namespace) -> list[Round]:
    """`transformers serve` with the same weights."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("transformers")), "serve", base, "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32", *(["--continuous-batching"] if options.batching else [])]
    with serving(command, port, folder / "theirs.log", "/health", _environment(options)) as server:
        return measured(server, base, base, streams, options)


def ours(folder: Path, base: str, streams: list[int], options: argparse.Namespace) -> list[Round]:
    """`python -m studio.serving`."""
    with _studio_server(folder, "server", base, options) as server:
        return measured(server, "base", base, streams, options)


@contextmanager
def _studio_server(
    folder: Path, name: str, base: str, options: argparse.Namespace, **fields: object
) -> Iterator[Server]:
    port, home = free_port(), folder / name
    home.mkdir()
    known = {"models": MODELS, "runs": folder, "keys": home / "keys.json", "base_model": base, "port": port}
    spec = ServeSpec.model_validate({**known, "device": "cpu", "dtype": "float32", **fields})
    (home / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "studio.serving", str(home)]
    with serving(command, port, folder / f"{name}.log", "/health", _environment(options)) as server:
        yield server


def log_ratio(folder: Path, base: str, streams: int, options: argparse.Namespace) -> list[str]:
    """Three servers of ours side by side (no log, counts, redacted texts), asked by turns."""
    prompts, count = texts(streams), _counter(base)
    kinds: dict[str, dict[str, object]] = {
        "no log": {"log_requests": False}, "counts": {}, "redacted texts": {"keep_texts": True},
    }  # fmt: skip
    rounds: dict[str, list[Round]] = {name: [] for name in kinds}
    with ExitStack() as open_:
        servers = {
            name: open_.enter_context(_studio_server(folder, name.replace(" ", "-"), base, options, **fields))
            for name, fields in kinds.items()
        }
        for server in servers.values():
            asyncio.run(_ask_all(server, "base", prompts[:2], 4))
        for number in range(options.log):
            for name in list(kinds)[:: 1 if number % 2 else -1]:
                before = servers[name].cpu_seconds()
                made = _round(servers[name], "base", prompts, options.tokens, count)
                time.sleep(0.5)  # what is logged is written a moment after its answer
                rounds[name].append(replace(made, processor=servers[name].cpu_seconds() - before))
    return [*(line for name in kinds for line in _against(name, rounds[name], rounds["no log"]))]


def _against(name: str, rounds: Sequence[Round], without: Sequence[Round]) -> list[str]:
    """A kind of log beside none: the sums over all rounds, and the median of the ratios of rounds side by side."""
    clock, processor = sum(one.clock for one in rounds), sum(one.processor for one in rounds)
    by_clock = statistics.median(one.clock / other.clock for one, other in zip(rounds, without, strict=True))
    by_processor = statistics.median(
        one.processor / other.processor for one, other in zip(rounds, without, strict=True)
    )
    asked = f"{len(rounds)} rounds of {rounds[0].streams} requests"
    return [
        f"{name:15s} {asked}: {clock:.2f} s by the clock, {processor:.2f} s of processor; "
        f"beside no log {by_clock:.3f}x by the clock, {by_processor:.3f}x by processor"
    ]


def measured(server: Server, model: str, base: str, streams: list[int], options: argparse.Namespace) -> list[Round]:
    """One round for each number of streams: the median one by the clock of so many."""
    prompts, count = texts(max(streams)), _counter(base)
    asyncio.run(_ask_all(server, model, prompts[:2], 4))  # what is made at first use is no part of the figures
    rounds = []
    for number in streams:
        tried = [_round(server, model, prompts[:number], options.tokens, count) for _ in range(options.rounds)]
        rounds.append(sorted(tried, key=lambda one: one.clock)[len(tried) // 2])
    return rounds


def _round(server: Server, model: str, prompts: list[str], tokens: int, count: Any) -> Round:
    processor, clock = server.cpu_seconds(), time.perf_counter()
    found = asyncio.run(_ask_all(server, model, prompts, tokens))
    clock, processor = time.perf_counter() - clock, server.cpu_seconds() - processor
    answers = tuple(text for text, _ in found)
    return Round(len(prompts), sum(map(count, answers)), clock, processor, tuple(first for _, first in found), answers)


async def _ask_all(server: Server, model: str, prompts: list[str], tokens: int) -> list[tuple[str, float]]:
    """Text and seconds to its first piece, for each prompt, all at once."""
    limits = httpx.Limits(max_connections=len(prompts))
    async with httpx.AsyncClient(timeout=1800, trust_env=False, limits=limits) as client:
        return await asyncio.gather(*(_ask(client, server.url, model, prompt, tokens) for prompt in prompts))


async def _ask(client: httpx.AsyncClient, url: str, model: str, prompt: str, tokens: int) -> tuple[str, float]:
    turns = [{"role": "user", "content": prompt}]
    body = {"model": model, "messages": turns, "max_tokens": tokens, "temperature": 0, "stream": True}
    start, first, text = time.perf_counter(), 0.0, ""
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            raise SystemExit(f"{response.status_code}: {(await response.aread())[:500]!r}")
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            choices = json.loads(line[6:]).get("choices") or [{}]
            piece = choices[0].get("delta", {}).get("content") or ""
            if piece and not first:
                first = time.perf_counter() - start
            text += piece
    return text, first or time.perf_counter() - start


def log_cost(folder: Path, most: Round) -> list[str]:
    """What a line of the log costs beside a request at the most streams."""
    from studio.serving.log import TrafficLog

    request = most.processor / most.streams
    lines = []
    prompt, answer = texts(1)[0] + " Write to ann@example.com.", most.texts[0]
    turns = ({"role": "user", "content": prompt}, {"role": "assistant", "content": answer})
    for name, keep in (("counts", False), ("redacted texts", True)):
        home = folder / name.replace(" ", "-")
        home.mkdir()
        log = TrafficLog(home, keep)
        at = datetime.now(UTC)
        made = [ServedRequest(id=f"r{n}", at=at, model="base", status=200, messages=turns) for n in range(300)]
        log._encoded(made[0])  # presidio loads at first use
        start = time.process_time()
        for line in made:
            log.put(line)
        log.close()
        cost = (time.process_time() - start) / len(made)
        lines.append(
            f"log, {name}: {cost * 1000:.2f} ms of processor time a request, {cost / request:.2%} of {request:.2f} s"
        )
    return lines


def texts(count: int) -> list[str]:
    """General questions."""
    return [one["question"] for one in json.loads(QUESTIONS.read_text(encoding="utf-8"))][:count]


def _base(folder: Path, short: bool) -> str:
    """The folder of the model that both serve."""
    if short:
        from tests import tiny

        return str(tiny.make_model(folder / "base"))
    from studio.models.loading import resolve

    return str(resolve(MODELS, "starter"))


def _counter(base: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _environment(options: argparse.Namespace) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    main()
