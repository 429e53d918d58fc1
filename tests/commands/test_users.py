"""`python -m studio user …`: accounts from a terminal."""

from __future__ import annotations

import io
from argparse import Namespace
from pathlib import Path

import pytest

from storage.audit import search_audit
from storage.database import connect
from studio.commands import users as commands
from studio.errors import BadInput, NotFound
from studio.people.accounts import Accounts
from studio.settings import Workspace

PASSWORD = "correct horse battery"


class Terminal(io.StringIO):
    """A stdin that is a terminal."""

    def isatty(self) -> bool:
        return True


def flags(name: str = "ann", role: str = "admin", stdin: bool = True) -> Namespace:
    return Namespace(name=name, role=role, password_stdin=stdin)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace; the password is on stdin."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n" * 9))
    return Workspace(tmp_path)


def test_a_user_is_added_listed_and_removed(place: Workspace) -> None:
    told = commands.user_add(place, flags("Ann"))
    assert told.data["user"]["name"] == "ann" and "Accounts are on" in told.message  # type: ignore[index]
    assert "Accounts are on" not in commands.user_add(place, flags("bob", "annotator")).message
    assert commands.user_remove(place, flags("BOB")).data == {"removed": "bob"}
    listed = commands.user_list(place, flags()).data["users"]
    assert [(user["name"], user["role"], user["last_seen"]) for user in listed] == [("ann", "admin", None)]  # type: ignore[attr-defined]


def test_what_is_refused_is_refused_before_a_password_is_asked_for(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda words: pytest.fail("asked"))
    for name, role, said in (("bob", "annotator", "first user must be an admin"), ("a b", "admin", "1 to 40")):
        with pytest.raises(BadInput, match=said):
            commands.user_add(place, flags(name, role, stdin=False))
    with pytest.raises(NotFound, match="eve"):
        commands.user_remove(place, flags("eve"))


def test_a_typed_password_is_typed_twice(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = [PASSWORD, "another one", PASSWORD, PASSWORD]
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda words: typed.pop(0))
    with pytest.raises(BadInput, match="differ"):
        commands.user_add(place, flags(stdin=False))
    assert commands.user_add(place, flags(stdin=False)).data["user"]["role"] == "admin"  # type: ignore[index]


def test_without_a_terminal_a_password_is_not_waited_for(place: Workspace) -> None:
    with pytest.raises(BadInput, match="--password-stdin"):
        commands.user_add(place, flags(stdin=False))


def test_a_short_password_says_why(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(BadInput, match="at least 10 characters: shorter ones can be guessed"):
        commands.user_add(place, flags())


def test_a_forgotten_password_is_set_anew_and_the_log_says_so(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.user_add(place, flags())
    monkeypatch.setattr("sys.stdin", io.StringIO("another long one\n"))
    commands.user_password(place, flags())
    db = connect(place.database, place.backups)
    assert Accounts(db).log_in("ann", "another long one")
    assert search_audit(db, action="user password")[0].user == "(command line)"
    db.close()
