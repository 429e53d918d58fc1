"""What the drill of the server sends: ordinary requests, streams cut off, broken bodies, wrong keys, by a seed.

Each is the bytes of one connection and what the client does with them. What it leaves out: sending (drill_serve.py).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHAT, COMPLETION, FEEDBACK = "/v1/chat/completions", "/v1/completions", "/v1/feedback"
MODELS = ("base", "run-1", "Mail@production")
Made = list[tuple[str, str, bytes, str]]
"""Method, path, body and content type of requests that schemathesis made."""

VALUES: list[Any] = [
    None, True, -1, 0, 1, 2**70, 1e308, float("nan"), float("inf"), "", "x", "\0", "\ud800", "é" * 50, [], [[]], [None],
    {}, {"a": 1}, [1] * 40, ["a"] * 20, [{"role": "user"}], [{"role": "user", "content": {}}], {"type": "json_object"},
    {"type": "json_schema"}, [{"role": "tool", "content": "x"}], "base", "../../etc/passwd", {"include_usage": 1},
]  # fmt: skip
FIELDS = (
    *("model", "messages", "prompt", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "stream", "logprobs"),
    *("stream_options", "top_logprobs", "response_format", "tools", "logit_bias", "best_of", "unknown"),
)
_WORDS = ("Where is my order?", "Hi", "Grüße, wie geht es dir?", "数える", "Write a list:\n- one\n- ", "e" * 40)


@dataclass(frozen=True)
class Shot:
    """One connection: `parts` are sent one after the other. `read` is how many bytes of the answer are taken before the
    client leaves without a word, None for all of them."""

    kind: str
    parts: tuple[bytes, ...]
    read: int | None = None


def shots(count: int, key: str, bad_keys: Sequence[str], narrow_key: str, made: Made, seed: int = 0) -> Iterator[Shot]:
    """So many shots. `narrow_key` may ask for one model only; `bad_keys` are revoked, expired or never were."""
    draw = random.Random(seed)
    kinds: Mapping[str, tuple[int, Callable[[random.Random], Shot]]] = {
        "ordinary": (25, lambda r: _ordinary(r, key)),
        "stream": (15, lambda r: _ordinary(r, key, stream=True)),
        "stream cut off": (15, lambda r: _cut(r, key)),
        "body cut off": (4, lambda r: _half(r, key)),
        "schemathesis": (15, lambda r: _schema_made(r, key, made)),
        "broken body": (10, lambda r: _broken(r, key)),
        "too large": (5, lambda r: _large(r, key)),
        "wrong key": (5, lambda r: _wrong_key(r, bad_keys, narrow_key)),
        "no HTTP": (2, _no_http),
        "feedback": (2, lambda r: _feedback(r, key)),
        "look": (2, lambda r: Shot("look", (head("GET", r.choice(["/v1/models", "/metrics", "/health"]), key),))),
    }
    names = list(kinds)
    for name in draw.choices(names, [kinds[name][0] for name in names], k=count):
        yield kinds[name][1](draw)


def head(method: str, path: str, key: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    """A request by hand; the connection ends with it."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"Content-Type: {kind}"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"Content-Length: {len(body)}"] if body or method == "POST" else []
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


def _post(path: str, key: str, body: Mapping[str, Any]) -> bytes:
    return head("POST", path, key, json.dumps(body).encode())


def _body(draw: random.Random, tokens: int = 8) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": draw.choice(MODELS), "max_tokens": draw.randint(1, tokens)}
    body |= {"temperature": draw.choice([0, 0.7, 2]), "seed": draw.randrange(1000)}
    if draw.random() < 0.3:
        body |= draw.choice([{"n": 3}, {"stop": ["e", "\n\n"]}, {"top_p": 0.5}, {"user": "u"}])
    if draw.random() < 0.3:
        return COMPLETION, body | {"prompt": draw.choice([*_WORDS, ["a", "b"], [5, 6, 7]])}
    if draw.random() < 0.1:
        body |= {"response_format": {"type": "json_object"}}
    return CHAT, body | {"messages": [{"role": "user", "content": draw.choice(_WORDS)}]}


def _ordinary(draw: random.Random, key: str, stream: bool = False) -> Shot:
    path, body = _body(draw)
    return Shot("stream" if stream else "ordinary", (_post(path, key, body | ({"stream": True} if stream else {})),))


def _cut(draw: random.Random, key: str) -> Shot:
    path, body = _body(draw, 60)
    return Shot("stream cut off", (_post(path, key, body | {"stream": draw.random() < 0.8}),), draw.choice([0, 1, 400]))


def _half(draw: random.Random, key: str) -> Shot:
    whole = _post(*_with_key(_body(draw), key))
    return Shot("body cut off", (whole[: draw.randrange(1, len(whole))],), 0)


