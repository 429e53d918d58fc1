"""A request's whole body, read before the application sees the request, and never more of it than a limit.

What it leaves out: what is answered to a body that is too long, and how long one waits for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
"""ASGI's own shapes (asgi.readthedocs.io), as starlette names them."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The whole body; None when it is longer than `limit` bytes, or says so or nonsense of its length."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not declared.isdigit() or int(declared[:20]) > limit:
        return None
    parts, length = [], 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > limit:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """What gives the application a body that was read already, then what `receive` has to say."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
