"""Simulated annotators: they work through the studio's own labeling routes, as its page does, and note all they see.

One annotator: log in, open the desk (all within three times the mean thinking), then again and again think (for an
exponentially distributed time), save a draft while typing, submit, take the next card out of the answer; now and then
skip or undo; renew the leases each minute; leave at the end. What comes out is a list of `Seen`, from which
`tests.bench.crowd_check` proves the queue right or wrong.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

_RENEW_SECONDS = 60.0
_TYPING_SECONDS = 0.4


@dataclass(frozen=True)
class Plan:
    """What the crowd does. `think`: mean seconds before an act, 0 for none; `drafts`: save one before each act whose
    thinking lasts long enough to type; `skips`, `undos`: share of the acts; `naps`: share of the cards that are held
    for `nap_seconds` without a renewal, so that the lease runs out."""

    submits: int
    think: float
    drafts: bool = True
    skips: float = 0.0
    undos: float = 0.0
    naps: float = 0.0
    nap_seconds: float = 0.0
    seconds: float = 3600.0


@dataclass(frozen=True)
class Seen:
    """One request and its answer (`status` 0: none came). Times are the clock's, in seconds; `held`: the examples lent
    to this annotator after it, with the end of each lease, or None where the answer says nothing about it."""

    user: str
    kind: str
    example: str
    sent: float
    received: float
    status: int
    held: tuple[tuple[str, float], ...] | None = None
    response: str = ""
    message: str = ""


@dataclass
class Log:
    """What a crowd saw. `accepted` counts the acknowledged submits."""

    seen: list[Seen] = field(default_factory=list)
    accepted: int = 0
    began: float = 0.0
    ended: float = 0.0

    @property
    def per_second(self) -> float:
        """Acknowledged submits a second of the clock."""
        return self.accepted / max(self.ended - self.began, 1e-9)

    def milliseconds(self, kind: str) -> list[float]:
        """How long each accepted request of a kind took, sorted."""
        return sorted(1000 * (one.received - one.sent) for one in self.seen if one.kind == kind and one.status == 200)

    def failures(self) -> list[Seen]:
        """Requests that were not answered with 200."""
        return [one for one in self.seen if one.status != 200]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the sorted values lies (nearest rank); nan of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def work(url: str, project: str, cookies: dict[str, str], plan: Plan, seed: int = 0, log: Log | None = None) -> Log:
    """Let the annotators (name to Cookie header) work until `plan.submits` are acknowledged or nothing is left; another
    thread may look into the `log` that it gives meanwhile."""
    return asyncio.run(_crowd(url, project, cookies, plan, seed, log or Log()))


def log_in(url: str, names: Sequence[str], password: str) -> dict[str, str]:
    """Cookie headers by name, through the login form. Raises SystemExit where one is refused."""
    return asyncio.run(_log_in(url, names, password))


async def _log_in(url: str, names: Sequence[str], password: str) -> dict[str, str]:
    gate = asyncio.Semaphore(4)
    async with _session(url) as session:

        async def one(name: str) -> str:
            form = {"name": name, "password": password}
            async with gate, session.post("/login", data=form, allow_redirects=False) as answer:
                if answer.status >= 400 or not answer.cookies:
                    raise SystemExit(f"{name} cannot log in: {answer.status} {(await answer.text())[:300]}")
                return "; ".join(f"{key}={morsel.value}" for key, morsel in answer.cookies.items())

        return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


async def _crowd(url: str, project: str, cookies: dict[str, str], plan: Plan, seed: int, log: Log) -> Log:
    log.began = time.time()
    async with _session(url) as session:
        people = [
            Annotator(session, project, name, cookie, plan, log, random.Random(f"{seed} {name}"))
            for name, cookie in cookies.items()
        ]
        await asyncio.gather(*(person.work() for person in people))
        log.ended = max((one.received for one in log.seen if one.kind == "submit"), default=time.time())
        await asyncio.gather(*(person.leave() for person in people))
    return log


def _session(url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),  # uvicorn closes after 5 s: never meet it halfway
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=120),
    )


@dataclass
class Annotator:
    """One person at one screen: requests leave one at a time, as from the page."""

    session: aiohttp.ClientSession
    project: str
    name: str
    cookie: str
    plan: Plan
    log: Log
    chance: random.Random
    card: dict[str, Any] | None = None
    held: tuple[tuple[str, float], ...] = ()
    renewed: float = 0.0
    gone: bool = False

    async def work(self) -> None:
        """Label until enough is done, nothing is left for this person, or the app is gone."""
        deadline = time.monotonic() + self.plan.seconds
        await asyncio.sleep(self.chance.uniform(0, 3 * self.plan.think))  # not all in the same moment
        self.renewed = time.monotonic() - self.chance.uniform(0, _RENEW_SECONDS)
        idle = 0
        await self._desk()
        while self.log.accepted < self.plan.submits and time.monotonic() < deadline and idle < 40 and not self.gone:
            if self.card is None:
                idle += 1
                await asyncio.sleep(0.25)
                await self._desk()
                continue
            idle = 0
            await self._turn()

    async def leave(self) -> None:
        """Close the page."""
        if self.gone:
            return
        await self._post("leave", "", {"project": self.project})

    async def _turn(self) -> None:
        assert self.card is not None
        example, text = self.card["id"], f"{self.name} on {self.card['id']} {self.chance.random():.6f}"
        await self._think(example, text)
        if self.log.accepted >= self.plan.submits:
            return
        lot = self.chance.random()
        if lot < self.plan.undos:
            await self._post("undo", "", {"project": self.project})
            return
        action = "skip" if lot < self.plan.undos + self.plan.skips else "submit"
        body = {"example": example, "action": action, "response": text, "value": "", "seconds": 2.0}
        body |= {"base": self.card.get("revision"), "suggestion": None, "again": False}
        status = await self._post("act", example, body, action)
        if status == 200 and action == "submit":
            self.log.accepted += 1
        elif status != 200:
            await self._desk()

    async def _think(self, example: str, text: str) -> None:
        if self.chance.random() < self.plan.naps:
            await asyncio.sleep(self.plan.nap_seconds)
            return
        left = self._thinking()
        if self.plan.drafts and left > _TYPING_SECONDS:
            await asyncio.sleep(left - _TYPING_SECONDS)
            await self._post("draft", example, {"example": example, "response": text[:12], "value": ""})
            left = _TYPING_SECONDS
        if time.monotonic() - self.renewed > _RENEW_SECONDS:
            self.renewed = time.monotonic()
            await self._post("renew", "", {"project": self.project})
        if left:
            await asyncio.sleep(left)

    def _thinking(self) -> float:
        return self.chance.expovariate(1 / self.plan.think) if self.plan.think else 0.0

    async def _desk(self) -> None:
        await self._request("GET", f"/api/label/desk?project={self.project}", "desk", "", None)

    async def _post(self, route: str, example: str, body: dict[str, Any], kind: str = "") -> int:
        return await self._request("POST", f"/api/label/{route}", kind or route, example, body)

    async def _request(self, method: str, path: str, kind: str, example: str, body: dict[str, Any] | None) -> int:
        headers = {"Cookie": self.cookie} if self.cookie else {}
        sent = time.time()
        try:
            async with self.session.request(method, path, json=body, headers=headers) as reply:
                raw, status, kind_of = await reply.read(), reply.status, reply.content_type
        except aiohttp.ClientError as error:  # the app is gone: what was under way may or may not be written
            raw, status, kind_of, self.gone = str(error).encode(), 0, "", True
        received = time.time()
        answer = json.loads(raw) if raw and kind_of == "application/json" else {}
        held = self._take_up(answer, kind)
        if kind == "undo" and answer.get("taken_back") and self.card:
            example = self.card["id"]
        text = body.get("response", "") if body else ""
        said = "" if status == 200 else raw[:300].decode(errors="replace")
        self.log.seen.append(Seen(self.name, kind, example, sent, received, status, held, text, said))
        return status

    def _take_up(self, answer: Any, kind: str) -> tuple[tuple[str, float], ...] | None:
        """The leases that an answer tells of: its two cards, or the new end of those that are there."""
        if kind == "renew" and answer.get("lease_until"):
            self.held = tuple((example, _seconds(answer["lease_until"])) for example, _ in self.held)
            return self.held
        if "card" not in answer:
            return None
        self.card = answer["card"]
        cards = [card for card in (answer["card"], answer.get("next")) if card is not None]
        self.held = tuple((card["id"], _seconds(card["lease_until"])) for card in cards if card.get("lease_until"))
        return self.held


def _seconds(until: str) -> float:
    """A moment of the JSON protocol on this machine's clock."""
    moment = datetime.fromisoformat(until)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
