"""What jobs take of the devices: time, tokens, energy and cost by run, project and user; quotas, prices and slots.

A device's time is shared evenly among the jobs that are on it, so the hours of all jobs add up to those of the devices.
It is counted every few seconds; where a job came or went between two counts, the share is that of the later one. What
it leaves out: evaluations, exports and servers, which do not wait in the queue.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.audit import record_in
from storage.database import Database
from storage.records import User
from storage.usage import (
    Span,
    count_span,
    list_quotas,
    list_spans,
    open_spans,
    read_compute,
    seconds_by_user,
    set_quota_in,
    write_compute_in,
)
from studio.contract.events import EVENTS_FILE, LOG_FILE, newest
from studio.contract.sweep import TRIALS_FOLDER
from studio.errors import BadInput, NotAllowed
from studio.jobs.devices import Device
from studio.jobs.processes import is_alive
from studio.language import mark, tr
from studio.settings import Workspace

QUOTA_DAYS = 30
COUNT_SECONDS = 5.0
KINDS = ("cuda", "mps", "cpu")
_MOST_SLOTS = 64
_MOST_PRICE = 1e6
_SPENT = mark("{user} has used {used:.2f} of {hours:g} device-hours in {count} days: an admin can raise the limit.")


@dataclass(frozen=True)
class Compute:
    """Settings of devices by kind: the price of a device-hour (0: none is told), and how many jobs share a device as
    long as their planned memory fits. `currency`: the word behind prices."""

    prices: Mapping[str, float] = field(default_factory=dict)
    slots: Mapping[str, int] = field(default_factory=lambda: {"cuda": 4, "mps": 1, "cpu": 1})
    currency: str = "EUR"


@dataclass(frozen=True)
class Cost:
    """What something took: device-hours, tokens, watt-hours (None where no device told), and price."""

    name: str
    hours: float
    tokens: int
    watt_hours: float | None
    cost: float

    @staticmethod
    def of(name: str, spans: Iterable[Span]) -> Cost:
        """The sum of spans."""
        all_spans = list(spans)
        told = [one.joules for one in all_spans if one.joules is not None]
        return Cost(
            name,
            sum(one.seconds for one in all_spans) / 3600,
            sum(one.tokens for one in all_spans),
            sum(told) / 3600 if told else None,
            sum(one.cost for one in all_spans),
        )


@dataclass(frozen=True)
class Costs:
    """What a project (or all) took: in all, by job (its id, the newest first) and by user."""

    total: Cost
    jobs: tuple[Cost, ...]
    users: tuple[Cost, ...]


@dataclass(frozen=True)
class Quota:
    """A user's device-hours in the last thirty days, and their limit (None: there is none)."""

    user_name: str
    used: float
    hours: float | None

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.hours is not None and self.used >= self.hours

    @property
    def sentence(self) -> str:
        """What is kept where it is spent."""
        return _SPENT.format(**self.figures)

    @property
    def figures(self) -> dict[str, object]:
        """What the sentence names."""
        return {"user": self.user_name, "used": self.used, "hours": self.hours or 0, "count": QUOTA_DAYS}


def compute_settings(db: Database) -> Compute:
    """Prices and slots as they stand."""
    found, standard = read_compute(db), Compute()
    return Compute(
        {**standard.prices, **found.get("prices", {})},
        {**standard.slots, **found.get("slots", {})},
        str(found.get("currency", standard.currency)),
    )


def set_compute(
    db: Database,
    user: User,
    prices: Mapping[str, float] | None = None,
    slots: Mapping[str, int] | None = None,
    currency: str | None = None,
) -> Compute:
    """Change what is named, for admins; it counts from the next start on. Raises NotAllowed, BadInput."""
    _refuse_others(user, tr("Only an admin can set prices and slots: ask one."))
    before = compute_settings(db)
    made = Compute(
        {**before.prices, **{_kind(kind): _price(price) for kind, price in (prices or {}).items()}},
        {**before.slots, **{_kind(kind): _slots(count) for kind, count in (slots or {}).items()}},
        before.currency if currency is None else _currency(currency),
    )
    settings = {"prices": dict(made.prices), "slots": dict(made.slots), "currency": made.currency}
    with db.write() as cursor:
        write_compute_in(cursor, settings, user.name)
        record_in(cursor, user.name, "compute set", settings=settings)
    return made


def quota_of(db: Database, user_name: str, now: datetime | None = None) -> Quota:
    """How a user stands."""
    return next(
        (one for one in list_all_quotas(db, now) if one.user_name == user_name),
        Quota(user_name, 0.0, None),
    )


def list_all_quotas(db: Database, now: datetime | None = None) -> list[Quota]:
    """Everybody who took device time in the last thirty days or has a limit, by name."""
    since = (now or datetime.now(UTC)) - timedelta(days=QUOTA_DAYS)
    used, limits = seconds_by_user(db, since), list_quotas(db)
    return [Quota(name, used.get(name, 0.0) / 3600, limits.get(name)) for name in sorted({*used, *limits})]


def list_spent(db: Database) -> dict[str, str]:
    """What is said of each user whose device-hours are used up, as the end of a sentence."""
    return {one.user_name: one.sentence.rstrip(".") for one in list_all_quotas(db) if one.is_spent}


