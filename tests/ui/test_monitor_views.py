"""What the Monitor tab shows, as HTML: escaped, with units, empty where nothing was served; and its forms' values."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import gradio as gr
import pytest

from storage.projects import create_project
from storage.records import Turn
from storage.rules import begin_retraining, set_step
from storage.serving_records import KeptRequest, NewRequest
from storage.traffic import add_traffic
from storage.watches import add_drift, end_alert, raise_alert
from studio.context import Studio
from studio.deploy.drifting import KeptDrift
from studio.deploy.label_these import Candidate, Labeled
from studio.deploy.monitoring import KINDS, Alert, Bucket, Monitor
from studio.deploy.rules import Retraining, Rules, get_rules
from studio.errors import BadInput, StudioError
from studio.ui import monitor, monitor_alerts, monitor_prompts, monitor_rules
from studio.ui.components.monitor_list import taken_ids
from studio.ui.components.monitor_plot import small_bars, small_lines
from studio.ui.monitor_stations import history_html, retraining_html, stations
from studio.ui.monitor_views import (
    WINDOWS,
    alerts_html,
    candidates_html,
    drift_html,
    figures_html,
    figures_table,
    notice_of,
)
from studio.ui.work import Work
from tests.ui.conftest import EVIL, WHEN, read, run, tags

BUSY = Bucket(
    *(WHEN, 200, 190, 4, 5, 1, 120.4, 951.6, 30.0, 80.0, 4000, 9500, 50.0, 30, 10, 100, 7, 20, 1, 0.8),
)


def seen(*buckets: Bucket, whole: Bucket = BUSY) -> Monitor:
    """A monitor of an hour."""
    return Monitor("p", WHEN - timedelta(hours=1), WHEN, 60.0, buckets or (BUSY,), whole, None, ())


def test_the_figures_have_units_and_what_they_rest_on() -> None:
    shown = read(figures_html(seen(), "hour", WHEN))
    for words in ("200", "120 p50 · 952 p95", "Latency (ms)", "190.0", "2.0 %", "4 of 200 requests", "75 %"):
        assert words in shown
    assert "30 up · 10 down" in shown and "7 of 100 answers with text kept" in shown and "1 hour ago" in shown
    assert "5.0 %" in shown and "each step 1 minute" in shown


def test_nothing_served_says_where_to_start() -> None:
    assert "Nothing was served yet: start a server in Deploy" in read(figures_html(seen(), "day", None))
    quiet = seen(Bucket(WHEN), whole=Bucket(WHEN))
    assert "None in this time: the newest came" in read(figures_html(quiet, "day", WHEN))
    assert figures_table(quiet) == "" and "951" not in figures_html(quiet, "day", WHEN)


def test_each_figure_has_a_plot_that_says_what_it_is() -> None:
    plots = tags(figures_html(seen(BUSY, Bucket(WHEN), BUSY), "week", WHEN), "svg")
    assert len(plots) == 8 and all(plot["aria-label"] for plot in plots)
    assert "952" in read(figures_table(seen()))


def test_lines_break_where_nothing_says_and_axes_are_round() -> None:
    svg = small_lines([[1.0, 2.0, None, 37.0, None]], None, EVIL)
    assert len(tags(svg, "polyline")) == 1 and len(tags(svg, "circle")) == 1
    assert ">40<" in svg and ">20<" in svg and tags(svg, "svg")[0]["aria-label"] == EVIL
    assert ">100 %<" in small_lines([[0.9]], 0.05, "", per_cent=True)
    assert ">1<" in small_lines([[None, None]], None, "") and "nan" not in small_lines([[float("nan")]], None, "")


def test_bars_go_both_ways() -> None:
    bars = tags(small_bars([0, 3, 10], [0, 2, 0], ""), "rect")
    assert [bar["class"] for bar in bars] == ["bar", "bar", "bar down"]
    assert float(bars[1]["height"] or 0) > 3 * float(bars[0]["height"] or 0) * 0.99


def alert(kind: str, value: float, limit: float, **other: Any) -> Alert:
    """An open alert."""
    return replace(Alert(1, "p", kind, value, limit, WHEN, None, ""), **other)


def test_open_alerts_are_sentences_and_past_ones_a_table() -> None:
    past = alert("feedback", 0.4, 0.7, ended_at=WHEN, delivery=EVIL)
    shown = read(alerts_html([alert("p95_ms", 912.3, 500), past], True))
    assert "Latency p95 (ms) rose to 912 ms (limit 500 ms)" in shown and "1 past alert" in shown
    assert "40 %" in shown and "70 %" in shown and EVIL in shown
    assert "fell to 40 %" in read(notice_of(replace(past, ended_at=None)))
    assert "fell to p\xa0=\xa00.003 (limit p\xa0=\xa00.010)" in read(notice_of(alert("drift", 0.003, 0.01)))
    assert EVIL in read(notice_of(alert(EVIL, 1, 2)))


def test_without_alerts_it_says_why() -> None:
    assert "No limit is set" in alerts_html([], False) and "within its limit" in alerts_html([], True)


def test_limits_are_typed_in_per_cent_and_kept_as_shares(studio: Studio) -> None:
    assert set(monitor_alerts.LABELS) == set(KINDS)
    given = [500.0, 5.0, 70.0, None, None, 12.0, 0.01]
    found = monitor_alerts.limits_of(given)
    assert found == {"p95_ms": 500, "error_rate": 0.05, "feedback": 0.7, "tokens_per_second": 12, "drift": 0.01}
    with pytest.raises(BadInput, match="between 0 and 100 %"):
        monitor_alerts.limits_of([None, 101.0, *[None] * 5])
    project = create_project(studio.db, "Support")
    monitor_alerts.set_watch(studio.db, project.id, found, "me", "https://example.org/x")
    assert monitor_alerts.form_values(studio, project.id)[:8] == [*given, "https://example.org/x"]


REPORT: dict[str, object] = {
    **{"sentence": EVIL, "snapshot": EVIL, "window": ["2026-11-01T00:00:00+00:00", "2026-11-08T00:00:00+00:00"]},
    **{"before": 412, "now": 233, "p": 0.0001, "p_meaning": 0.001, "distance": 0.031, "p_length": 0.21},
    **{
        "length_before": 44.0,
        "length_now": 51.0,
        "p_languages": 0.5,
        "languages": {EVIL: [0.9, 0.8], "de": [0.1, 0.2]},
    },
    "topics": [{"share": 0.33, "prompts": [EVIL, "Crypto?"], "requests": ["a", "b", "c"]}],
}


def test_drift_says_what_was_compared() -> None:
    shown = read(drift_html(KeptDrift(1, "p", "s", True, REPORT, WHEN)))
    assert shown.count(EVIL) == 3 and "3.1 % apart" in shown and "44 → 51 characters" in shown
    assert "p\xa0<\xa00.001" in shown and "33 % of the prompts, 3 requests" in shown and "Crypto?" in shown
    assert "Nobody has looked yet" in read(drift_html(None))
    odd = {"topics": 3, "window": None, "languages": None, "p": "x"}
    assert "the last days" in read(drift_html(KeptDrift(1, "p", "s", False, odd, WHEN)))


def request(number: int, said: str = EVIL) -> KeptRequest:
    """A request with its text."""
    turns = (Turn("system", "Help."), Turn("user", said), Turn("assistant", f"{said} no"))
    return KeptRequest(f"r{number}{EVIL}", WHEN, "p", "", turns, 0.31, -1)


def test_candidates_stand_by_reason_with_prompt_and_answer() -> None:
    html = candidates_html(
        [Candidate(request(1), "low-rated"), Candidate(request(2, "x" * 5000), "unsure")], {"unsure": 4}
    )
    shown = read(html)
    assert EVIL in shown and f"{EVIL} no" in shown and "confidence 0.31" in shown and "Thumb down" in shown
    assert [one["data-row"] for one in tags(html, "input") if "data-row" in one] == [f"r1{EVIL}", f"r2{EVIL}"]
    assert "4 requests became examples so far" in shown and "x" * 700 not in shown and "New topic" not in shown
    assert "Nothing to label here" in read(candidates_html([], {}))


def test_what_became_of_the_chosen_is_told_in_full() -> None:
    done = Labeled(["a", "b"], waiting=1, taken=4, left_out=1)
    words = monitor_prompts.outcome(done, 7)
    assert "2 new examples in the labeling queue." in words and "2 requests asked the same" in words
    assert "1 not taken: no prompt of a user" in words and "2 not taken: somebody else took them" in words
    assert monitor_prompts.outcome(Labeled(["a"], taken=1), 1) == "1 new example in the labeling queue."


def test_a_browser_may_send_anything_as_ids() -> None:
    def sent(data: object) -> list[str]:
        event = gr.EventData(None, None)
        event._data = data  # type: ignore[assignment]
        return taken_ids(event)

    assert sent({"ids": ["a", 3]}) == ["a", "3"] and sent({"ids": "abc"}) == [] == sent(None)
    assert len(sent({"ids": ["x" * 900] * 5000})) == 1000 and len(sent({"ids": ["x" * 900]})[0]) == 200


RETRAINING = Retraining(
    *("r", 2, "p", (EVIL,), 300, "rules", "starter", {}, "run-0", "evaluate", WHEN, "snap", "run-1", EVIL, WHEN, None)
)


def test_a_retraining_is_a_line_of_stations() -> None:
    html = retraining_html(RETRAINING, run(state="done"))
    assert EVIL in read(html) and [one["class"] for one in tags(html, "li")] == [*["done"] * 3, "now", "ahead", "ahead"]
    first = replace(RETRAINING, champion_id="", step="train")
    assert [name for name, _ in stations(first, None)] == ["snapshot", "preflight", "train", "evaluate", "decide"]
    assert "step 5 of 20" in read(retraining_html(first, run()))
    assert "Never retrained" in read(retraining_html(None, None))


@pytest.mark.parametrize(
    ("step", "run_id", "state", "classes"),
    [
        ("promoted", "run-1", "done", ["done"] * 6 + ["end promoted"]),
        ("kept", "run-1", "done", ["done"] * 6 + ["end kept"]),
        ("failed", "run-1", "failed", ["done", "done", "ended", "ahead", "ahead", "ahead", "end failed"]),
        ("kept", "", "", ["done", "ended", *["ahead"] * 4, "end kept"]),
    ],
)
def test_an_ended_one_shows_where_and_why(step: str, run_id: str, state: str, classes: list[str]) -> None:
    ended = replace(RETRAINING, step=step, run_id=run_id, ended_at=WHEN, message="Kept: not better.")
    html = retraining_html(ended, run(state=state) if run_id else None)
    assert [one["class"] for one in tags(html, "li")] == classes and "Kept: not better." in read(html)
    assert EVIL in read(history_html([ended]))


def test_rules_are_off_while_their_field_is_empty() -> None:
    assert monitor_rules.rules_of(None, None, False, None) == Rules() == monitor_rules.rules_of(0, 0, False, 0)
    assert monitor_rules.rules_of(200, 0.5, True, 70) == Rules(200, 0.5, True, 0.7)
    with pytest.raises(BadInput, match="whole numbers"):
        monitor_rules.rules_of(1.5, None, False, None)


def test_saved_rules_come_back_as_they_were_typed(studio: Studio) -> None:
    project = create_project(studio.db, "Support")
    assert "No rule is on" in str(monitor_rules.form_values(studio, project.id)[4])
    monitor_rules.set_rules(studio.db, project.id, monitor_rules.rules_of(200, None, True, 55), "me")
    assert monitor_rules.form_values(studio, project.id)[:4] == [200, None, True, 55.0]
    kept = get_rules(studio.db, project.id)
    assert kept and kept.rules.feedback_below == 0.55


def serve_one(studio: Studio, project_id: str, number: int) -> None:
    """A request that was just served."""
    said = (Turn("user", "Where is it?"), Turn("assistant", "There."))
    given = ("m", "", "", "chat", 200, "stop", 1, 2, 0.0, None, 5.0, 0.2, None, False, said)
    add_traffic(studio.db, "s", number, [NewRequest(f"q{number}", WHEN.now(WHEN.tzinfo), project_id, *given)], [])


def test_a_tick_shows_only_what_is_new(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    project, looks = create_project(studio.db, "Support"), monitor_prompts.Looks()
    monkeypatch.setattr(monitor, "_minute", lambda: "12:00")
    first = monitor.shown(studio, looks, project.id, "hour", ())
    again = monitor.shown(studio, looks, project.id, "hour", first[-1])  # type: ignore[arg-type]
    assert "Nothing was served yet" in str(first[0]) and again[0] == again[2] == again[6] == gr.skip()
    serve_one(studio, project.id, 1)
    after = monitor.shown(studio, looks, project.id, "hour", first[-1])  # type: ignore[arg-type]
    assert "of 1 answer<" in str(after[0]) and after[-2].active is False  # type: ignore[attr-defined]


def test_the_timer_runs_only_while_something_is_at_work(studio: Studio) -> None:
    project = create_project(studio.db, "Support")
    assert not monitor.at_work(studio, project.id)
    begun = begin_retraining(studio.db, project.id, ["x"], 3, "me", "starter", {}, "", WHEN)
    assert monitor.at_work(studio, project.id)
    set_step(studio.db, begun, "cancelled", WHEN, "Cancelled.")
    assert not monitor.at_work(studio, project.id)


def test_requests_are_taken_once_and_the_rest_is_told(studio: Studio) -> None:
    project = create_project(studio.db, "Support")
    for number in (1, 2):
        serve_one(studio, project.id, number)
    assert "1 new example" in monitor_prompts.take(studio, project.id, ["q1"])
    words = monitor_prompts.take(studio, project.id, ["q1", "q2", EVIL])
    assert "1 request asked the same" in words and "2 not taken: somebody else" in words
    with pytest.raises(BadInput, match="tick the boxes"):
        monitor_prompts.take(studio, project.id, [])


def test_a_look_for_drift_that_cannot_be_says_why(studio: Studio) -> None:
    project, looks = create_project(studio.db, "Support"), monitor_prompts.Looks()
    monitor_prompts.begin_look(studio, looks, project.id)
    while looks[project.id].running(1):
        pass
    assert isinstance(looks[project.id].result, StudioError)
    assert "There is no snapshot" in read(monitor_prompts.drift_of(studio, looks, project.id))


def test_a_second_look_waits_for_the_first(studio: Studio) -> None:
    def until_cancelled(work: Work[Any]) -> Any:
        while not work.cancelled():
            time.sleep(0.01)

    looks = monitor_prompts.Looks(p=Work(until_cancelled, "x"))
    with pytest.raises(BadInput, match="already"):
        monitor_prompts.begin_look(studio, looks, "p")
    looks["p"].cancel()


def test_another_project_shows_none_of_it(studio: Studio) -> None:
    mine, other = create_project(studio.db, "Mine"), create_project(studio.db, "Other")
    raise_alert(studio.db, mine.id, "error_rate", 0.5, 0.1, WHEN)
    add_drift(studio.db, mine.id, "s", True, REPORT, WHEN)
    serve_one(studio, mine.id, 1)
    shown = [str(one) for one in monitor.shown(studio, monitor_prompts.Looks(), other.id, "day", ())]
    assert "Nothing was served yet" in shown[0] and not any("rose to" in one or "Crypto?" in one for one in shown)
    end_alert(studio.db, mine.id, "error_rate", WHEN)
    assert set(WINDOWS) == {"hour", "day", "week", "month"}
