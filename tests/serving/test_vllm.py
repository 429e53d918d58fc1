"""The server over vLLM's HTTP: the same page, names, texts and counts as over its own engine (vllm_stand_in.py)."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from studio.contract.events import EventWriter, read_all
from studio.contract.serving import ServeSpec, write_names
from studio.errors import BadInput, JobFailed
from studio.serving import leash, running
from studio.serving.keys import KeyRing
from studio.serving.running import Server, listen
from studio.serving.vllm_process import arguments, most_rank
from studio.serving.vllm_scheduler import Vllm
from tests.inference.conftest import make_adapter
from tests.serving.conftest import House, start_house, turns, wait_for
from tests.serving.vllm_stand_in import BREAKS, DIES, FAILS

ROOT = Path(__file__).parents[2]
NAMES = {"run-1": "one", "old": "one", "new": "two", "Mail@production": "one"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package `vllm`, whose command is the stand-in."""
    folder = tmp_path_factory.mktemp("site")
    package = folder / "vllm" / "entrypoints" / "cli"
    package.mkdir(parents=True)
    for one in (package, *package.parents[:2]):
        (one / "__init__.py").write_text("")
    (package / "main.py").write_text("import sys\nfrom tests.serving.vllm_stand_in import main\n\nmain(sys.argv[1:])\n")
    return folder


@pytest.fixture(scope="module")
def installed(site: Path) -> Iterator[pytest.MonkeyPatch]:
    """vLLM as processes of this one find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
        yield patch


def spec_of(folder: Path, base: Path, runs: Path, **fields: Any) -> ServeSpec:
    known = {"models": folder / "models", "runs": runs, "keys": folder / "keys.json", "base_model": str(base)}
    return ServeSpec.model_validate({**known, "dtype": "float32", "batch_rows": 8, "engine": "vllm", **fields})


FAILURES: list[JobFailed] = []


def run(server: Server, listener: socket.socket) -> None:
    """As the process does; what it would say at its end is kept."""
    try:
        server.run([listener])
    except JobFailed as error:
        FAILURES.append(error)


def start_vllm(folder: Path, base: Path, runs: Path, names: dict[str, str] = NAMES, **fields: Any) -> House:
    """A server over the stand-in, in a thread; it and vLLM are ended by `stop_vllm`."""
    folder.mkdir(parents=True)
    spec = spec_of(folder, base, runs, **fields)
    write_names(folder, names)
    engine = Vllm(folder, spec)
    listener = listen(spec)
    server = Server(folder, spec, EventWriter(folder), KeyRing(spec.keys), engine, listener)
    thread = threading.Thread(target=run, args=(server, listener), daemon=True)
    thread.start()
    wait_for(lambda: any(event.data.get("port") for event in read_all(folder)), 120)
    return House(folder, f"http://127.0.0.1:{listener.getsockname()[1]}", server, thread)


def stop_vllm(house: House) -> None:
    house.stop()
    house.server._engine.stop()


def told(house: House) -> dict[str, Any]:
    """What the stand-in was asked."""
    process = house.server._engine.process
    return httpx.get(f"{process.url}/told", headers=process.headers, trust_env=False).json()


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, base_folder: Path, runs: Path, installed: pytest.MonkeyPatch
) -> Iterator[House]:
    """A server over the stand-in, for the tests that leave it as it was."""
    found = start_vllm(tmp_path_factory.mktemp("vllm") / "server", base_folder, runs)
    yield found
    stop_vllm(found)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, base_folder: Path, runs: Path) -> Iterator[House]:
    """The same over the studio's own engine."""
    found = start_house(tmp_path_factory.mktemp("own") / "server", base_folder, runs, NAMES)
    yield found
    found.stop()


def chat(house: House, **fields: Any) -> Any:
    settings = {"model": "run-1", "messages": turns(), "max_tokens": 24, "temperature": 0, **fields}
    return house.client().chat.completions.create(**settings)


@pytest.mark.parametrize("model", ["base", "run-1", "new"])
def test_texts_tokens_and_fingerprints_are_those_of_the_own_engine(house: House, own: House, model: str) -> None:
    for text in ("Hi", "Grüße, 世界 🎉", "x" * 60):
        one, other = (chat(each, model=model, messages=turns(text)) for each in (house, own))
        assert one.choices[0].message.content == other.choices[0].message.content
        assert one.choices[0].finish_reason == other.choices[0].finish_reason and one.usage == other.usage
        assert one.system_fingerprint == other.system_fingerprint


