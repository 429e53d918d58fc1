"""Users and their sessions as rows. Who may do what with them is decided in studio.people; names come in lower case.

No row is ever deleted: a removed user keeps their name on what they did. What it leaves out: passwords (only their
hashes are here) and the cookie's value (only its SHA-256 is).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.database import Database, aware, now

_COLUMNS = "name, role, password_hash, created_at, removed_at, failures, locked_until, seen_at"


@dataclass(frozen=True)
class Credentials:
    """A user with what a log-in is checked against. Times in UTC."""

    name: str
    role: str
    password_hash: str = field(repr=False)
    created_at: datetime
    removed_at: datetime | None
    failures: int
    locked_until: datetime | None
    seen_at: datetime | None


@dataclass(frozen=True)
class SessionRow:
    """A session: who is logged in, since when and until when they may go on."""

    token_hash: str = field(repr=False)
    user_name: str
    created_at: datetime
    expires_at: datetime


def list_users(db: Database) -> list[Credentials]:
    """Everybody there is or was, by name."""
    return [_credentials(row) for row in db.query(f"SELECT {_COLUMNS} FROM users ORDER BY name")]


def put_user(cursor: Any, name: str, role: str, password_hash: str) -> None:
    """A new user, or a removed one back with this role and password."""
    cursor.execute(
        "INSERT INTO users (name, role, password_hash, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE "
        "SET role = excluded.role, password_hash = excluded.password_hash, removed_at = NULL, failures = 0, "
        "locked_until = NULL",
        [name, role, password_hash, now()],
    )


def set_role(cursor: Any, name: str, role: str) -> None:
    """Give a user another role."""
    cursor.execute("UPDATE users SET role = ? WHERE name = ?", [role, name])


def set_password_hash(cursor: Any, name: str, password_hash: str) -> None:
    """Give a user another password, and let them try it at once."""
    cursor.execute(
        "UPDATE users SET password_hash = ?, failures = 0, locked_until = NULL WHERE name = ?", [password_hash, name]
    )


def set_removed(cursor: Any, name: str) -> None:
    """Mark a user as removed."""
    cursor.execute("UPDATE users SET removed_at = ? WHERE name = ?", [now(), name])


def set_failures(cursor: Any, name: str, failures: int, locked_until: datetime | None) -> None:
    """Keep how often log-ins have failed, so that a restart does not forgive them."""
    stored = locked_until.replace(tzinfo=None) if locked_until else None
    cursor.execute("UPDATE users SET failures = ?, locked_until = ? WHERE name = ?", [failures, stored, name])


def list_sessions(db: Database) -> list[SessionRow]:
    """Sessions that have not ended, the oldest first."""
    rows = db.query(
        "SELECT token_hash, user_name, created_at, expires_at FROM sessions WHERE expires_at > ? ORDER BY created_at",
        [now()],
    )
    return [SessionRow(row[0], row[1], aware(row[2]), aware(row[3])) for row in rows]


def add_session(cursor: Any, session: SessionRow) -> None:
    """Keep a new session, and forget those that have ended."""
    cursor.execute("DELETE FROM sessions WHERE expires_at <= ?", [now()])
    cursor.execute(
        "INSERT INTO sessions (token_hash, user_name, created_at, expires_at) VALUES (?, ?, ?, ?)",
        [session.token_hash, session.user_name, _bare(session.created_at), _bare(session.expires_at)],
    )


def end_sessions(cursor: Any, token_hashes: Iterable[str]) -> None:
    """Forget sessions."""
    for token_hash in token_hashes:
        cursor.execute("DELETE FROM sessions WHERE token_hash = ?", [token_hash])


def save_seen(db: Database, sessions: Iterable[SessionRow], seen: dict[str, datetime]) -> None:
    """Keep how long sessions go on by now, and when each user was last seen."""
    with db.write() as cursor:
        for session in sessions:
            cursor.execute(
                "UPDATE sessions SET expires_at = ? WHERE token_hash = ?",
                [_bare(session.expires_at), session.token_hash],
            )
        for name, moment in seen.items():
            cursor.execute("UPDATE users SET seen_at = ? WHERE name = ?", [_bare(moment), name])


def _bare(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _credentials(row: tuple[Any, ...]) -> Credentials:
    name, role, password_hash, created, removed, failures, locked, seen = row
    times = [aware(moment) if moment else None for moment in (removed, locked, seen)]
    return Credentials(name, role, password_hash, aware(created), times[0], failures, times[1], times[2])
