"""vLLM as a process beside the server: how it is started, asked for its adapters, and ended. Nobody else reaches it.

It listens on 127.0.0.1 with a key made for the occasion, downloads nothing and reports nothing home. It has a session
of its own, as a SIGTERM to the server's group would otherwise break off what the server still drains; it ends with the
server all the same (leash.py). What it leaves out: rows (vllm_scheduler.py).
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from studio.contract.serving import ServeSpec
from studio.errors import JobFailed
from studio.serving import leash

LOG = "vllm.log"
BASE_MODEL = "base"
_START_SECONDS = 480
_STOP_SECONDS = 5
_LOOK_SECONDS = 0.2
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The only values that --max-lora-rank takes."""
_USUAL_RANK = 32
_AT_ONCE, _KEPT = 8, 32
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
}


def most_rank(rank: int) -> int:
    """The rank that vLLM has to make room for, where the largest adapter known now has `rank`."""
    return next((one for one in _RANKS if one >= max(rank, _USUAL_RANK)), _RANKS[-1])


def arguments(spec: ServeSpec, model: Path, port: int, rank: int) -> list[str]:
    """What `vllm serve` is told. `--generation-config vllm`: sampling settings come from the request alone."""
    return [
        *("serve", str(model), "--served-model-name", BASE_MODEL, "--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", spec.dtype, "--load-format", "safetensors", "--generation-config", "vllm"),
        *("--max-num-seqs", str(spec.batch_rows), "--gpu-memory-utilization", str(spec.gpu_share)),
        *("--enable-lora", "--max-loras", str(_AT_ONCE), "--max-cpu-loras", str(_KEPT)),
        *("--max-lora-rank", str(rank), "--uvicorn-log-level", "warning"),
        *("--structured-outputs-config", json.dumps({"backend": "guidance"})),
    ]


class VllmProcess:
    """A running vLLM. `window`: tokens that prompt and answer may have together, None where it does not tell."""

    def __init__(self, folder: Path, spec: ServeSpec, model: Path, rank: int) -> None:
        self._log = folder / LOG
        self._key = secrets.token_urlsafe(32)
        self.window: int | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self.headers = {"Authorization": f"Bearer {self._key}"}
        command = [sys.executable, "-m", "vllm.entrypoints.cli.main", *arguments(spec, model, port, rank)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", leash.__file__, str(os.getpid()), *command],
                cwd=folder,
                env={**os.environ, **_ENVIRONMENT, "VLLM_API_KEY": self._key},  # not told to `ps`, as arguments are
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def wait(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Until it answers, which takes minutes, or until `stopped`. Raises JobFailed with its last words."""
        deadline = time.monotonic() + _START_SECONDS
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=10, trust_env=False) as client:
            while self.alive and time.monotonic() < deadline and not stopped():
                with suppress(httpx.HTTPError, ValueError, KeyError, IndexError):
                    told = client.get("/v1/models").raise_for_status().json()["data"]
                    self.window = told[0].get("max_model_len")
                    return
                time.sleep(_LOOK_SECONDS)
        raise JobFailed(f"vLLM did not start. {self.last_words()}")

    def last_words(self) -> str:
        """Where its log lies, and how that ends."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, self._log.stat().st_size - 8192))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except OSError:
            lines = []
        said = " / ".join(" ".join(line.split()) for line in [line for line in lines if line.strip()][-3:])
        return f"Its last words (all are in {self._log}): {said[-600:] or 'none'}"

    def stop(self) -> None:
        """End it, by force when it does not listen."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive:
                break
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
