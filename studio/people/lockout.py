"""How often a log-in may fail: by account, and by the address that it comes from.

An attempt counts as failed from its start until it has succeeded, so that a hundred at once are no way round. Names
that do not exist are counted too: the answer must not tell which do. What it leaves out: storing (the counts of real
accounts are kept by studio.people.accounts).
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from studio.errors import NotAllowed
from studio.language import trn

FREE_TRIES = 5
ADDRESS_TRIES = 30
_FIRST = timedelta(minutes=1)
_MOST = timedelta(hours=1)
_FORGET_ADDRESS = timedelta(minutes=15)
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Failures:
    """Log-ins that failed, the time of the last one, and until when there may be none."""

    count: int = 0
    last: datetime | None = None
    locked_until: datetime | None = None


class Lockout:
    """Counts failures; after 5 of a name (30 of an address) a minute's lock, doubled by each further one to an hour."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._names: OrderedDict[str, Failures] = OrderedDict()
        self._strangers: OrderedDict[str, Failures] = OrderedDict()
        self._addresses: OrderedDict[str, Failures] = OrderedDict()

    def remember(self, name: str, failures: int, locked_until: datetime | None) -> None:
        """Take up what was counted before a restart."""
        self._names[name] = Failures(failures, None, locked_until)

    def begin(self, name: str, address: str, known: bool) -> None:
        """An attempt begins; `known`: the account exists, so that its count is never pushed out by made-up names.

        Raises NotAllowed, with the minutes to wait, while name or address is locked.
        """
        moment, address = self._clock(), network_of(address)
        names = self._names if known else self._strangers
        with self._lock:
            of_name, of_address = names.get(name, Failures()), self._addresses.get(address, Failures())
            if of_address.last and moment - of_address.last > _FORGET_ADDRESS:
                of_address = Failures(locked_until=of_address.locked_until)
            for found in (of_name, of_address):
                # Longer than any lock: it is from before the clock was set back, and counts no more.
                if found.locked_until and moment < found.locked_until <= moment + _MOST:
                    raise NotAllowed(_words(found.locked_until - moment))
            names[name] = _one_more(of_name, moment, FREE_TRIES)
            _keep(self._strangers)
            self._addresses[address] = _one_more(of_address, moment, ADDRESS_TRIES)
            _keep(self._addresses)

    def succeeded(self, name: str, address: str) -> None:
        """The attempt was good: the name's failures are forgiven, the address loses only this one."""
        address = network_of(address)
        with self._lock:
            self._names.pop(name, None)
            found = self._addresses.get(address, Failures())
            locked = None if found.count <= ADDRESS_TRIES else found.locked_until
            self._addresses[address] = Failures(max(0, found.count - 1), found.last, locked)

    def forgive(self, name: str) -> None:
        """Forget a name's failures (an admin gave it a new password)."""
        with self._lock:
            self._names.pop(name, None)

    def of_name(self, name: str) -> Failures:
        """What is counted for a name."""
        return self._names.get(name) or self._strangers.get(name) or Failures()


def network_of(address: str) -> str:
    """What one sender cannot change at will: an IPv4 address, the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def _one_more(found: Failures, moment: datetime, free: int) -> Failures:
    count = found.count + 1
    wait = None if count < free else min(_MOST, _FIRST * 2 ** min(count - free, 10))
    return Failures(count, moment, moment + wait if wait else None)


def _keep(table: OrderedDict[str, Failures]) -> None:
    while len(table) > _REMEMBERED:
        table.popitem(last=False)


def _words(wait: timedelta) -> str:
    minutes = max(1, -int(-wait.total_seconds() // 60))
    return trn(
        "Too many attempts failed: try again in a minute.",
        "Too many attempts failed: try again in {count} minutes.",
        minutes,
    )
