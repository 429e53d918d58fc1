"""An OpenAI-compatible endpoint that an admin has named, as a source of suggestions. Off until then.

Address, model and key lie in a file of the workspace that its owner alone can read: not in the database, so not in
exports, snapshots or the audit log. The key is never shown again and never part of an error or of `repr`.
Redirects are not followed, environment proxies not used, private hosts refused unless the environment names them
(studio.contract.outward), answers cut off at a size and a time.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from studio.contract.chat import Message
from studio.contract.outward import refuse_private
from studio.errors import BadInput, DiskFull, JobFailed
from studio.jobs.drafts import Reply
from studio.jobs.outward import Outward
from studio.language import tr
from studio.settings import Workspace

ANSWER_LIMIT = 1 << 20
"""Bytes of the longest response."""

_TIMEOUT = httpx.Timeout(120.0, connect=10.0)
_LONGEST = 600.0
"""Seconds of one answer, however slowly it drips."""
_PARALLEL = 4
_TOP = 5
_URL_LIMIT, _MODEL_LIMIT, _KEY_LIMIT = 500, 200, 1000


class Unreachable(JobFailed):
    """The endpoint did not answer at all; it may a moment later."""


@dataclass(frozen=True)
class Endpoint:
    """`url` is the base, such as https://host/v1; `key` may be ''."""

    url: str
    model: str
    key: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """What a screen shows of the address."""
        return urlsplit(self.url).netloc


def save_endpoint(workspace: Workspace, url: str, model: str, key: str = "") -> Endpoint:
    """Name the endpoint; an empty key keeps the one of the same address. Raises BadInput, DiskFull."""
    endpoint = with_kept_key(workspace, checked_endpoint(url, model, key))
    path = _file(workspace)
    temporary = path.with_suffix(".tmp")
    try:
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"url": endpoint.url, "model": endpoint.model, "key": endpoint.key}, file)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        why = error.strerror
        words = tr("The endpoint cannot be kept in {folder}: {reason}.", folder=path.parent, reason=why)
        raise DiskFull(words) from None
    return endpoint


def checked_endpoint(url: str, model: str, key: str = "") -> Endpoint:
    """An endpoint as somebody typed it. Raises BadInput."""
    url, model, key = _checked_url(url), " ".join(model.split()), key.strip()
    refuse_private(urlsplit(url).hostname or "")
    if not model or len(model) > _MODEL_LIMIT:
        raise BadInput("Name the endpoint's model, as its provider writes it.")
    if len(key) > _KEY_LIMIT or any(not 32 < ord(letter) < 127 for letter in key):
        raise BadInput("The key has characters that no key has: paste it again.")
    return Endpoint(url, model, key)


def with_kept_key(workspace: Workspace, endpoint: Endpoint) -> Endpoint:
    """The endpoint with the key that was named for the same address, where it has none of its own."""
    named = load_endpoint(workspace)
    return replace(endpoint, key=named.key) if not endpoint.key and named and named.url == endpoint.url else endpoint


def load_endpoint(workspace: Workspace) -> Endpoint | None:
    """The endpoint that was named; None without one (or where its file is damaged)."""
    try:
        kept = json.loads(_file(workspace).read_text(encoding="utf-8"))
        return Endpoint(_checked_url(str(kept["url"])), str(kept["model"]), str(kept["key"]))
    except (OSError, ValueError, KeyError, TypeError, BadInput):
        return None


def drop_endpoint(workspace: Workspace) -> None:
    """Forget the endpoint and its key."""
    _file(workspace).unlink(missing_ok=True)


def ask_endpoint(
    endpoint: Endpoint, conversations: Sequence[Sequence[Message]], max_tokens: int, transport: Any = None
) -> list[Reply]:
    """A reply to each conversation, greedily. Raises JobFailed with what the endpoint refused, never with the key."""
    with client_of(endpoint, transport) as client:
        with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
            return list(pool.map(lambda turns: _ask(client, endpoint, turns, max_tokens), conversations))


def client_of(endpoint: Endpoint, transport: Any = None) -> httpx.Client:
    """A client that sends the key, follows no redirect and minds no proxy of the environment."""
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    return httpx.Client(
        timeout=_TIMEOUT,
        trust_env=False,
        follow_redirects=False,
        headers=headers,
        transport=transport or Outward(trust_env=False),
    )