def test_streams_and_completions_are_those_of_the_own_engine(house: House, own: House) -> None:
    texts, usages = [], []
    for each in (house, own):
        chunks = list(chat(each, stream=True, stream_options={"include_usage": True}))
        texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
        usages.append(chunks[-1].usage)
    assert texts[0] == texts[1] and usages[0] == usages[1]
    for prompt in ("One more", [72, 105], ["Hi", "Ho"]):
        asked = {"model": "run-1", "prompt": prompt, "max_tokens": 9, "temperature": 0}
        first, second = (each.client().completions.create(**asked) for each in (house, own))
        assert [one.text for one in first.choices] == [one.text for one in second.choices]
        assert first.usage == second.usage


def test_logprobs_are_those_of_the_own_engine(house: House, own: House) -> None:
    first, second = (chat(each, logprobs=True, top_logprobs=3).choices[0].logprobs.content for each in (house, own))
    assert [one.token for one in first] == [one.token for one in second] and len(first) == 24
    for one, other in zip(first, second, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert [rival.token for rival in one.top_logprobs] == [rival.token for rival in other.top_logprobs]
    asked = {"model": "run-1", "prompt": "Hi", "max_tokens": 5, "temperature": 0, "logprobs": 0}
    scored = house.client().completions.create(**asked).choices[0].logprobs
    assert len(scored.tokens) == 5 and scored.top_logprobs == [{}] * 5


def test_a_stop_string_ends_the_answer_and_is_not_shown(house: House, own: House) -> None:
    whole = chat(house).choices[0].message.content
    stop = re.search(r"[!-~]{2}", whole[3:]).group()  # whole characters: half ones wait for their other half
    first, second = (chat(each, stop=[stop], logprobs=True) for each in (house, own))
    assert first.choices[0].message.content == whole[: whole.index(stop)] == second.choices[0].message.content
    assert first.choices[0].finish_reason == "stop" and first.usage == second.usage
    assert len(first.choices[0].logprobs.content) == len(second.choices[0].logprobs.content)


def test_a_seed_repeats_and_each_of_n_has_its_own(house: House) -> None:
    again = [chat(house, temperature=1.5, seed=5, n=3) for _ in range(2)]
    texts = [[choice.message.content for choice in answer.choices] for answer in again]
    assert texts[0] == texts[1] and len(set(texts[0])) == 3


def test_what_is_asked_of_vllm(house: House) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
    chat(house, model="base", response_format=form, top_p=0.5, temperature=0.7, seed=3, max_tokens=4)
    asked = told(house)["bodies"][-1]
    spacing = asked["structured_outputs"]["json"].pop("x-guidance")
    assert asked["structured_outputs"] == {"json": schema} and spacing["key_separator"] == ": "
    assert (asked["model"], asked["top_p"], asked["temperature"], asked["seed"]) == ("base", 0.5, 0.7, 3)
    assert asked["max_tokens"] == 4 and asked["stop_token_ids"] == [257]
    assert asked["prompt"] and all(type(one) is int for one in asked["prompt"])


def test_llguidance_reads_the_spacing_from_the_schema() -> None:
    guidance = pytest.importorskip("llguidance")
    spacing = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "x-guidance": spacing}
    grammar = guidance.LLMatcher.grammar_from_json_schema(json.dumps(schema), defaults={"whitespace_flexible": True})
    tokens = guidance.LLTokenizer("byte")
    for text, fits in (('{"a": 1', True), ('{"a":1', False), ('{ "a"', False)):
        matcher = guidance.LLMatcher(tokens, grammar, log_level=0)
        assert matcher.consume_tokens(tokens.tokenize_str(text)) is fits


def test_what_vllm_refuses_is_a_plain_400(house: House) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": {"type": "impossible"}}}
    with pytest.raises(openai.BadRequestError, match="vLLM refuses this request: Grammar error"):
        chat(house, response_format=form)
    with pytest.raises(openai.BadRequestError, match=r"has \d\d\d tokens, .* holds 256"):
        chat(house, messages=turns("x" * 400))
    with pytest.raises(openai.BadRequestError, match="token id is not below 258"):
        house.client().completions.create(model="base", prompt=[5, 100_000])


@pytest.mark.parametrize(
    ("mark", "words"),
    [(BREAKS, "broke off in the middle"), (FAILS, "failed at this answer; the server's log says more")],
)
def test_a_broken_stream_is_told(house: House, mark: str, words: str) -> None:
    with pytest.raises(openai.InternalServerError, match=words):
        chat(house, messages=turns(mark))
    with pytest.raises(openai.APIError, match=words):
        list(chat(house, messages=turns(mark), stream=True))
    assert chat(house).choices
    wait_for(lambda: house.server._scheduler.active == 0)


