"""Stands in for vLLM, which is not installed here: its command line, key, models, adapters by path, and completions.

Written from vLLM's documentation and sources (0.12 and later), and independent of the studio's engine and of torch: the
tiny Llama of the tests in numpy, one row at a time. It refuses flags and fields that vLLM does not have. What `vllm
serve` itself does with all this has not been seen.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

FIELDS = {"model", "prompt", "max_tokens", "temperature", "top_p", "stop", "stop_token_ids", "logprobs", "seed"}
FIELDS |= {"return_tokens_as_token_ids", "stream", "structured_outputs"}
DIES, BREAKS, FAILS = "\x07", "\x08", "\x0b"
"""A prompt that has one of these ends the process, cuts the stream, or has an error within it."""
A_CHUNK = 2
_ADAPTED = "base_model.model."

Weights = dict[str, Any]


class TinyLlama:
    """A Llama's next-token scores, all positions read anew at each step."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.weights: Weights = load_file(folder / "model.safetensors")

    def with_adapter(self, folder: Path) -> Weights:
        """The weights with a LoRA adapter added to them."""
        config, adapter = (
            json.loads((folder / "adapter_config.json").read_text()),
            load_file(folder / "adapter_model.safetensors"),
        )
        made, strength = dict(self.weights), config["lora_alpha"] / config["r"]
        for name in [name for name in adapter if ".lora_A." in name]:
            target = name.removeprefix(_ADAPTED).replace(".lora_A.weight", ".weight")
            made[target] = made[target] + strength * adapter[name.replace("lora_A", "lora_B")] @ adapter[name]
        return made

    def scores(self, weights: Weights, ids: list[int]) -> Any:
        """Of the token behind `ids`; shape (vocabulary,)."""
        heads, groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        x = weights["model.embed_tokens.weight"][ids]
        size, length = x.shape[1] // heads, len(ids)
        turn = np.arange(length)[:, None] / 10000.0 ** (np.arange(0, size, 2) / size)
        cos, sin = (np.concatenate([part, part], -1)[:, None] for part in (np.cos(turn), np.sin(turn)))
        future = np.triu(np.full((length, length), -np.inf), 1)

        def turned(part: Any) -> Any:
            return part * cos + np.concatenate([-part[..., size // 2 :], part[..., : size // 2]], -1) * sin

        for number in range(self.config["num_hidden_layers"]):
            layer = {name: weights[f"model.layers.{number}.{name}.weight"] for name in _LAYER}
            h = self._normed(x, layer["input_layernorm"])
            q, k, v = ((h @ layer[f"self_attn.{one}_proj"].T).reshape(length, -1, size) for one in "qkv")
            q, k, v = turned(q), np.repeat(turned(k), heads // groups, 1), np.repeat(v, heads // groups, 1)
            looks = _softmax(np.einsum("ihd,jhd->hij", q, k) / size**0.5 + future)
            x = x + np.einsum("hij,jhd->ihd", looks, v).reshape(length, -1) @ layer["self_attn.o_proj"].T
            h = self._normed(x, layer["post_attention_layernorm"])
            gate = h @ layer["mlp.gate_proj"].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ layer["mlp.up_proj"].T)) @ layer["mlp.down_proj"].T
        return self._normed(x[-1:], weights["model.norm.weight"])[0] @ weights["lm_head.weight"].T

    def _normed(self, x: Any, weight: Any) -> Any:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + self.config["rms_norm_eps"]) * weight


_LAYER = ("input_layernorm", "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_LAYER += tuple(f"self_attn.{one}_proj" for one in "qkvo")


def _softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


class Refused(Exception):
    """An error body: words and status."""


class House:
    """The model with its adapters, and what was asked of it."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.tokenizer = Tokenizer.from_file(str(Path(flags.model) / "tokenizer.json"))
        self.llama = TinyLlama(Path(flags.model))
        self.models = {flags.served_model_name: self.llama.weights}
        self.lock = threading.Lock()
        self.told: dict[str, Any] = {"loads": [], "unloads": [], "aborted": 0, "bodies": [], "flags": vars(flags)}

    def load(self, asked: dict[str, Any]) -> None:
        """POST /v1/load_lora_adapter."""
        if os.environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] != "True" or set(asked) != {"lora_name", "lora_path"}:
            raise Refused("not allowed", 404)
        if asked["lora_name"] in self.models:
            raise Refused("The lora adapter has already been loaded.", 400)
        config = json.loads((Path(asked["lora_path"]) / "adapter_config.json").read_text())
        if config["r"] > self.flags.max_lora_rank or config.get("use_dora"):
            raise Refused("LoRA rank is greater than max_lora_rank, or DoRA", 500)
        self.models[asked["lora_name"]] = self.llama.with_adapter(Path(asked["lora_path"]))
        self.told["loads"].append(asked["lora_name"])

    def unload(self, asked: dict[str, Any]) -> None:
        """POST /v1/unload_lora_adapter."""
        if self.models.pop(asked["lora_name"], None) is None:
            raise Refused("The lora adapter cannot be found.", 404)
        self.told["unloads"].append(asked["lora_name"])

    def check(self, asked: dict[str, Any]) -> None:
        """Of POST /v1/completions, before the stream."""
        if unknown := set(asked) - FIELDS:
            raise Refused(f"unknown fields {unknown}", 400)
        if asked["model"] not in self.models:
            raise Refused(f"The model `{asked['model']}` does not exist.", 404)
        if "impossible" in json.dumps(asked.get("structured_outputs")):
            raise Refused("Grammar error: this schema cannot be followed", 400)
        self.told["bodies"].append(asked)

    def step(self, weights: Weights, ids: list[int], asked: dict[str, Any], draw: Any) -> tuple[int, Any]:
        """The next token, and vLLM's way to tell its log-probabilities: the token itself, then the likeliest."""
        scores = self.llama.scores(weights, ids)
        logprobs = np.log(_softmax(scores))
        heat = asked["temperature"]
        token = int(draw.choice(len(scores), p=_softmax(scores / heat))) if heat else int(scores.argmax())
        top = np.argsort(-logprobs)[: asked["logprobs"]].tolist()
        return token, {f"token_id:{one}": float(logprobs[one]) for one in dict.fromkeys([token, *top])}

    def write(self, asked: dict[str, Any]) -> Iterator[bytes]:
        """The events of an answer's stream."""
        ids, written, pending, finish = list(asked["prompt"]), [], [], None
        weights, draw = self.models[asked["model"]], np.random.default_rng(asked.get("seed"))
        text, ends = self.tokenizer.decode(ids, skip_special_tokens=False), {*asked["stop_token_ids"], 257}
        while finish is None:
            with self.lock:
                token, rivals = self.step(weights, ids, asked, draw)
            time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
            ids.append(token)
            written.append(token)
            pending.append((token, rivals))
            said = self.tokenizer.decode(written)
            if token in ends or any(stop in said for stop in asked["stop"]):
                finish = "stop"
            elif len(written) >= asked["max_tokens"]:
                finish = "length"
            if len(written) > 3 and DIES in text:
                print("RuntimeError: CUDA error: the stand-in was asked to die", flush=True)
                os._exit(1)
            if len(written) > 3 and FAILS in text:
                yield b'{"error": {"message": "EngineCore has a bug", "code": 500}}'
                break
            if len(written) > 3 and BREAKS in text:
                return
            if finish or len(pending) >= A_CHUNK:
                yield self._chunk(pending, finish)
                pending = []
        yield b"[DONE]"

    def _chunk(self, pending: list[tuple[int, Any]], finish: str | None) -> bytes:
        names = [f"token_id:{token}" for token, _ in pending]
        told = {
            "tokens": names,
            "token_logprobs": [rivals[name] for name, (_, rivals) in zip(names, pending, strict=True)],
            "top_logprobs": [rivals for _, rivals in pending],
            "text_offset": [0 for _ in pending],
        }
        text = self.tokenizer.decode([token for token, _ in pending])
        choice = {"index": 0, "text": text, "logprobs": told, "finish_reason": finish, "stop_reason": None}
        return json.dumps({"object": "text_completion", "choices": [choice]}).encode()


class Handler(BaseHTTPRequestHandler):
    """The routes."""

    protocol_version = "HTTP/1.1"
    house: House

    def log_message(self, *parts: Any) -> None:
        """Nothing, as with --uvicorn-log-level warning."""

    def do_GET(self) -> None:
        """Models, and what a test asks for."""
        if self._let_in():
            window = self.house.llama.config["max_position_embeddings"]
            models = [{"id": name, "max_model_len": window} for name in self.house.models]
            self._say(200, {"object": "list", "data": models} if self.path == "/v1/models" else self.house.told)

    def do_POST(self) -> None:
        """Adapters and completions."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._let_in():
            return
        try:
            if self.path == "/v1/completions":
                self.house.check(asked)
                self._stream(asked)
            else:
                {"/v1/load_lora_adapter": self.house.load, "/v1/unload_lora_adapter": self.house.unload}[self.path](
                    asked
                )
                self._say(200, "Success.")
        except Refused as error:
            words, status = error.args
            self._say(status, {"error": {"message": words, "type": "BadRequestError", "param": None, "code": status}})

    def _stream(self, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for one in self.house.write(asked):
                event = b"data: " + one + b"\n\n"
                self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client has gone
            self.house.told["aborted"] += 1
            self.close_connection = True

    def _let_in(self) -> bool:
        right = self.headers.get("authorization") == f"Bearer {os.environ['VLLM_API_KEY']}"
        if not right:
            self._say(401, {"error": "Unauthorized"})
        return right

    def _say(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """Takes as many clients as come."""

    daemon_threads = True
    request_queue_size = 128


def main(argv: list[str]) -> None:
    """As `vllm serve …`."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("serve", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--enable-lora", action="store_true")
    for name, kind in (
        *((name, str) for name in ("served-model-name", "host", "dtype", "load-format", "generation-config")),
        *((name, str) for name in ("uvicorn-log-level", "structured-outputs-config")),
        *((name, int) for name in ("port", "max-num-seqs", "max-loras", "max-cpu-loras", "max-lora-rank")),
        ("gpu-memory-utilization", float),
    ):
        parser.add_argument(f"--{name}", type=kind, required=True)
    flags = parser.parse_args(argv)
    print("INFO the stand-in loads", flush=True)
    if "STAND_IN_FAILS" in os.environ:
        raise SystemExit("ValueError: Free memory on device is less than desired GPU memory utilization")
    Handler.house = House(flags)
    Server((flags.host, flags.port), Handler).serve_forever()