def _ask(client: httpx.Client, endpoint: Endpoint, turns: Sequence[Message], max_tokens: int) -> Reply:
    body = {
        "model": endpoint.model,
        "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    status, _, text = post(client, endpoint, {**body, "logprobs": True, "top_logprobs": _TOP})
    if status in (400, 422):  # some refuse a question for log probabilities
        status, _, text = post(client, endpoint, body)
    if status != 200:
        raise JobFailed(refused(endpoint, status))
    try:
        given = json.loads(text)
        choice = given["choices"][0]
        return Reply(str(choice["message"]["content"] or ""), _entropy(given, choice))
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        host = endpoint.host
        raise JobFailed(tr("The endpoint {host} does not answer as OpenAI's chat completions do.", host=host)) from None


def refused(endpoint: Endpoint, status: int) -> str:
    """What is said of a status that is none of success."""
    return tr(
        "The endpoint {host} refused with status {status}: check its address, model and key.",
        host=endpoint.host,
        status=status,
    )


def elsewhere(endpoint: Endpoint) -> str:
    """What is said of a redirect."""
    return tr("The endpoint {host} sends elsewhere: name the address it sends to.", host=endpoint.host)


def unreachable(endpoint: Endpoint, error: Exception) -> str:
    """What is said where nobody answers."""
    return tr("The endpoint {host} cannot be reached ({error}).", host=endpoint.host, error=type(error).__name__)


def post(client: httpx.Client, endpoint: Endpoint, body: dict[str, object]) -> tuple[int, httpx.Headers, bytes]:
    """Ask for a chat completion: status, headers and body of the response.

    Raises Unreachable, and JobFailed for a redirect, a private host or a response past the limits.
    """
    began, host = time.monotonic(), endpoint.host
    try:
        with client.stream("POST", f"{endpoint.url}/chat/completions", json=body) as response:
            if response.is_redirect:
                raise JobFailed(elsewhere(endpoint))
            pieces, size = [], 0
            for piece in response.iter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size > ANSWER_LIMIT:
                    raise JobFailed(tr("The endpoint {host} sent more than a megabyte for one answer.", host=host))
                if time.monotonic() - began > _LONGEST:
                    raise JobFailed(tr("The endpoint {host} took more than ten minutes for one answer.", host=host))
            return response.status_code, response.headers, b"".join(pieces)
    except BadInput as error:
        raise JobFailed(str(error)) from None
    except httpx.HTTPError as error:
        raise Unreachable(unreachable(endpoint, error)) from None


def _entropy(given: dict[str, Any], choice: dict[str, Any]) -> float | None:
    """Mean token entropy in nats: as an engine of ours says it, else from the likeliest tokens, the rest of each
    distribution counted as one token (so at most what it really is); None where nothing is told."""
    own = given.get("entropy")
    if isinstance(own, (int, float)) and math.isfinite(own):
        return float(own)
    tokens = (choice.get("logprobs") or {}).get("content") or []
    each = [_token_entropy([float(top["logprob"]) for top in token.get("top_logprobs") or []]) for token in tokens]
    known = [value for value in each if value is not None]
    return sum(known) / len(known) if known else None


def _token_entropy(logs: Sequence[float]) -> float | None:
    chances = [math.exp(min(log, 0.0)) for log in logs]
    if not chances:
        return None
    chances.append(max(0.0, 1.0 - sum(chances)))
    return -sum(chance * math.log(chance) for chance in chances if chance > 0)


def _checked_url(url: str) -> str:
    url = url.strip().rstrip("/").removesuffix("/chat/completions")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(url) > _URL_LIMIT or _has_spaces(url) or parts.username or parts.query or parts.fragment:
        raise BadInput("The endpoint's address begins with https:// or http:// and has no user, ? or # in it.")
    return url


def _has_spaces(text: str) -> bool:
    return any(letter.isspace() or ord(letter) < 32 for letter in text)


def _file(workspace: Workspace) -> Path:
    return workspace.root / "endpoint.json"