def test_a_key_is_asked_and_nothing_goes_out(house: House) -> None:
    process = house.server._engine.process
    assert httpx.get(f"{process.url}/v1/models", trust_env=False).status_code == 401
    flags = told(house)["flags"]
    assert flags["host"] == "127.0.0.1" and flags["enable_lora"] and flags["max_lora_rank"] == 32
    environment = Path(f"/proc/{process._process.pid}/environ")
    if environment.exists():
        given = dict(line.partition("=")[::2] for line in environment.read_text().split("\0"))
        assert {given[name] for name in ("HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")} == {"1"}
        assert process._key not in Path(f"/proc/{process._process.pid}/cmdline").read_text()


def test_the_log_has_counts_and_certainty(house: House) -> None:
    answer = chat(house)
    wait_for(lambda: any(one["id"] == answer.id for one in house.traffic(1)))
    line = next(one for one in house.traffic(1) if one["id"] == answer.id)
    assert (line["run_id"], line["answer_tokens"], line["finish"]) == ("one", 24, "length")
    assert 0 < line["confidence"] <= 1 and line["prompt_tokens"] == answer.usage.prompt_tokens


def test_a_name_moves_under_load_without_a_failed_request(
    tmp_path: Path, base_folder: Path, runs: Path, installed: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs / "one", tmp_path / "runs" / "one")
    shutil.copytree(runs / "two", tmp_path / "runs" / "two")
    house = start_vllm(tmp_path / "server", base_folder, tmp_path / "runs", {"live": "one"})
    try:
        old, seen, failed, over = chat(house, model="live").choices[0].message.content, [], [], threading.Event()

        def keep_asking() -> None:
            while not over.is_set():
                try:
                    seen.append(chat(house, model="live").choices[0].message.content)
                except Exception as error:
                    failed.append(error)

        threads = [threading.Thread(target=keep_asking) for _ in range(3)]
        for thread in threads:
            thread.start()
        write_names(house.folder, {"live": "two"})
        wait_for(lambda: house.server._names.names["live"] == "two", 60)
        wait_for(lambda: seen and seen[-1] != old, 60)
        new = seen[-1]
        other = make_adapter(tmp_path / "made", "two", base_folder, scale=0.5, seed=9, lora_alpha=16)
        weights = "adapter_model.safetensors"
        (other / weights).replace(tmp_path / "runs" / "two" / "adapter" / weights)  # as a trainer that has gone on does
        wait_for(lambda: seen[-1] not in (old, new), 60)
        over.set()
        for thread in threads:
            thread.join()
        assert not failed and set(seen) <= {old, new, seen[-1]}
        wait_for(lambda: told(house)["unloads"], 30)
        loads, unloads = told(house)["loads"], told(house)["unloads"]
        assert [name[:4] for name in loads] == ["one-", "two-", "two-"] and unloads == [loads[1]]
        wait_for(lambda: {one.name for one in (house.folder / "vllm-adapters").iterdir()} == {loads[0], loads[2]})
    finally:
        stop_vllm(house)
    assert not (house.folder / "vllm-adapters").exists() and not house.server._engine.process.alive