def set_quota(db: Database, user: User, user_name: str, hours: float | None) -> Quota:
    """Limit the device-hours of a user in any thirty days, or lift the limit (None); for admins. Raises NotAllowed,
    BadInput."""
    _refuse_others(user, tr("Only an admin can set limits: ask one."))
    name = user_name.strip().lower()
    if not name or len(name) > 64:
        raise BadInput("Name the user whose device-hours are to be limited.")
    if hours is not None and not (math.isfinite(hours) and 0 <= hours <= 1e6):
        raise BadInput("Device-hours must be a number from 0 to 1,000,000, or nothing for no limit.")
    with db.write() as cursor:
        set_quota_in(cursor, name, hours, user.name)
        record_in(cursor, user.name, "quota set", subject=name, hours=hours)
    return quota_of(db, name)


def refuse_spent(db: Database, user_name: str) -> None:
    """Raises NotAllowed where a user's device-hours are used up."""
    quota = quota_of(db, user_name)
    if quota.is_spent:
        raise NotAllowed(tr(_SPENT, **quota.figures))


def costs(db: Database, project_id: str | None = None) -> Costs:
    """What the jobs of a project, or all, have taken so far."""
    spans = list_spans(db, project_id)
    jobs, users = defaultdict[str, list[Span]](list), defaultdict[str, list[Span]](list)
    for span in spans:
        jobs[span.job_id].append(span)
        users[span.user_name].append(span)
    return Costs(
        Cost.of("", spans),
        tuple(Cost.of(job, mine) for job, mine in jobs.items()),
        tuple(Cost.of(user, mine) for user, mine in sorted(users.items())),
    )


def cost_of_job(db: Database, job_id: str) -> Cost | None:
    """What one run, sweep or curve has taken; None before it was at work."""
    spans = list_spans(db, job_id=job_id)
    return Cost.of(job_id, spans) if spans else None


def planned_cost(compute: Compute, kind: str, minutes: float | None, devices: int = 1) -> float | None:
    """What a run of so many minutes will cost on so many devices of a kind; None where no price is set or no time
    known."""
    price = compute.prices.get(kind, 0.0)
    return None if minutes is None or not price else minutes / 60 * price * devices


def count_up(
    db: Database,
    workspace: Workspace,
    devices: Sequence[Device] = (),
    now: datetime | None = None,
    every: float = COUNT_SECONDS,
) -> None:
    """Count what is at work up to now, and what has ended up to its end; those counted less than `every` seconds ago
    are left for later. `devices`: as they are now, for their energy; without them none is counted, so that of a job's
    last seconds is not."""
    spans, now = open_spans(db), now or datetime.now(UTC)
    sharing = Counter(span.device for span in spans)
    energy = {device.key: device.joules for device in devices}
    for span in spans:
        folder = job_folder(workspace, span.kind, span.job_id)
        alive = is_alive(folder)
        if alive and (now - span.last_at).total_seconds() < every:
            continue
        until = now if alive else min(now, max(span.last_at, _last_sign(folder) or span.last_at))
        counted = _counted(span, until, sharing[span.device], energy.get(span.device))
        tokens = max(0, tokens_of(folder, span.kind) - _tokens_before(db, span))
        count_span(
            db, span.number, until, counted.seconds, tokens, counted.joules, counted.energy_mark, ended=not alive
        )


def job_folder(workspace: Workspace, kind: str, job_id: str) -> Path:
    """Where a job lies."""
    rooms = {"run": workspace.runs, "sweep": workspace.sweeps, "curve": workspace.curves}
    return rooms[kind] / Path(job_id).name


def tokens_of(folder: Path, kind: str) -> int:
    """Tokens that a job has been trained on so far; of a sweep or a curve, of all its trials."""
    folders = [folder] if kind == "run" else sorted((folder / TRIALS_FOLDER).glob("*"))
    told = (newest(one, "tokens") for one in folders)
    return sum(int(one) for one in told if isinstance(one, (int, float)) and not isinstance(one, bool))


def _counted(span: Span, until: datetime, sharing: int, energy: float | None) -> Span:
    """A span with its share of what the device gave since it was last counted."""
    share = 1 / max(1, sharing)
    seconds = span.seconds + share * max(0.0, (until - span.last_at).total_seconds())
    joules = span.joules
    if energy is not None and span.energy_mark is not None and energy >= span.energy_mark:
        joules = (joules or 0.0) + share * (energy - span.energy_mark)
    return replace(span, seconds=seconds, joules=joules, energy_mark=energy)


def _tokens_before(db: Database, span: Span) -> int:
    return sum(one.tokens for one in list_spans(db, job_id=span.job_id) if one.number < span.number)


def _last_sign(folder: Path) -> datetime | None:
    """When a job last wrote anything."""
    times = []
    for name in (EVENTS_FILE, LOG_FILE):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _refuse_others(user: User, sentence: str) -> None:
    if user.role != "admin":
        raise NotAllowed(sentence)


def _kind(kind: str) -> str:
    if kind not in KINDS:
        told = {"kind": kind[:20], "kinds": ", ".join(KINDS)}
        raise BadInput(tr("There is no kind of device '{kind}'; there are: {kinds}.", **told))
    return kind


def _price(price: float) -> float:
    if not math.isfinite(price) or not 0 <= price <= _MOST_PRICE:
        raise BadInput("The price of a device-hour must be a number from 0 on.")
    return float(price)


def _slots(count: int) -> int:
    if not 1 <= count <= _MOST_SLOTS:
        raise BadInput(tr("A device can be shared by 1 to {most} jobs.", most=_MOST_SLOTS))
    return int(count)


def _currency(word: str) -> str:
    if not word.strip() or len(word.strip()) > 8:
        raise BadInput("The currency is a word of at most 8 letters, such as EUR.")
    return word.strip()
