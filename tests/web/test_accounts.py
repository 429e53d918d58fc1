"""Log in and out over HTTP: the cookie, where one may be sent, what ends a session, and that nothing is told."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie

import httpx
import pytest
from starlette.testclient import TestClient

from storage.audit import search_audit
from studio.people.accounts import hash_token
from studio.web.accounts import local_path
from tests.web.conftest import PASSWORD, URL, House, Town

HTML = {"Accept": "text/html,application/xhtml+xml"}


def enter(town: Town, name: str = "bob", password: str = PASSWORD, **more: object) -> httpx.Response:
    """Send the log-in form."""
    headers = more.pop("headers", {})
    return town.ask(None, "POST", "/login", data={"name": name, "password": password, **more}, headers=headers)


def cookie_of(answer: httpx.Response) -> tuple[str, SimpleCookie]:
    """The raw Set-Cookie line and what it says."""
    raw = answer.headers["set-cookie"]
    return raw, SimpleCookie(raw)


def test_alone_there_is_no_log_in(house: House) -> None:
    for path in ("/login", "/account"):
        answer = house.client.get(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert house.client.get("/").status_code == 200


def test_a_page_without_a_session_leads_to_the_log_in_and_back(town: Town) -> None:
    answer = town.ask(None, "GET", "/?tab=label&x=1", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/%3Ftab%3Dlabel%26x%3D1")
    page = town.ask(None, "GET", answer.headers["location"], headers=HTML)
    assert page.status_code == 200 and 'value="/?tab=label&amp;x=1"' in page.text
    assert enter(town, next="/?tab=label&x=1").headers["location"] == "/?tab=label&x=1"


@pytest.mark.parametrize("path", ["/config", "/api/label/desk?project=x", "/gradio_api/queue/data", "/nothing/here"])
def test_anything_else_without_a_session_is_401_with_a_sentence(town: Town, path: str) -> None:
    answer = town.ask(None, "GET", path)
    assert answer.status_code == 401 and "log in" in answer.json()["message"]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(town: Town) -> None:
    raw, cookie = cookie_of(enter(town))
    morsel = cookie[town.cookie]
    assert morsel["httponly"] and morsel["samesite"].lower() == "lax" and morsel["path"] == "/"
    assert not morsel["secure"] and not morsel["domain"] and int(morsel["max-age"]) == 7 * 24 * 3600
    assert len(morsel.value) >= 43 and "bob" not in raw


def test_over_https_the_cookie_is_secure(town: Town) -> None:
    client = TestClient(town.app, base_url=URL.replace("http", "https"))
    answer = client.post("/login", data={"name": "bob", "password": PASSWORD}, follow_redirects=False)
    assert cookie_of(answer)[1][town.cookie]["secure"]


def test_the_page_knows_who_is_logged_in(town: Town) -> None:
    assert town.ask("bob", "GET", "/config").json()["username"] == "bob"


ELSEWHERE = ["https://evil.example", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "evil"]
ODD = ["javascript:alert(1)", "", "/\tevil", "/\n//evil.example", "/\r\nSet-Cookie: a=b", "/login?next=/x", "/logout"]


@pytest.mark.parametrize("wanted", [*ELSEWHERE, *ODD])
def test_a_log_in_leads_to_no_other_place(town: Town, wanted: str) -> None:
    assert local_path(wanted) == "/"
    assert enter(town, next=wanted).headers["location"] == "/"
    assert 'name="next" value="/"' in town.ask(None, "GET", "/login", params={"next": wanted}).text


def test_a_log_in_never_takes_up_a_token_that_it_was_given(town: Town) -> None:
    planted = "planted-by-somebody-else-0000000000000000000"
    answer = enter(town, headers={"Cookie": f"{town.cookie}={planted}"})
    assert cookie_of(answer)[1][town.cookie].value != planted
    assert town.studio.accounts.user_of(hash_token(planted)) is None


def test_a_second_log_in_of_a_browser_ends_its_first_session(town: Town) -> None:
    first = town.studio.accounts.log_in("bob", PASSWORD)
    answer = enter(town, "rev", headers={"Cookie": f"{town.cookie}={first}"})
    assert answer.status_code == 303 and town.studio.accounts.user_of(hash_token(first)) is None


def test_log_out_ends_the_session_and_takes_the_cookie(town: Town) -> None:
    token = town.token("bob")
    answer = town.ask("bob", "POST", "/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert cookie_of(answer)[1][town.cookie]["max-age"] == "0"
    again = town.ask(None, "GET", "/config", headers={"Cookie": f"{town.cookie}={token}"})
    assert again.status_code == 401


def test_a_link_logs_nobody_out(town: Town) -> None:
    assert town.ask("bob", "GET", "/logout").headers["location"] == "/account"
    assert town.ask("bob", "GET", "/config").status_code == 200


@pytest.mark.parametrize("path", ["/login", "/logout", "/account"])
def test_a_form_of_another_site_is_refused(town: Town, path: str) -> None:
    answer = town.ask("bob", "POST", path, headers={"Origin": "https://evil.example"}, data={"name": "bob"})
    assert answer.status_code == 403 and town.ask("bob", "GET", "/config").status_code == 200


def test_what_was_wrong_is_told_in_plain_words_and_as_text(town: Town) -> None:
    evil = '"><script>alert(1)</script>'
    answer = enter(town, evil, "wrong", next="/x")
    assert answer.status_code == 401 and "Name or password is wrong." in answer.text
    assert "<script" not in answer.text and "&lt;script" in answer.text and 'value="/x"' in answer.text
    assert "set-cookie" not in answer.headers and "wrong" not in re.sub("is wrong", "", answer.text)


def test_known_and_unknown_names_get_the_same_page(town: Town) -> None:
    pages = [enter(town, name, "wrong").text.replace(name, "NAME") for name in ("ann", "zzz")]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe=\x00", b"name=bob", b"a=1&" * 50, b"password=" + b"x" * 20_000])
def test_what_is_no_log_in_form_is_a_log_in_that_failed(town: Town, content: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": "10.9.9.9"}
    assert town.ask(None, "POST", "/login", content=content, headers=headers).status_code == 401
    town.studio.accounts._lockout.succeeded("", "testclient")


def test_a_locked_account_says_when_to_try_again(town: Town) -> None:
    town.studio.accounts.add("lou", "reviewer", PASSWORD, "ann")
    for _ in range(5):
        assert "is wrong" in enter(town, "lou", "wrong").text
    answer = enter(town, "lou", PASSWORD)
    assert answer.status_code == 401 and "try again in a minute" in answer.text
    assert search_audit(town.studio.db, action="log in locked")[0].subject == "lou"
    town.studio.accounts.set_password("lou", PASSWORD, "ann")
    assert enter(town, "lou").status_code == 303


def test_ones_own_password_is_changed_and_all_other_sessions_end(town: Town) -> None:
    other = town.studio.accounts.log_in("bob", PASSWORD)
    new = "another long one"
    for form, said in (
        ({"old": PASSWORD, "new": new, "again": new + "x"}, "differ"),
        ({"old": "wrong", "new": new, "again": new}, "old password is wrong"),
        ({"old": PASSWORD, "new": "short", "again": "short"}, "at least 10"),
    ):
        answer = town.ask("bob", "POST", "/account", data=form)
        assert answer.status_code == 400 and said in answer.text
    answer = town.ask("bob", "POST", "/account", data={"old": PASSWORD, "new": new, "again": new})
    assert answer.headers["location"] == "/account?changed=1"
    assert town.studio.accounts.user_of(hash_token(other)) is None
    assert town.studio.accounts.user_of(hash_token(cookie_of(answer)[1][town.cookie].value))
    town.studio.accounts.set_password("bob", PASSWORD, "ann")


def test_nobody_changes_another_ones_password(town: Town) -> None:
    form = {"username": "ann", "name": "ann", "old": PASSWORD, "new": "another long one", "again": "another long one"}
    town.ask("bob", "POST", "/account", data=form)
    assert enter(town, "ann").status_code == 303
    town.studio.accounts.set_password("bob", PASSWORD, "ann")


def test_pages_with_accounts_are_kept_in_no_cache(town: Town) -> None:
    for path in ("/", "/config", "/account"):
        assert town.ask("bob", "GET", path, headers=HTML).headers["cache-control"] == "no-store"


def test_a_proxys_name_passes_with_accounts_and_a_foreign_origin_does_not(town: Town) -> None:
    proxied = {"Host": "studio.example.org"}
    assert town.ask("bob", "GET", "/config", headers=proxied).status_code == 200
    assert town.ask(None, "GET", "/config", headers=proxied).status_code == 401
    answer = town.ask("bob", "POST", "/logout", headers={**proxied, "Origin": "http://127.0.0.1:7860"})
    assert answer.status_code == 403


def test_a_removed_users_session_is_refused_at_once(town: Town) -> None:
    accounts = town.studio.accounts
    accounts.add("temp", "reviewer", PASSWORD, "ann")
    assert town.ask("temp", "GET", "/config").status_code == 200
    token = town.token("temp")
    accounts.remove("temp", "ann")
    assert town.ask(None, "GET", "/config", headers={"Cookie": f"{town.cookie}={token}"}).status_code == 401
