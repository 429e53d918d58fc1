"""Users, passwords and sessions: what opens one, what ends it, and what is never told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.audit import search_audit
from storage.database import Database
from storage.records import User
from studio.errors import BadInput, NotAllowed, NotFound
from studio.people import accounts as module
from studio.people import passwords
from studio.people.accounts import Accounts, checked_name, hash_token
from studio.people.roles import ALONE, may
from tests.people.conftest import PASSWORD, Clock


def entered(accounts: Accounts, name: str = "bob") -> str:
    """The hash of a fresh session of that user."""
    return hash_token(accounts.log_in(name, PASSWORD, "10.0.0.1"))


def actions(db: Database) -> list[str]:
    return [line.action for line in reversed(search_audit(db))]


def test_without_accounts_everybody_is_me_and_an_admin(db: Database) -> None:
    accounts = Accounts(db)
    assert not accounts.on and accounts.user_of(None) == accounts.user_of("made up") == ALONE
    assert User("me", "admin") == ALONE


def test_with_accounts_only_a_session_is_somebody(accounts: Accounts) -> None:
    assert accounts.on and accounts.user_of(None) is None and accounts.user_of("made up") is None
    assert accounts.user_of(entered(accounts)) == User("bob", "annotator")


def test_the_first_user_must_be_an_admin(db: Database) -> None:
    with pytest.raises(BadInput, match="first user must be an admin"):
        Accounts(db).add("bob", "annotator", PASSWORD, "me")
    assert not Accounts(db).on


def test_a_page_may_wait_some_seconds_to_be_told_that_accounts_are_on(db: Database, clock: Clock) -> None:
    accounts = Accounts(db, clock)
    accounts.add("ann", "admin", PASSWORD, "me")
    assert accounts.just_on
    clock.pass_by(seconds=11)
    accounts.add("bob", "annotator", PASSWORD, "ann")
    assert not accounts.just_on and not Accounts(db, clock).just_on


@pytest.mark.parametrize("name", ["", " ", "a b", "a" * 41, "ann\n", "ä", "a/b", "<b>", "a'; --", "a\0", "ann\u202e"])
def test_a_name_of_other_characters_is_refused(accounts: Accounts, name: str) -> None:
    if name.strip() != "ann":  # white space around a name is no part of it
        with pytest.raises(BadInput, match="1 to 40"):
            accounts.add(name, "annotator", PASSWORD, "ann")


def test_names_are_kept_in_lower_case_and_taken_once(accounts: Accounts) -> None:
    assert checked_name(" Bob.Smith@Example.org ") == "bob.smith@example.org"
    with pytest.raises(BadInput, match="already a user 'bob'"):
        accounts.add("BOB", "annotator", PASSWORD, "ann")


@pytest.mark.parametrize("password", ["", "short", "a" * 10, "x" * 1001, "bob.smith@example.org"])
def test_a_weak_password_is_refused_with_the_reason(accounts: Accounts, password: str) -> None:
    with pytest.raises(BadInput, match="password"):
        accounts.add("bob.smith@example.org", "annotator", password, "ann")


def test_no_password_and_no_token_is_stored(accounts: Accounts, db: Database) -> None:
    token = accounts.log_in("bob", PASSWORD)
    stored = str(db.query("SELECT * FROM users")) + str(db.query("SELECT * FROM sessions"))
    stored += str(db.query("SELECT * FROM audit"))
    assert PASSWORD not in stored and token not in stored
    assert "$argon2id$" in stored and hash_token(token) in stored


def test_wrong_name_and_wrong_password_get_the_same_sentence(accounts: Accounts) -> None:
    said = set()
    for name, password in (("bob", "wrong"), ("nobody", PASSWORD), ("", ""), ("bob'--", "\ud800")):
        with pytest.raises(NotAllowed) as refused:
            accounts.log_in(name, password)
        said.add(str(refused.value))
    assert said == {"Name or password is wrong."}


def test_an_unknown_name_costs_a_check_too(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str | None] = []
    monkeypatch.setattr(module, "verify", lambda stored, password: bool(checked.append(stored)))
    for name in ("bob", "nobody"):
        with pytest.raises(NotAllowed):
            accounts.log_in(name, PASSWORD)
    assert [stored is None for stored in checked] == [False, True]


def test_what_was_typed_as_an_unknown_name_is_not_written_down(accounts: Accounts, db: Database) -> None:
    with pytest.raises(NotAllowed):
        accounts.log_in("my secret passphrase", "ann")
    assert "secret" not in str(search_audit(db)) and actions(db)[-1] == "log in failed"


def test_the_sixth_try_waits_a_minute_and_each_failure_doubles_it(accounts: Accounts, clock: Clock) -> None:
    for wait in (0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60):
        with pytest.raises(NotAllowed, match="wrong"):
            accounts.log_in("bob", "wrong")
        if wait:
            clock.pass_by(minutes=wait, seconds=-1)
            with pytest.raises(NotAllowed, match="try again in"):
                accounts.log_in("bob", PASSWORD)
            clock.pass_by(seconds=1)
    assert accounts.log_in("bob", PASSWORD)


def test_an_unknown_name_is_locked_like_a_known_one(accounts: Accounts) -> None:
    said: dict[str, list[str]] = {"bob": [], "nobody": []}
    for name, answers in said.items():
        for _ in range(7):
            with pytest.raises(NotAllowed) as refused:
                accounts.log_in(name, "wrong")
            answers.append(str(refused.value))
    assert said["bob"] == said["nobody"]


def test_a_lock_is_told_survives_a_restart_and_ends_with_a_new_password(
    accounts: Accounts, db: Database, clock: Clock
) -> None:
    for _ in range(5):
        with pytest.raises(NotAllowed):
            accounts.log_in("bob", "wrong")
    assert accounts.get("bob").locked_until and actions(db)[-1] == "log in locked"
    again = Accounts(db, clock)
    with pytest.raises(NotAllowed, match="Too many"):
        again.log_in("bob", PASSWORD)
    again.set_password("bob", "another long one", "ann")
    assert again.log_in("bob", "another long one") and not again.get("bob").locked_until


def test_a_good_log_in_forgives_what_failed_before(accounts: Accounts) -> None:
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(NotAllowed, match="wrong"):
                accounts.log_in("bob", "wrong")
        entered(accounts)


def test_one_address_cannot_try_many_names(accounts: Accounts, clock: Clock) -> None:
    for number in range(30):
        with pytest.raises(NotAllowed, match="wrong"):
            accounts.log_in(f"guess{number}", "wrong", "10.0.0.9")
    with pytest.raises(NotAllowed, match="Too many"):
        accounts.log_in("bob", PASSWORD, "10.0.0.9")
    assert accounts.log_in("bob", PASSWORD, "10.0.0.8")
    clock.pass_by(minutes=16)
    assert accounts.log_in("bob", PASSWORD, "10.0.0.9")


def test_addresses_of_one_ipv6_network_count_together(accounts: Accounts) -> None:
    for number in range(30):
        with pytest.raises(NotAllowed, match="wrong"):
            accounts.log_in(f"guess{number}", "wrong", f"2001:db8::{number:x}")
    with pytest.raises(NotAllowed, match="Too many"):
        accounts.log_in("bob", PASSWORD, "2001:db8::ffff")


def test_tries_at_once_are_no_way_round_the_lock(accounts: Accounts) -> None:
    gate = threading.Barrier(12)

    def attempt(number: int) -> str:
        gate.wait()
        with pytest.raises(NotAllowed) as refused:
            accounts.log_in("bob", f"wrong {number}", f"10.0.{number}.1")
        return str(refused.value)

    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(attempt, range(12)))
    assert sum("wrong" in sentence for sentence in said) == 5


def test_a_session_ends_after_twelve_hours_without_a_request(accounts: Accounts, clock: Clock) -> None:
    session = entered(accounts)
    for _ in range(3):
        clock.pass_by(hours=11)
        assert accounts.user_of(session)
    clock.pass_by(hours=12)
    assert accounts.user_of(session) is None


def test_a_session_ends_after_seven_days_whatever_happens(accounts: Accounts, clock: Clock) -> None:
    session = entered(accounts)
    for _ in range(7 * 4 - 1):
        clock.pass_by(hours=6)
        assert accounts.user_of(session)
    clock.pass_by(hours=6)
    assert accounts.user_of(session) is None


def test_sessions_go_on_after_a_restart_until_their_end(accounts: Accounts, db: Database, clock: Clock) -> None:
    session = entered(accounts)
    clock.pass_by(hours=1)
    assert accounts.user_of(session) and accounts.unsaved
    accounts.save()
    clock.pass_by(hours=11.5)
    later = Accounts(db, clock)
    assert later.user_of(session) == User("bob", "annotator")
    assert not accounts.unsaved and later.get("bob").sessions == 1


def test_log_out_ends_that_session_only_and_for_good(accounts: Accounts, db: Database, clock: Clock) -> None:
    first, second = entered(accounts), entered(accounts)
    accounts.log_out(first)
    accounts.log_out(first)
    assert accounts.user_of(first) is None and accounts.user_of(second)
    assert Accounts(db, clock).user_of(first) is None
    assert actions(db).count("log out") == 1


def test_a_new_password_ends_all_sessions(accounts: Accounts) -> None:
    sessions = [entered(accounts) for _ in range(2)]
    accounts.set_password("bob", "another long one", "ann")
    assert [accounts.user_of(session) for session in sessions] == [None, None]
    with pytest.raises(NotAllowed):
        accounts.log_in("bob", PASSWORD)


def test_changing_ones_password_needs_the_old_one_and_gives_a_new_session(accounts: Accounts) -> None:
    before = entered(accounts)
    with pytest.raises(NotAllowed, match="old password is wrong"):
        accounts.change_password("bob", "wrong", "another long one")
    assert accounts.user_of(before)
    token = accounts.change_password("bob", PASSWORD, "another long one")
    assert accounts.user_of(before) is None and accounts.user_of(hash_token(token)) == User("bob", "annotator")


def test_a_removed_user_is_out_at_once_and_keeps_their_name(accounts: Accounts, db: Database) -> None:
    session = entered(accounts)
    accounts.remove("bob", "ann")
    assert accounts.user_of(session) is None
    with pytest.raises(NotAllowed, match="wrong"):
        accounts.log_in("bob", PASSWORD)
    assert [account.name for account in accounts.everybody()] == ["ann"]
    assert db.one("SELECT removed_at IS NOT NULL FROM users WHERE name = 'bob'") == (True,)
    assert accounts.add("bob", "reviewer", "another long one", "ann").role == "reviewer"


def test_the_last_admin_can_neither_be_removed_nor_demoted(accounts: Accounts) -> None:
    for attempt in (lambda: accounts.remove("ann", "ann"), lambda: accounts.set_role("ann", "reviewer", "ann")):
        with pytest.raises(BadInput, match="only admin"):
            attempt()
    accounts.set_role("bob", "admin", "ann")
    accounts.remove("ann", "bob")
    assert accounts.on


def test_another_role_counts_from_the_next_request(accounts: Accounts, db: Database) -> None:
    session = entered(accounts)
    accounts.set_role("bob", "reviewer", "ann")
    assert accounts.user_of(session) == User("bob", "reviewer")
    (line,) = search_audit(db, action="user role")
    assert (line.user, line.subject, dict(line.details)) == ("ann", "bob", {"before": "annotator", "after": "reviewer"})


def test_who_is_not_there_is_not_found(accounts: Accounts) -> None:
    for act in (lambda: accounts.remove("eve", "ann"), lambda: accounts.set_role("eve", "admin", "ann")):
        with pytest.raises(NotFound, match="eve"):
            act()


def test_when_somebody_was_last_seen(accounts: Accounts, clock: Clock, db: Database) -> None:
    assert accounts.get("bob").seen_at is None
    session = entered(accounts)
    clock.pass_by(minutes=3)
    accounts.user_of(session)
    accounts.save()
    assert accounts.get("bob").seen_at == Accounts(db, clock).get("bob").seen_at == clock.now


def test_the_log_keeps_who_did_what_to_whom(accounts: Accounts, db: Database) -> None:
    entered(accounts)
    accounts.end_sessions("bob", "ann")
    accounts.remove("bob", "ann")
    assert actions(db) == ["user add", "user add", "log in", "user log out", "user remove"]
    assert search_audit(db, action="log in")[0].details == {"address": "10.0.0.1"}


def test_a_hash_of_weaker_parameters_is_made_anew(accounts: Accounts, db: Database) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with db.write() as cursor:
        cursor.execute("UPDATE users SET password_hash = ? WHERE name = 'bob'", [weak])
    fresh = Accounts(db)
    assert fresh.log_in("bob", PASSWORD)
    assert db.one("SELECT password_hash <> ? FROM users WHERE name = 'bob'", [weak]) == (True,)
    assert fresh.log_in("bob", PASSWORD)


def test_hashes_are_argon2id_with_at_least_what_owasp_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the tests' cheap hasher
    kept = passwords.hash_password(PASSWORD)
    kind, _, cost = kept.split("$")[1:4]
    memory, times, _ = (int(part.split("=")[1]) for part in cost.split(","))
    assert kind == "argon2id" and memory >= 19 * 1024 and times >= 2
    assert passwords.verify(kept, PASSWORD) and not passwords.verify(kept, PASSWORD + " ")


def test_roles_are_in_order_and_an_unknown_one_reaches_nothing() -> None:
    assert may(User("a", "reviewer"), "annotator") and not may(User("a", "reviewer"), "admin")
    assert not may(User("a", "root"), "annotator")
