"""Users, sessions and preferences as rows. What may be done with them is tested in tests/people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage import users
from storage.database import Database
from storage.preferences import get_preferences, set_preferences
from storage.users import SessionRow
from studio.errors import BadInput

NOW = datetime.now(UTC)
EVIL = "'; DROP TABLE users; --"


def test_a_removed_user_comes_back_with_another_role_and_keeps_one_row(db: Database) -> None:
    with db.write() as cursor:
        users.put_user(cursor, "bob", "annotator", "hash 1")
        users.set_failures(cursor, "bob", 7, NOW)
        users.set_removed(cursor, "bob")
    (gone,) = users.list_users(db)
    assert gone.removed_at and gone.failures == 7 and gone.locked_until == NOW
    with db.write() as cursor:
        users.put_user(cursor, "bob", "reviewer", "hash 2")
    (back,) = users.list_users(db)
    assert (back.role, back.password_hash, back.removed_at, back.failures) == ("reviewer", "hash 2", None, 0)
    assert back.created_at == gone.created_at and "hash 2" not in repr(back)


def test_sessions_that_have_ended_are_not_listed_and_go_with_the_next_one(db: Database) -> None:
    live = SessionRow("a" * 64, "bob", NOW, NOW + timedelta(hours=1))
    with db.write() as cursor:
        users.add_session(cursor, SessionRow("b" * 64, "bob", NOW, NOW - timedelta(seconds=1)))
        users.add_session(cursor, live)
    assert users.list_sessions(db) == [live]
    assert db.one("SELECT count(*) FROM sessions") == (1,)


def test_a_session_goes_on_and_its_user_is_seen(db: Database) -> None:
    later = SessionRow("a" * 64, "bob", NOW, NOW + timedelta(hours=2))
    with db.write() as cursor:
        users.put_user(cursor, "bob", "annotator", "hash")
        users.add_session(cursor, SessionRow("a" * 64, "bob", NOW, NOW + timedelta(hours=1)))
    users.save_seen(db, [later], {"bob": NOW})
    assert users.list_sessions(db) == [later] and users.list_users(db)[0].seen_at == NOW
    with db.write() as cursor:
        users.end_sessions(cursor, ["a" * 64, "no such"])
    assert users.list_sessions(db) == []


def test_preferences_are_one_persons(db: Database) -> None:
    set_preferences(db, "bob", {"keys": {"submit": "Ctrl+Enter"}})
    set_preferences(db, EVIL, {"x": "ü</script>"})
    set_preferences(db, "bob", {"keys": {"submit": "F2"}})
    assert get_preferences(db, "bob") == {"keys": {"submit": "F2"}}
    assert get_preferences(db, EVIL) == {"x": "ü</script>"} and get_preferences(db, "eve") == {}


def test_endless_preferences_are_refused(db: Database) -> None:
    with pytest.raises(BadInput, match="20,000"):
        set_preferences(db, "bob", {"x": "y" * 20_000})
    assert get_preferences(db, "bob") == {}
