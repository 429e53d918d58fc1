"""Figures over time, limits and alerts: raised once, ended when the figure is back, sent without anybody waiting."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from storage.database import Database
from storage.records import Project
from storage.watches import add_drift
from studio.deploy import monitoring, webhook
from studio.errors import BadInput
from studio.settings import Workspace
from tests.deploy.conftest import NOW, Server


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A web server on this machine, and what was sent to it; /moved redirects."""
    got: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "*")
    served = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}", got
    served.shutdown()
    served.server_close()


def errors(server: Server, bad: int, good: int, **given: Any) -> None:
    for _ in range(bad):
        server.ask(status=500, answer="", at=NOW - timedelta(minutes=5), **given)
    for _ in range(good):
        server.ask(at=NOW - timedelta(minutes=5), **given)
    server.taken()


def test_figures_of_a_day_by_stretches(db: Database, project: Project, server: Server) -> None:
    errors(server, 1, 9)
    found = monitoring.figures(db, project.id, NOW - timedelta(hours=24), NOW, points=48)
    assert (len(found.buckets), found.seconds) == (48, 1800.0)
    assert (found.overall.requests, found.overall.error_rate) == (10, 0.1) == (found.buckets[-1].requests, 0.1)
    with pytest.raises(BadInput, match="behind its begin"):
        monitoring.figures(db, project.id, NOW, NOW)


def test_a_short_time_is_looked_at_by_seconds(db: Database, project: Project) -> None:
    found = monitoring.figures(db, project.id, NOW - timedelta(seconds=90), NOW, points=60)
    assert found.seconds == 2.0 and len(found.buckets) == 45


def test_an_alert_is_raised_once_and_ends(db: Database, workspace: Workspace, project: Project, server: Server) -> None:
    monitoring.set_watch(db, project.id, {"error_rate": 0.1}, "ann")
    errors(server, 6, 20)
    (alert,) = monitoring.look(db, workspace, NOW)
    assert (alert.kind, alert.threshold, alert.delivery) == ("error_rate", 0.1, "") and alert.value > 0.2
    assert monitoring.look(db, workspace, NOW) == []
    errors(server, 0, 200)
    monitoring.look(db, workspace, NOW)
    assert monitoring.list_alerts(db, project.id)[0].ended_at == NOW


def test_few_requests_raise_nothing_and_end_nothing(
    db: Database, workspace: Workspace, project: Project, server: Server
) -> None:
    monitoring.set_watch(db, project.id, {"error_rate": 0.1}, "ann")
    errors(server, 19, 0)
    assert monitoring.look(db, workspace, NOW) == []
    errors(server, 1, 0)
    assert len(monitoring.look(db, workspace, NOW)) == 1
    monitoring.look(db, workspace, NOW + timedelta(days=1))
    assert monitoring.list_alerts(db, project.id, only_open=True)


def test_a_figure_that_should_be_high_alerts_below(
    db: Database, workspace: Workspace, project: Project, server: Server
) -> None:
    monitoring.set_watch(db, project.id, {"feedback": 0.8, "refusal_rate": 0.5, "p95_ms": 1000}, "ann")
    for n in range(30):
        server.ask(rating=1 if n % 2 else -1, at=NOW - timedelta(minutes=1))
    server.taken()
    assert [(one.kind, one.value) for one in monitoring.look(db, workspace, NOW)] == [("feedback", 0.5)]


def test_drift_alerts_by_its_p_value(db: Database, workspace: Workspace, project: Project) -> None:
    monitoring.set_watch(db, project.id, {"drift": 0.01}, "ann")
    assert monitoring.look(db, workspace, NOW) == []
    add_drift(db, project.id, "s", True, {"p": 0.003}, NOW)
    assert [one.kind for one in monitoring.look(db, workspace, NOW)] == ["drift"]


def test_a_limit_that_was_taken_away_ends_its_alert(
    db: Database, workspace: Workspace, project: Project, server: Server
) -> None:
    monitoring.set_watch(db, project.id, {"error_rate": 0.1, "p95_ms": 9e9}, "ann")
    errors(server, 30, 0)
    monitoring.look(db, workspace, NOW)
    monitoring.set_watch(db, project.id, {"p95_ms": 9e9}, "ann")
    monitoring.look(db, workspace, NOW)
    assert monitoring.list_alerts(db, project.id, only_open=True) == []


