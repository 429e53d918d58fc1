"""Accounts over a database of their own, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.database import Database, connect
from studio.people import passwords
from studio.people.accounts import Accounts

PASSWORD = "correct horse battery"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that take no time (a test of its own looks at the real ones)."""
    from argon2 import PasswordHasher

    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    stand_in = hasher.hash("nobody's")
    monkeypatch.setattr(passwords, "_hasher", lambda: hasher)
    monkeypatch.setattr(passwords, "_stand_in", lambda: stand_in)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = connect(tmp_path / "studio.duckdb", tmp_path / "backups")
    yield db
    db.close()


@pytest.fixture
def accounts(db: Database, clock: Clock) -> Accounts:
    """With an admin ann and an annotator bob."""
    accounts = Accounts(db, clock)
    accounts.add("ann", "admin", PASSWORD, "me")
    accounts.add("bob", "annotator", PASSWORD, "ann")
    return accounts