def _with_key(asked: tuple[str, dict[str, Any]], key: str) -> tuple[str, str, dict[str, Any]]:
    return asked[0], key, asked[1]


def _schema_made(draw: random.Random, key: str, made: Made) -> Shot:
    method, path, body, kind = draw.choice(made)
    if draw.random() < 0.6:  # else nearly all of them would end at a model that is not there
        try:
            fields = json.loads(body)
            body = json.dumps(fields | {"model": draw.choice(MODELS)}).encode() if isinstance(fields, dict) else body
        except ValueError:
            pass
    return Shot("schemathesis", (head(method, path, key, body, kind),))


def _broken(draw: random.Random, key: str) -> Shot:
    path, body = _body(draw)
    if draw.random() < 0.3:
        odd = [
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b"[" * 5000,
            b'{"a":' * 3000,
            draw.randbytes(300),
            b'{"a":1}' * 9,
        ]
        return Shot("broken body", (head("POST", path, key, draw.choice(odd)),))
    for name in draw.sample(FIELDS, draw.choice([1, 1, 2, 3])):
        body[name] = draw.choice(VALUES)
    text = json.dumps(body).encode()
    text = text[: draw.randrange(len(text))] if draw.random() < 0.2 else text
    return Shot("broken body", (head("POST", draw.choice([path, path, FEEDBACK]), key, text),))


def _large(draw: random.Random, key: str) -> Shot:
    path, body = _body(draw)
    long = [{"role": "user", "content": "word " * draw.choice([300, 3000])}]
    fields: list[dict[str, Any]] = [{"messages": long}, {"messages": long * 3000}, {"n": 10**6}, {"max_tokens": 10**9}]
    fields += [{"stop": ["x" * 10**5]}, {"model": "m" * 10**5}, {"seed": 10**400}]
    text = json.dumps({**body, **draw.choice(fields)}).encode()
    if draw.random() < 0.3:
        return Shot("too large", (head("POST", path, key, b"x" * (300 << 10)),))
    if draw.random() < 0.2:
        said = head("POST", path, key, text).replace(b"Content-Length: ", b"Content-Length: 99999999999")
        return Shot("too large", (said,))
    return Shot("too large", (head("POST", path, key, text),))


def _wrong_key(draw: random.Random, bad_keys: Sequence[str], narrow_key: str) -> Shot:
    path, body = _body(draw)
    if draw.random() < 0.3:
        return Shot("wrong key", (_post(path, narrow_key, body | {"model": "base"}),))
    return Shot("wrong key", (_post(path, draw.choice([*bad_keys, "", "x" * 5000]), body),))


def _no_http(draw: random.Random) -> Shot:
    odd = [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        draw.randbytes(100) + b"\r\n\r\n",
    ]
    odd += [b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + b"X: y\r\n" * 2000 + b"\r\n"]
    return Shot("no HTTP", (draw.choice(odd),), draw.choice([0, 1000]))


def _feedback(draw: random.Random, key: str) -> Shot:
    body = {"request_id": f"chatcmpl-{draw.randrange(9)}", "rating": draw.choice([-1, 0, 1]), "text": "ok"}
    return Shot("feedback", (_post(FEEDBACK, key, body),))


def made_by_schemathesis(document: Mapping[str, Any], each: int, seed: int = 0) -> Made:
    """Requests that fit the server's own OpenAPI document, and ones that break it: `each` of either for each route."""
    import hypothesis
    import schemathesis
    from hypothesis.errors import Unsatisfiable

    made: Made = []
    settings = hypothesis.settings(
        max_examples=each, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    routes: Any = schemathesis.openapi.from_dict(dict(document)).get_all_operations()
    for found in routes:
        for mode in schemathesis.GenerationMode:
            cases: list[Any] = []
            drawn = hypothesis.given(case=found.ok().as_strategy(generation_mode=mode))(_collector(cases))
            try:
                hypothesis.seed(seed)(settings(drawn))()
            except Unsatisfiable:
                continue  # a route that takes nothing has nothing to be broken
            made += [_plain(case) for case in cases]
    return made


def _collector(cases: list[Any]) -> Callable[..., None]:
    def collect(case: Any) -> None:
        cases.append(case)

    return collect


def _plain(case: Any) -> tuple[str, str, bytes, str]:
    sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
    body = sent.get("data", b"")
    body = json.dumps(sent["json"]).encode("utf-8", "replace") if "json" in sent else body
    raw = body if isinstance(body, bytes) else str(body).encode("utf-8", "replace")
    path = str(sent["url"]).removeprefix("http://127.0.0.1")
    return str(sent["method"]).upper(), path, raw, str(case.media_type or "application/json")