@pytest.mark.parametrize("limits", [{"nothing": 1.0}, {"error_rate": 1.5}, {"p95_ms": -1.0}, {"drift": float("nan")}])
def test_limits_that_cannot_be_are_refused(db: Database, project: Project, limits: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        monitoring.set_watch(db, project.id, limits, "ann")


def test_an_alert_is_sent_with_figures_and_no_texts(
    db: Database, workspace: Workspace, project: Project, server: Server, listener: tuple[str, list[dict[str, object]]]
) -> None:
    monitoring.set_watch(db, project.id, {"error_rate": 0.1}, "ann", listener[0] + "/hook")
    errors(server, 30, 0, turns=[{"role": "user", "content": "my secret"}], key_id="key-7")
    (alert,) = monitoring.look(db, workspace, NOW)
    monitoring.wait_for_delivery(alert)
    assert monitoring.list_alerts(db, project.id)[0].delivery == "sent (200)"
    at = "2026-11-01T12:00:00+00:00"
    assert listener[1] == [{"project": "Support", "alert": "error_rate", "value": 1.0, "threshold": 0.1, "at": at}]


def test_a_redirect_is_not_followed(listener: tuple[str, list[dict[str, object]]]) -> None:
    assert webhook.post(listener[0] + "/moved", {"a": 1}) == "refused (302)" and len(listener[1]) == 1


def test_a_url_that_does_not_answer_holds_nobody_up(
    db: Database, workspace: Workspace, project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(webhook, "post", lambda url, said: (gate.wait(20) and "failed: late") or "")
    monitoring.set_watch(db, project.id, {"error_rate": 0.1}, "ann", "http://127.0.0.1:1/x")
    errors(server, 30, 0)
    (alert,) = monitoring.look(db, workspace, NOW)
    assert monitoring.list_alerts(db, project.id)[0].delivery == ""
    gate.set()
    monitoring.wait_for_delivery(alert)
    assert monitoring.list_alerts(db, project.id)[0].delivery == "failed: late"


def test_a_port_where_nobody_listens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    assert webhook.post("http://127.0.0.1:1/", {}).startswith("failed: ConnectionRefused")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.b/c",
        "file:///etc/passwd",
        "http://",
        "a.b/c",
        "https://me:pw@a.b/",
        "http://a b",
        "http://a\nb",
        "x" * 9,
    ],
)
def test_other_urls_are_refused(db: Database, project: Project, url: str) -> None:
    with pytest.raises(BadInput, match="webhook has to be"):
        monitoring.set_watch(db, project.id, {}, "ann", url)


def test_a_webhook_stays_until_it_is_set_anew(db: Database, project: Project) -> None:
    monitoring.set_watch(db, project.id, {}, "ann", " https://example.org/a ")
    assert monitoring.set_watch(db, project.id, {"drift": 0.01}, "ann").webhook == "https://example.org/a"
    assert monitoring.set_watch(db, project.id, {}, "ann", "").webhook == ""


def test_texts_older_than_a_project_keeps_them_are_forgotten_and_counts_stay(
    db: Database, project: Project, server: Server
) -> None:
    for age in (10, 6, 1):
        server.ask(at=NOW - timedelta(days=age))
    server.taken()
    assert monitoring.forget_old(db, NOW) == 0  # nobody said how long
    monitoring.set_watch(db, project.id, {"error_rate": 0.1}, "ann", keep_days=7)
    assert (monitoring.forget_old(db, NOW), monitoring.forget_old(db, NOW)) == (1, 0)
    kept = monitoring.set_watch(db, project.id, {}, "ben")  # as before
    assert (kept.keep_days, dict(kept.thresholds)) == (7, {})
    assert monitoring.set_watch(db, project.id, {}, "ben", keep_days=None).keep_days is None
    assert monitoring.forget_old(db, NOW) == 0
    assert db.query("SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM request_texts)") == [(3, 2)]


@pytest.mark.parametrize("days", [0, -2, 5000])
def test_a_number_of_days_that_cannot_be(db: Database, project: Project, days: int) -> None:
    with pytest.raises(BadInput, match="1 to 3,650 days"):
        monitoring.set_watch(db, project.id, {}, "ann", keep_days=days)
