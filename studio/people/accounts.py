"""The accounts of a studio: who may log in, who is logged in, and in what role.

Every request asks this, so users and sessions are held in memory (the process owns the database: nobody else changes
them) and written through. Checking a password takes a tenth of a second and 64 MiB: call `log_in`, `change_password`,
`add` and `set_password` from a worker thread, never from the event loop. What it leaves out: cookies and pages
(studio.web), and which role a route asks for.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage import users as rows
from storage.audit import record_in
from storage.database import Database
from storage.records import Account, User
from storage.users import Credentials, SessionRow
from studio.errors import BadInput, NotAllowed, NotFound
from studio.language import mark, tr
from studio.people.lockout import Lockout
from studio.people.passwords import check_password, hash_password, is_outdated, verify
from studio.people.roles import ALONE, ROLES

SLIDING = timedelta(hours=12)
"""A session ends after this time without a request."""
ABSOLUTE = timedelta(days=7)
"""A session ends this time after its log-in, used or not."""
_SAVE_EVERY = timedelta(minutes=5)
_JUST_NOW = timedelta(seconds=10)
_NAME = re.compile(r"[a-z0-9._@-]{1,40}")
_AT_ONCE = 4  # password checks: 64 MiB each
_LAST_GIVEN = mark("{who} is the only admin and cannot be given another role: make somebody else admin first.")
_LAST_REMOVED = mark("{who} is the only admin and cannot be removed: make somebody else admin first.")


@dataclass
class _Session:
    """A session in memory; `ends` moves with each request, the row has what it was at the log-in or the last start."""

    row: SessionRow
    ends: datetime


class Accounts:
    """Users and sessions of one open database. `clock` gives the time in UTC."""

    def __init__(self, db: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._db, self._clock = db, clock
        self._lock = threading.RLock()
        self._checks = threading.BoundedSemaphore(_AT_ONCE)
        self._lockout = Lockout(clock)
        self._people: dict[str, Credentials] = {}
        self._users: dict[str, User] = {}
        self._sessions: dict[str, _Session] = {}
        self._seen: dict[str, datetime] = {}
        self._saved = clock()
        self._stale = False
        self._turned_on: datetime | None = None
        self._load()

    @property
    def on(self) -> bool:
        """Whether there is an account: then nobody gets in without logging in."""
        return bool(self._users)

    @property
    def just_on(self) -> bool:
        """Whether accounts were turned on in the last seconds: a page then still waits to be told so."""
        return self._turned_on is not None and self._clock() - self._turned_on < _JUST_NOW

    @property
    def place(self) -> Path:
        """The database's file: what tells this studio from another one on the same machine."""
        return self._db.path

    def user_of(self, token_hash: str | None) -> User | None:
        """Who a session belongs to, which goes on by being asked about; None when it has ended or never was.

        Without accounts everybody is ALONE. A look-up in memory: safe on the event loop.
        """
        if not self._users:
            return ALONE
        session = self._sessions.get(token_hash or "")
        if session is None:
            return None
        moment = self._clock()
        if moment >= session.ends:
            self._sessions.pop(session.row.token_hash, None)
            return None
        session.ends = min(moment + SLIDING, session.row.created_at + ABSOLUTE)
        self._seen[session.row.user_name] = moment
        self._stale = moment - self._saved > _SAVE_EVERY
        return self._users.get(session.row.user_name)

    @property
    def unsaved(self) -> bool:
        """Whether `save` is due: five minutes after the last time."""
        return self._stale

    def save(self) -> None:
        """Write how long sessions go on and when users were last seen."""
        self._stale, self._saved = False, self._clock()
        live = [replace(session.row, expires_at=session.ends) for session in list(self._sessions.values())]
        with self._lock:
            seen = {name: at for name, at in list(self._seen.items()) if self._people[name].seen_at != at}
            if seen:
                rows.save_seen(self._db, live, seen)
                self._load_people()

    def log_in(self, name: str, password: str, address: str = "") -> str:
        """Open a session; returns the token for the cookie. Slow: see above.

        Raises NotAllowed for a wrong name or password (the same sentence after the same time) and while locked.
        """
        name = name.strip().lower()[:100]
        person = self._standing(name)
        self._begin(name, address, person)
        if not self._matches(person, password):
            self._failed(name, person, address)
            raise NotAllowed("Name or password is wrong.")
        assert person is not None
        with self._lock:
            standing = self._standing(name)
            if standing is None or standing.password_hash != person.password_hash:  # changed while it was checked
                raise NotAllowed("Name or password is wrong.")
            self._succeeded(person, password, address)
            return self._open(name, address)

    def log_out(self, token_hash: str) -> None:
        """End one session."""
        with self._lock:
            session = self._sessions.pop(token_hash, None)
            if session:
                with self._db.write() as cursor:
                    rows.end_sessions(cursor, [token_hash])
                    record_in(cursor, session.row.user_name, "log out", subject=session.row.user_name)

    def add(self, name: str, role: str, password: str, by: str) -> Account:
        """Add a user, or bring a removed one back. Slow: see above.

        Raises BadInput for a bad or taken name, an unknown role, a weak password, or a first user who is no admin.
        """
        name = checked_name(name)
        self.refuse_add(name, role)
        check_password(password, name)
        with self._checks:
            password_hash = hash_password(password)
        with self._lock:
            self.refuse_add(name, role)
            with self._db.write() as cursor:
                rows.put_user(cursor, name, role, password_hash)
                record_in(cursor, by, "user add", subject=name, role=role)
            self._lockout.forgive(name)
            if not self.on:
                self._turned_on = self._clock()
            self._load_people()
        return self.get(name)

    def refuse_add(self, name: str, role: str) -> None:
        """Raises BadInput where `add` would whatever the password."""
        if role not in ROLES:
            raise BadInput(tr("There is no role '{role}'; there are: {roles}.", role=role, roles=", ".join(ROLES)))
        if not self.on and role != "admin":
            raise BadInput("The first user must be an admin, who can then add the others: give the role admin.")
        if self._standing(name):
            raise BadInput(tr("There is already a user '{name}': choose another name.", name=name))

    def set_role(self, name: str, role: str, by: str) -> Account:
        """Give a user another role, from their next request on. Raises BadInput for the last admin, NotFound."""
        if role not in ROLES:
            raise BadInput(tr("There is no role '{role}'; there are: {roles}.", role=role, roles=", ".join(ROLES)))
        with self._lock:
            person = self._known(name)
            if person.role == role:
                return self.get(person.name)
            if role != "admin":
                self._refuse_last_admin(person, _LAST_GIVEN)
            with self._db.write() as cursor:
                rows.set_role(cursor, person.name, role)
                record_in(cursor, by, "user role", subject=person.name, before=person.role, after=role)
            self._load_people()
        return self.get(person.name)

    def set_password(self, name: str, password: str, by: str) -> Account:
        """Give a user another password; ends their sessions and any lock. Slow. Raises BadInput, NotFound."""
        person = self._known(name)
        check_password(password, person.name)
        with self._checks:
            password_hash = hash_password(password)
        with self._lock:
            self._known(name)
            self._end_all(person.name, by, "user password", password_hash)
            self._lockout.forgive(person.name)
        return self.get(person.name)

    def change_password(self, name: str, old: str, new: str, address: str = "") -> str:
        """A user's own new password, the old one known; returns the token of a new session, all others have ended.

        Raises NotAllowed for a wrong old password (counted like a log-in that failed), BadInput for a weak new one.
        """
        check_password(new, name)
        if old == new:
            raise BadInput("The new password is the old one: take another.")
        person = self._known(name)
        self._begin(person.name, address, person)
        if not self._matches(person, old):
            self._failed(person.name, person, address)
            raise NotAllowed("The old password is wrong.")
        self._lockout.succeeded(person.name, address)
        self.set_password(person.name, new, person.name)
        with self._lock:
            return self._open(person.name, address)

    def remove(self, name: str, by: str) -> None:
        """Mark a user as removed and end their sessions. Raises BadInput for the last admin, NotFound."""
        with self._lock:
            person = self._known(name)
            self._refuse_last_admin(person, _LAST_REMOVED)
            self._end_all(person.name, by, "user remove", None)

    def end_sessions(self, name: str, by: str) -> int:
        """Log a user out everywhere; returns from how many browsers. Raises NotFound."""
        with self._lock:
            return self._end_all(self._known(name).name, by, "user log out", None, removed=False)

    def get(self, name: str) -> Account:
        """One user. Raises NotFound."""
        return self._account(self._known(name))

    def everybody(self) -> list[Account]:
        """Users by name, without removed ones."""
        return [self._account(person) for person in list(self._people.values()) if person.removed_at is None]

    def find(self, name: str) -> User | None:
        """The user of that name with the role they have now, or None."""
        return self._users.get(name)

    def _load(self) -> None:
        self._load_people()
        for person in self._people.values():
            if person.failures and person.removed_at is None:
                self._lockout.remember(person.name, person.failures, person.locked_until)
        self._seen = {person.name: person.seen_at for person in self._people.values() if person.seen_at}
        live = [row for row in rows.list_sessions(self._db) if row.user_name in self._users]
        self._sessions = {row.token_hash: _Session(row, row.expires_at) for row in live}

    def _load_people(self) -> None:
        people = {person.name: person for person in rows.list_users(self._db)}
        users = {person.name: User(person.name, person.role) for person in people.values() if not person.removed_at}
        self._people, self._users = people, users  # readers hold no lock: each name is bound anew, never changed

    def _standing(self, name: str) -> Credentials | None:
        person = self._people.get(name)
        return person if person and person.removed_at is None else None

    def _known(self, name: str) -> Credentials:
        person = self._standing(name.strip().lower())
        if person is None:
            raise NotFound(tr("There is no user '{name}'.", name=name))
        return person

    def _refuse_last_admin(self, person: Credentials, sentence: str) -> None:
        admins = [user.name for user in self._users.values() if user.role == "admin"]
        if admins == [person.name]:
            raise BadInput(tr(sentence, who=person.name))

    def _matches(self, person: Credentials | None, password: str) -> bool:
        with self._checks:
            return verify(person.password_hash if person else None, password)

    def _begin(self, name: str, address: str, person: Credentials | None) -> None:
        self._lockout.begin(name, address, known=person is not None)

    def _failed(self, name: str, person: Credentials | None, address: str) -> None:
        """Count and log it, with the same statements whether the name exists or not."""
        found = self._lockout.of_name(name)
        # What was typed as a name that nobody has may be a password: it is not written down.
        user, subject = (name, name) if person else ("", "(unknown name)")
        with self._db.write() as cursor:
            rows.set_failures(cursor, name, found.count, found.locked_until)
            record_in(cursor, user, "log in failed", subject=subject, address=address)
            if found.locked_until:
                until = found.locked_until.isoformat(timespec="seconds")
                record_in(cursor, user, "log in locked", subject=subject, failures=found.count, until=until)

    def _succeeded(self, person: Credentials, password: str, address: str) -> None:
        self._lockout.succeeded(person.name, address)
        with self._db.write() as cursor:
            rows.set_failures(cursor, person.name, 0, None)
            if is_outdated(person.password_hash):
                rows.set_password_hash(cursor, person.name, hash_password(password))
        self._load_people()

    def _open(self, name: str, address: str) -> str:
        token, moment = secrets.token_urlsafe(32), self._clock()
        row = SessionRow(hash_token(token), name, moment, moment + SLIDING)
        with self._db.write() as cursor:
            rows.add_session(cursor, row)
            record_in(cursor, name, "log in", subject=name, address=address)
        self._sessions[row.token_hash] = _Session(row, row.expires_at)
        self._seen[name] = moment
        return token

    def _end_all(self, name: str, by: str, action: str, password_hash: str | None, removed: bool = True) -> int:
        """In one transaction: the change, the end of all sessions, the line in the log."""
        ended = [key for key, session in list(self._sessions.items()) if session.row.user_name == name]
        with self._db.write() as cursor:
            rows.end_sessions(cursor, ended)
            if password_hash:
                rows.set_password_hash(cursor, name, password_hash)
            elif removed:
                rows.set_removed(cursor, name)
            record_in(cursor, by, action, subject=name, sessions_ended=len(ended))
        for key in ended:
            self._sessions.pop(key, None)
        self._load_people()
        return len(ended)

    def _account(self, person: Credentials) -> Account:
        moment = self._clock()
        live = [s for s in list(self._sessions.values()) if s.row.user_name == person.name and moment < s.ends]
        locked = self._lockout.of_name(person.name).locked_until
        waits = locked if locked and locked > moment else None
        return Account(person.name, person.role, person.created_at, self._seen.get(person.name), waits, len(live))


def checked_name(name: str) -> str:
    """A user's name as it is kept. Raises BadInput."""
    name = name.strip().lower()
    if not _NAME.fullmatch(name):
        raise BadInput("A user's name has 1 to 40 of these characters: a–z, 0–9, dot, dash, underscore and @.")
    return name


def hash_token(token: str) -> str:
    """What is kept of a cookie's value."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