def test_a_client_that_leaves_a_drain_and_a_death(
    tmp_path: Path, base_folder: Path, runs: Path, installed: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAND_IN_SECONDS", "0.05")
        house = start_vllm(tmp_path / "server", base_folder, runs, batch_rows=1, queue_limit=1)
    try:
        for stream in (True, False):
            body = {"model": "base", "messages": turns(), "max_tokens": 200, "stream": stream}
            before = told(house)["aborted"]
            with pytest.raises(httpx.ReadTimeout):
                with httpx.stream("POST", f"{house.url}/v1/chat/completions", json=body, timeout=1) as answer:
                    for _ in answer.iter_raw():
                        raise httpx.ReadTimeout("enough")
            wait_for(lambda: house.server._scheduler.active == 0, seconds=8)  # the whole answer takes over 10 seconds
            wait_for(lambda before=before: told(house)["aborted"] == before + 1)
        threads = [threading.Thread(target=chat, args=(house,), kwargs={"max_tokens": 60}) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_for(lambda: house.server._scheduler.active == 2)
        with pytest.raises(openai.RateLimitError) as full:
            chat(house)
        assert full.value.code == "queue_full"
        for thread in threads:
            thread.join()
        with pytest.raises(openai.InternalServerError, match=r"vLLM (has ended|does not answer)"):
            chat(house, messages=turns(DIES))
        house.thread.join(20)
        assert not house.thread.is_alive() and "the stand-in was asked to die" in str(FAILURES[-1])
    finally:
        stop_vllm(house)


def test_a_signal_to_the_servers_group_does_not_reach_vllm_before_the_drain_is_over(
    tmp_path: Path, base_folder: Path, runs: Path, installed: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spec.json").write_text(spec_of(tmp_path, base_folder, runs).model_dump_json())
    write_names(tmp_path, {"run-1": "one"})
    environment = {**os.environ, "STAND_IN_SECONDS": "0.03", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "studio.serving", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    wait_for(lambda: any(event.data.get("port") for event in read_all(tmp_path)), 500)
    ready = next(event for event in read_all(tmp_path) if event.data.get("port"))
    (vllm,) = psutil.Process(process.pid).children()
    assert ready.data["engine"] == "vllm" and vllm.cmdline()[1:4] == ["-m", "vllm.entrypoints.cli.main", "serve"]
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{ready.data['port']}/v1", api_key="none", max_retries=0)
    stream = client.chat.completions.create(model="run-1", messages=turns(), max_tokens=40, temperature=0, stream=True)
    next(iter(stream))
    os.killpg(process.pid, signal.SIGTERM)
    assert list(stream)[-1].choices[0].finish_reason == "length" and process.wait(60) == 0
    assert not vllm.is_running() and read_all(tmp_path)[-1].data["state"] == "stopped"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
def test_vllm_ends_with_a_server_that_is_killed() -> None:
    started = "subprocess.Popen([sys.executable, '-I', sys.argv[1], str(os.getpid()), 'sleep', '600']).pid"
    code = f"import os, subprocess, sys, time; print({started}, flush=True); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code, leash.__file__], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    wait_for(lambda: child.name() == "sleep", 60)
    parent.kill()
    parent.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_what_vllm_does_not_serve_is_named(tmp_path: Path, base_folder: Path) -> None:
    runs = tmp_path / "runs"
    make_adapter(runs, "dora", base_folder, scale=0.5, use_dora=True)
    make_adapter(runs, "ranks", base_folder, scale=0.5, rank_pattern={"q_proj": 8})
    shutil.copytree(base_folder, runs / "whole" / "model")
    for run, words in (("dora", "a DoRA adapter"), ("ranks", "several ranks"), ("whole", "a whole model")):
        write_names(tmp_path, {"run-1": run})
        with pytest.raises(BadInput, match=f"'{run}' is .*{words}.*--engine studio"):
            Vllm(tmp_path, spec_of(tmp_path, base_folder, runs))
        engine, note = running._engine(
            tmp_path, spec_of(tmp_path, base_folder, runs, engine="auto", device="cpu"), bool
        )
        assert not isinstance(engine, Vllm) and words in note and note.startswith("The studio's own engine serves")


def test_a_vllm_that_does_not_start_says_why(
    tmp_path: Path, base_folder: Path, runs: Path, installed: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    write_names(tmp_path, {"run-1": "one"})
    with pytest.raises(JobFailed, match=r"did not start.*vllm\.log.*Free memory on device"):
        running._engine(tmp_path, spec_of(tmp_path, base_folder, runs), bool)


def test_the_note_of_a_fallback_is_a_warning_of_the_server(own: House, tmp_path: Path, runs: Path) -> None:
    spec = spec_of(tmp_path, own.folder, runs)
    with listen(spec) as listener:
        given = (EventWriter(tmp_path), KeyRing(spec.keys), own.server._engine, listener)
        Server(tmp_path, spec, *given, lambda: True, "N.").run(sockets=[listener])
    told = [(event.kind, event.data.get("message")) for event in read_all(tmp_path)]
    assert ("warning", "N.") in told and told[-1] == ("state", "Ending")


def test_ranks_and_flags(tmp_path: Path, base_folder: Path, runs: Path) -> None:
    assert [most_rank(rank) for rank in (0, 8, 33, 512, 999)] == [32, 32, 64, 512, 512]
    flags = arguments(spec_of(tmp_path, base_folder, runs, gpu_share=0.3), base_folder, 4321, 64)
    pairs = dict(itertools.pairwise(flags))
    assert (pairs["--port"], pairs["--max-lora-rank"], pairs["--gpu-memory-utilization"]) == ("4321", "64", "0.3")
    assert pairs["--generation-config"] == "vllm" and pairs["--load-format"] == "safetensors"
