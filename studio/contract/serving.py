"""What the app and a server of models say to each other: the spec, the names, the API keys, in the server's folder.

    spec.json       ServeSpec, read once at the start
    serving.json    Names: which run answers to which name; read again whenever it changes
    keys.json       Keys of all servers of the workspace (hashes only); read again whenever it changes
    loan.json       Loan: jobs that want the memory of the server while nobody asks; over when it is gone or old
    traffic-*.jsonl  what was served (studio.contract.traffic)

Files are exchanged whole by rename, so a reader never sees half of one. What it leaves out: who makes keys and names
(studio.jobs.serving), and the server itself (studio.serving).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.contract.spec import SPEC_FILE, STARTER
from studio.errors import BadSpec, DiskFull

NAMES_FILE = "serving.json"
KEYS_FILE = "keys.json"
LOAN_FILE = "loan.json"
LOAN_SECONDS = 300
"""A loan that was not renewed for so long is over: whoever asked for it is gone."""
BASE_NAME = "base"
"""The name of the bare base model; it is always served."""

RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")]
ModelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class ServeSpec(_Frozen):
    """One server: a base model in memory, the runs of `runs` that the names file calls for, one HTTP port.

    `keys` is the file with the API keys. A host other than this machine's own demands that there is one.
    """

    models: Path
    runs: Path
    keys: Path
    base_model: str = Field(STARTER, min_length=1, max_length=500)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    engine: Literal["auto", "studio", "vllm"] = Field("studio", description="auto: vLLM, the studio's where it fails")
    gpu_share: float = Field(0.5, gt=0, le=1, description="of the GPU's memory, which vLLM takes whole at its start")
    host: str = Field("127.0.0.1", min_length=1, max_length=253)
    port: int = Field(0, ge=0, le=65535, description="0 = any free port, told in the `state` event")
    owner: int = Field(0, ge=0, description="process id with which the server ends; 0 = nobody")
    keep_texts: bool = Field(False, description="keep prompts and answers, redacted; otherwise only counts")
    log_requests: bool = Field(True, description="write each request down; without it nothing can be watched or rated")
    batch_rows: int = Field(32, ge=1, le=1024, description="answers written together at the most")
    queue_limit: int = Field(256, ge=1, le=100_000, description="answers that may wait")
    body_limit: int = Field(1 << 20, ge=1 << 10, le=64 << 20, description="bytes of a request")
    most_tokens: int = Field(4096, ge=1, le=131_072, description="answer tokens a request may ask for")
    most_prompt_tokens: int = Field(0, ge=0, le=10_000_000, description="prompt tokens; 0 = what the model holds")
    most_choices: int = Field(16, ge=1, le=128, description="answers to one request (n)")
    requests_a_minute: int = Field(600, ge=0, le=1_000_000, description="of one key, unless it says another; 0 = any")
    timeout_seconds: float = Field(600.0, gt=0, le=86_400, description="from a request's arrival to its last token")
    drain_seconds: float = Field(30.0, ge=0, le=3600, description="how long SIGTERM waits for running answers")
    lend_after_seconds: float = Field(
        60.0, ge=0, le=86_400, description="without a request, until the memory goes to a job that needs it; 0 = never"
    )


class Names(_Frozen):
    """Which run answers to which name; "" is the base model. The name `base` needs no entry."""

    names: Mapping[ModelName, RunId] = {}


class Loan(_Frozen):
    """Who wants a server's memory: `jobs`, the bytes planned for each by its id; `name`: what the first is called."""

    name: str = Field(max_length=300)
    jobs: Mapping[str, Annotated[int, Field(ge=0)]]


class Key(_Frozen):
    """An API key without the key itself: `hash` is its SHA-256 (hex), which says nothing of 256 random bits.

    `models`: the names it may ask for, none = all. `a_minute`: requests a minute, None = as the server says.
    """

    id: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1, max_length=100)
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    models: tuple[ModelName, ...] = ()
    a_minute: int | None = Field(None, ge=1, le=1_000_000)
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def allows(self, model: str) -> bool:
        """Whether it may ask for a model's name."""
        return not self.models or model in self.models

    def works(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class Keys(_Frozen):
    """All keys that were ever made; revoked ones stay, so that a file with any never again means "without keys"."""

    keys: tuple[Key, ...] = ()

    def find(self, token: str) -> Key | None:
        """The key of a token. Compared as hashes and in constant time."""
        given, found = hash_of(token), None
        for key in self.keys:
            if hmac.compare_digest(key.hash, given):
                found = key
        return found


def hash_of(token: str) -> str:
    """The SHA-256 of a token, as it is kept."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def is_own_machine(host: str) -> bool:
    """Whether nobody but this machine can reach a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def read_serve_spec(folder: Path) -> ServeSpec:
    """Raises BadSpec when it is missing or damaged."""
    try:
        return ServeSpec.model_validate_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSpec(f"The spec in {folder} cannot be read: start the server again.") from error


def read_names(folder: Path) -> Names:
    """The names of a server's folder; none without a file. Raises BadSpec for a damaged one."""
    try:
        return Names.model_validate_json((folder / NAMES_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Names()
    except (OSError, ValueError) as error:
        raise BadSpec(f"{folder / NAMES_FILE} cannot be read: name the models to serve again.") from error


def write_names(folder: Path, names: Mapping[str, str]) -> None:
    """Put other names in place. Raises BadSpec for one that cannot be, DiskFull."""
    try:
        made = Names(names=dict(names))
    except ValidationError as error:
        raise BadSpec(f"These names cannot be served: {error.errors()[0]['msg']}.") from None
    exchange(folder / NAMES_FILE, made.model_dump_json(indent=1))


def read_loan(folder: Path) -> Loan | None:
    """What is asked of a server's memory; None where nothing is, where it is over, or cannot be read."""
    path = folder / LOAN_FILE
    try:
        if time.time() - path.stat().st_mtime > LOAN_SECONDS:
            return None
        return Loan.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_loan(folder: Path, loan: Loan | None) -> None:
    """Ask for a server's memory, ask on (within LOAN_SECONDS), or no more. Raises DiskFull."""
    if loan is None:
        (folder / LOAN_FILE).unlink(missing_ok=True)
    else:
        exchange(folder / LOAN_FILE, loan.model_dump_json(indent=1))


def read_keys(path: Path) -> Keys:
    """The keys of a file; none without one. Raises BadSpec for a damaged one."""
    try:
        return Keys.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Keys()
    except (OSError, ValueError) as error:
        raise BadSpec(f"The API keys in {path} cannot be read: restore the file, or make new ones.") from error


def write_keys(path: Path, keys: Keys) -> None:
    """Put the keys in place, readable by this user alone. Raises DiskFull."""
    exchange(path, keys.model_dump_json(indent=1))


def exchange(path: Path, text: str) -> None:
    """Write a file of this user's own by temporary name, fsync and rename. Raises DiskFull."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DiskFull(f"{path} cannot be written ({error.strerror or error}): make room.") from error
    finally:
        temporary.unlink(missing_ok=True)
