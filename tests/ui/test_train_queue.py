"""The queue, the devices and the costs as the Train tab shows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import gradio as gr
import pytest

from storage.queued import Job
from studio.context import Studio
from studio.jobs.accounting import Compute, Cost, Quota
from studio.jobs.devices import Device, Sample
from studio.jobs.queueing import Place
from studio.ui.components.queue_list import acted
from studio.ui.train_plan import plan_html
from studio.ui.train_queue import shown
from studio.ui.train_queue_views import costs_html, devices_html, plan_cost, queue_html
from studio.ui.train_views import run_view, summary_html
from tests.ui.conftest import EVIL, read, run, tags
from tests.ui.test_train_plan import PLAN

GB = 2**30
NOW = datetime(2026, 11, 22, tzinfo=UTC)
JOB = Job(EVIL, "run", "p", EVIL, "waiting", 3, 1, "auto", "", 3 * GB, 0, 0, 0, EVIL, NOW, NOW)


def test_each_job_shows_its_place_its_reason_and_what_can_be_done() -> None:
    at_work = replace(JOB, state="running", on_device="cuda:0")
    places = [
        Place(at_work, EVIL, 0),
        Place(JOB, EVIL, 1),
        Place(JOB, "b", 2),
        Place(replace(JOB, state="paused", reason=""), "c", 0),
    ]
    html = queue_html(places)
    said = read(html)
    for part in ("on cuda:0", "plans 3.0 GB", "priority 3", EVIL, "paused: the device is free"):
        assert part in said
    acts = [tag["data-act"] for tag in tags(html, "button")]
    first, second = ["raise", "lower", "pause", "cancel"], ["up", "raise", "lower", "pause", "cancel"]
    assert acts == ["pause", *first, *second, "resume", "cancel"]
    assert all(tag.get("data-sure") for tag in tags(html, "button") if tag["data-act"] == "cancel")
    assert "starts at the click" in read(queue_html([]))


def test_no_gpu_is_said_plainly_and_charts_need_two_looks() -> None:
    cpu = Device("cpu", EVIL, 16 * GB, 4 * GB, utilisation=0.5)
    assert "There is no GPU here" in read(devices_html([cpu], {}))
    line = [Sample(float(at), 0.1 * at, 0.75) for at in range(5)]
    html = devices_html([cpu], {"cpu": line})
    assert "50 % busy" in read(html) and len(tags(html, "polyline")) == 2
    gpu = Device("cuda", "H100", 80 * GB, 8 * GB, temperature=61.0, watts=300.0)
    html = devices_html([gpu, cpu], {"cuda:0": [Sample(0, None, 0.9), Sample(2, None, 0.9)]})
    assert "no GPU" not in read(html) and "61 °C · 300 W" in read(html) and len(tags(html, "polyline")) == 1


def test_costs_name_energy_and_price_only_where_there_are_any() -> None:
    took = Cost("", 1.5, 12_000, None, 0.0)
    assert "1.500" in read(costs_html(took, [(EVIL, took)], [], Compute())) and "EUR" not in read(
        costs_html(took, [], [], Compute())
    )
    dear = Cost("", 1.5, 12_000, 300.0, 3.75)
    said = read(costs_html(dear, [], [Quota(EVIL, 1.5, 10.0)], Compute({"cuda": 2.5})))
    assert "300.0 Wh" in said and "3.75 EUR" in said and EVIL in said
    assert "Nothing of this project" in read(costs_html(Cost("", 0, 0, None, 0), [], [], Compute()))


def test_the_plan_says_its_price_before_the_click() -> None:
    more = plan_cost(Compute({"cpu": 60.0}), PLAN, Quota("me", 1.0, 5.0))
    assert more == {"Cost": "~3.40 EUR", "Your hours": "1.0 of 5"} and "~3.40 EUR" in read(plan_html(PLAN, more))
    assert plan_cost(Compute(), PLAN, Quota("me", 1.0, None)) == {}


@pytest.mark.parametrize(("state", "words"), [("waiting", "Waits for 3.1 GB"), ("paused", "Waits for 3.1 GB")])
def test_a_run_that_waits_says_why_and_can_be_stopped_or_resumed(studio: Studio, state: str, words: str) -> None:
    found = run(state=state, message="Waits for 3.1 GB; 1.2 GB free on cuda:0.")
    assert words in read(summary_html(found, [], {"Device-hours": "0.5"}))
    view = run_view(studio, found)
    assert (view.active, view.resumable) == (state == "waiting", state == "paused")


def test_an_empty_studio_shows_its_queue_devices_and_costs(studio: Studio) -> None:
    queue, devices, costs, timer = shown(studio, None)
    assert "Nothing waits" in read(str(queue)) and "CPU" in read(str(devices)) and "Nothing of" in read(str(costs))
    assert isinstance(timer, gr.Timer) and not timer.active


def test_anything_may_stand_in_an_act() -> None:
    event = type("Event", (), {"_data": {"act": 7, "id": "x" * 999}})()
    assert acted(event) == ("7", "x" * 60)  # type: ignore[arg-type]
    assert acted(type("Event", (), {"_data": None})()) == ("", "")  # type: ignore[arg-type]
