"""A judge over real HTTP and in a real process: fair, biased, rude and busy ones; cost, kept replies, and the key."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from storage.database import Database
from storage.records import Run, Side, User
from studio.contract.chat import Message
from studio.contract.events import EventWriter
from studio.errors import BadInput, BadSpec, Cancelled, JobFailed
from studio.jobs import judge, judging
from studio.jobs.endpoint import Endpoint, save_endpoint
from studio.jobs.judge_asking import Asker, asked_wait
from studio.jobs.judging import JudgeAsk, JudgeReport
from studio.labeling import comparing
from studio.settings import Workspace
from tests.jobs.conftest import wait_until
from tests.jobs.judged_run import BAD, GOOD, FakeJudge, evaluated, fair, said

ME = User("me", "admin")
KEY = "sk-judge-secret"
ANSWERS = [
    *((f"Question {n}?", f"{BAD} {n}", f"{GOOD} {n}") for n in range(6)),
    ("Question 6?", f"{GOOD} 6", f"{BAD} 6"),
    ("Question 7?", "same", " same\n"),
]


@pytest.fixture
def run(db: Database, workspace: Workspace) -> Run:
    return evaluated(db, workspace, ANSWERS)


def ask(url: str, **fields: object) -> JudgeAsk:
    return JudgeAsk(**({"url": url, "model": "big", "criteria": "Prefer GOOD."} | fields))  # type: ignore[arg-type]


def here(db: Database, workspace: Workspace, run: Run, asked: JudgeAsk, transport: object = None) -> JudgeReport:
    """Judge in this process: quicker than to start one."""
    order = judging._order(db, workspace, run.id, asked, KEY)
    folder = workspace.evaluations / run.id / "judge"
    folder.mkdir(exist_ok=True)
    (folder / "spec.json").write_text(order.spec.model_dump_json())
    judging.write_pairs(folder, order.pairs)
    os.environ[judging.KEY_VARIABLE] = KEY
    events = EventWriter(folder)
    try:
        judge.work(folder, events, transport)
    finally:
        events.close()
    report = judging.look_at_judge(workspace, run).report
    assert report is not None and judging.KEY_VARIABLE not in os.environ
    return report


def everything(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_a_fair_judge_asked_in_a_process_of_its_own(db: Database, workspace: Workspace, run: Run) -> None:
    with FakeJudge(lambda shown: said(fair(shown), f"{KEY} says <b>")).open() as fake:
        judging.start_judging(db, workspace, ME, run.id, ask(fake.url, price_in=10, price_out=100), KEY)
        told: list[str] = []
        report = judging.follow_judging(workspace, run, lambda fraction, words: told.append(words))
    assert (report.wins, report.ties, report.losses, report.same, report.left) == (6, 1, 1, 1, 0)
    assert (report.changed, report.shown_twice, report.first) == (0, 7, 0.5) and report.rate[0] == 6.5 / 8
    assert fake.answered == 14 and set(fake.keys) == {f"Bearer {KEY}"}
    assert [report.cost, report.cost_now] == pytest.approx([14 * (100 * 10 + 10 * 100) / 1e6] * 2)
    assert report.counted and report.rows[0].why == "… says <b>"
    db.close()  # the database too is searched for the key
    assert KEY not in everything(workspace.root)


def test_a_judge_that_always_says_first_shows_nothing_but_its_bias(
    db: Database, workspace: Workspace, run: Run
) -> None:
    with FakeJudge(lambda shown: said("first")).open() as fake:
        report = here(db, workspace, run, ask(fake.url))
    assert (report.wins, report.ties, report.losses) == (0, 8, 0)
    assert (report.changed, report.shown_twice, report.first) == (7, 7, 1.0) and report.rate[0] == 0.5


def test_a_rude_judge_is_asked_twice_and_never_guessed(db: Database, workspace: Workspace, run: Run) -> None:
    with FakeJudge(lambda shown: "No! first, obviously").open() as fake:
        report = here(db, workspace, run, ask(fake.url, rows=1, price_in=1))
        assert (report.unread, report.judged, report.unread_replies, fake.answered) == (1, 0, 4, 4)
        assert "must be only the JSON" in str(fake.asked[-1]["messages"]) and report.cost > 0
        fake.reply = lambda shown: said(fair(shown))
        report = here(db, workspace, run, ask(fake.url, rows=1, price_in=1))
        assert (report.wins, report.unread, report.unread_replies, fake.answered) == (1, 0, 4, 6)


def test_a_busy_judge_is_waited_for(db: Database, workspace: Workspace, run: Run) -> None:
    busy = [(429, {"Retry-After": "0.05"}), (503, {"Retry-After": "0"}), (429, {"Retry-After": "0.02"})]
    with FakeJudge(lambda shown: said(fair(shown)), busy).open() as fake:
        assert here(db, workspace, run, ask(fake.url)).wins == 6
    with FakeJudge(lambda shown: "", [(429, {"Retry-After": "7200"})] * 8).open() as fake:
        with pytest.raises(JobFailed, match="wait 120 minutes"):
            here(db, workspace, run, ask(fake.url))


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("2.5", 2.5, 2.5),
        ("-3", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", None, None),
        ("nan", None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, least: float | None, most: float | None) -> None:
    found = asked_wait(httpx.Headers({"Retry-After": value}))
    assert found is None if least is None else found is not None and least <= found <= most  # type: ignore[operator]


def test_what_was_judged_is_not_sent_again(db: Database, workspace: Workspace, run: Run) -> None:
    with FakeJudge(lambda shown: said(fair(shown))).open() as fake:
        here(db, workspace, run, ask(fake.url, rows=3))
        before = fake.answered
        report = here(db, workspace, run, ask(fake.url, rows=8, price_in=10))
        assert fake.answered == 14 and report.cost_now == pytest.approx((14 - before) * 100 * 10 / 1e6)
        assert report.cost == pytest.approx(14 * 100 * 10 / 1e6) and report.judged == 8
        here(db, workspace, run, ask(fake.url, criteria="Another."))
        assert fake.answered == 28
    found = judging.estimate(db, workspace, run.id, ask(fake.url))
    assert (found.kept, found.requests, found.cost) == (7, 0, 0)


def test_the_limit_on_the_cost_holds_and_the_rest_is_said(db: Database, workspace: Workspace, run: Run) -> None:
    asked = ask("http://x/v1", price_out=1000, reply_tokens=100)
    with FakeJudge(lambda shown: said(fair(shown))).open() as fake:
        report = here(db, workspace, run, replace(asked, url=fake.url, most_cost=0.15))
        assert 0 < report.cost_now <= 0.15 and 0 < report.left < 7 and "raise it" in report.stopped
        assert report.judged == 8 - report.left
        whole = here(db, workspace, run, replace(asked, url=fake.url))
        assert (whole.left, whole.stopped, fake.answered) == (0, "", 14)


def test_an_estimate_sends_nothing_and_bounds_the_cost(db: Database, workspace: Workspace, run: Run) -> None:
    with FakeJudge(lambda shown: said(fair(shown))).open() as fake:
        asked = ask(fake.url, price_in=5, price_out=20)
        found = judging.estimate(db, workspace, run.id, asked)
        assert (found.rows, found.same, found.requests, found.kept) == (8, 1, 14, 0) and fake.answered == 0
        assert 0 < found.cost < found.most and found.host in fake.url
        assert here(db, workspace, run, asked).cost <= found.most
        assert judging.estimate(db, workspace, run.id, replace(asked, rows=2, criteria="New.")).rows == 2


def test_a_judging_is_stopped_and_gone_on_with(db: Database, workspace: Workspace, run: Run) -> None:
    busy = [(429, {"Retry-After": "60"})]
    with FakeJudge(lambda shown: said(fair(shown)), busy).open() as fake:
        judging.start_judging(db, workspace, ME, run.id, ask(fake.url), KEY)
        with pytest.raises(BadInput, match="being judged already"):
            judging.start_judging(db, workspace, ME, run.id, ask(fake.url), KEY)
        wait_until(lambda: not fake.refusals)
        judging.cancel_judging(workspace, run.id)
        assert judging.look_at_judge(workspace, run).standing.state == "stopped"
        with pytest.raises(Cancelled, match="goes on there"):
            judging.follow_judging(workspace, run)
        judging.start_judging(db, workspace, ME, run.id, ask(fake.url), KEY)
        assert judging.follow_judging(workspace, run).judged == 8 and fake.answered <= 14 + 4


def test_a_refused_key_ends_it_without_the_key_in_the_words(db: Database, workspace: Workspace, run: Run) -> None:
    with FakeJudge(lambda shown: "", [(401, {})] * 30).open() as fake:
        with pytest.raises(JobFailed, match="status 401") as refused:
            here(db, workspace, run, ask(fake.url))
    assert KEY not in str(refused.value) and judging.look_at_judge(workspace, run).report is None


def test_an_endpoint_is_asked_with_what_it_knows() -> None:
    seen: list[dict[str, object]] = []

    def only_new_names(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        if "max_tokens" in seen[-1]:
            return httpx.Response(400)
        return httpx.Response(200, json={"choices": [{"message": {"content": said("tie")}}]})

    asker = Asker(Endpoint("https://x/v1", "m", KEY), 50, lambda s: False, httpx.MockTransport(only_new_names))
    assert asker.ask([Message("user", "Hi")]).prompt_tokens is None
    asker.ask([Message("user", "Hi")])
    assert len(seen) == 4 and seen[3]["max_completion_tokens"] == 50 and "temperature" not in seen[3]


def test_without_a_count_tokens_are_estimated_and_that_is_said(db: Database, workspace: Workspace, run: Run) -> None:
    def uncounted(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"choices": [{"message": {"content": said("tie")}}], "usage": {"x": -1}})

    report = here(db, workspace, run, ask("https://x/v1"), httpx.MockTransport(uncounted))
    assert not report.counted and report.prompt_tokens > 14 * 100 and report.ties == 8


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "file:///etc/passwd"}, "begins with https"),
        ({"model": " "}, "Name the endpoint's model"),
        ({"rows": 0}, "1 to 10,000 rows"),
        ({"most_cost": 1.0}, "needs the prices"),
        ({"price_in": -1.0}, "price in cannot be used"),
        ({"price_in": float("nan")}, "price in cannot be used"),
        ({"criteria": "x\ud800"}, "cannot be sent"),
        ({"criteria": "x" * 9000}, "criteria cannot be used"),
    ],
)
def test_what_cannot_be_asked_is_said(
    db: Database, workspace: Workspace, run: Run, fields: dict[str, object], words: str
) -> None:
    with pytest.raises((BadInput, BadSpec), match=words):
        judging.estimate(db, workspace, run.id, ask(**({"url": "https://x/v1"} | fields)))  # type: ignore[arg-type]


def test_a_damaged_or_older_judging_is_told(db: Database, workspace: Workspace, run: Run) -> None:
    with FakeJudge(lambda shown: said("tie")).open() as fake:
        here(db, workspace, run, ask(fake.url, rows=1))
    assert not judging.look_at_judge(workspace, run).stale
    report = workspace.evaluations / run.id / "report.json"
    report.write_text(report.read_text().replace('"held_out":"h"', '"held_out":"other"'))
    assert judging.look_at_judge(workspace, run).stale
    (workspace.evaluations / run.id / "judged.json").write_text("{")
    assert "cannot be read" in judging.look_at_judge(workspace, run).standing.words
    shutil.rmtree(workspace.evaluations / run.id)
    with pytest.raises(BadInput, match="not evaluated yet"):
        judging.estimate(db, workspace, run.id, ask("https://x/v1"))


def test_people_who_voted_on_the_same_answers_are_held_against_it(db: Database, workspace: Workspace, run: Run) -> None:
    def vote(number: int, base: str, tuned: str, choose: Callable[[int], str]) -> None:
        sides = (Side("", "Base", "", base), Side(run.id, "Run 1", "", tuned))
        turns = [Message("user", f"Question {number}?")]
        made = comparing.save_comparison(db, ME, run.project_id, turns, sides, {})
        comparing.vote(db, ME, made.id, 1, 0, choose(number))

    for number in range(7):
        vote(number, ANSWERS[number][1], ANSWERS[number][2], lambda n: "left" if n < 5 else "right")
    vote(0, "other words", ANSWERS[0][2], lambda n: "right")
    with FakeJudge(lambda shown: said(fair(shown))).open() as fake:
        report = here(db, workspace, run, ask(fake.url))
    found = judging.agreement_with_people(db, workspace, run, report)
    assert found is not None and (found.votes, found.agreed) == (7, 6) and found.kappa is not None
    assert found.kappa == pytest.approx((6 / 7 - 32 / 49) / (1 - 32 / 49))


def test_criteria_begin_with_those_last_used_and_a_named_key_goes_only_to_its_address(
    db: Database, workspace: Workspace, run: Run
) -> None:
    assert "what the question asks" in judging.criteria_of(db, workspace, run.project_id)
    save_endpoint(workspace, "https://mine/v1", "any", KEY)
    assert judging._order(db, workspace, run.id, ask("https://mine/v1"), "").endpoint.key == KEY
    assert judging._order(db, workspace, run.id, ask("https://other/v1"), "").endpoint.key == ""
    with FakeJudge(lambda shown: said("tie")).open() as fake:
        here(db, workspace, run, ask(fake.url, rows=1, criteria="Mine."))
    assert judging.criteria_of(db, workspace, run.project_id) == "Mine."
