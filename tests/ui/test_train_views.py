"""What the Train tab shows of a run."""

from __future__ import annotations

import pytest

from storage.runs import NewEvent, create_run, get_run, take_up_events
from studio.context import Studio
from studio.ui.train_views import RunView, log_html, run_view, runs_html, samples_html, summary_html
from tests.ui.conftest import EVIL, WHEN, event, read, run, tags


@pytest.mark.parametrize("state", ["training", "failed", "stopped", "done", "loading", EVIL])
def test_hostile_text_of_a_run_stays_text_in_every_state(state: str) -> None:
    found = run(
        state=state, message=EVIL, base_model=EVIL, device=EVIL, snapshot_id=EVIL, id=EVIL, spec={"epochs": EVIL}
    )
    said = read(summary_html(found, [event("warning", {"message": EVIL})]))
    assert said.count(EVIL) >= 2
    read(runs_html([found], EVIL))
    assert EVIL in read(log_html(found, EVIL))


def test_a_run_at_work_shows_step_speed_and_time_left() -> None:
    said = read(summary_html(run(), []))
    assert "Step 5 of 20 · 1:05 min left" in said
    assert "123 tok/s" in said and "1.5 GB" in said


def test_each_end_says_what_can_be_done() -> None:
    assert "Resume goes on" in read(summary_html(run(state="stopped"), []))
    assert "no kettle" in read(summary_html(run(state="failed", message="no kettle"), []))
    done = read(summary_html(run(state="done", base_loss=2.5, tuned_loss=0.5), []))
    assert "2.500 → 0.500" in done and "left" not in done


def test_figures_that_are_not_known_are_left_out() -> None:
    unknown = run(state="starting", tokens_per_second=None, memory_bytes=None, device=None, steps=0, eta_seconds=None)
    said = read(summary_html(unknown, []))
    assert "tok/s" not in said and "None" not in said and "Starting the training process" in said


def test_the_list_marks_the_run_in_hand() -> None:
    html = runs_html([run(id="run-2", number=2), run()], "run-1")
    assert [("current" in str(tag["class"]), tag["data-id"]) for tag in tags(html, "button")] == [
        (False, "run-2"),
        (True, "run-1"),
    ]
    assert read(runs_html([], "")) == ""


def test_samples_show_prompt_and_both_answers_as_text() -> None:
    said = read(
        samples_html([event("sample", {"prompt": EVIL, "base": EVIL, "tuned": "It left."}), event("sample", {})])
    )
    assert said.count(EVIL) == 2 and "It left." in said
    assert samples_html([]) == ""


def test_the_log_does_not_name_folders_of_the_machine_and_is_never_blank() -> None:
    said = read(log_html(run(), ""))
    assert "/secret/place" not in said and '"epochs": 3' in said and "The log is empty." in said


def test_a_run_is_shown_whole_from_its_events(studio: Studio) -> None:
    create_run(studio.db, "run-1", "p", "s" * 16, EVIL, "{}", 4)
    folder = studio.workspace.runs / "run-1"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(EVIL, encoding="utf-8")
    rows = [
        ("step", {"step": 1, "loss": 3.0}),
        ("step", {"step": 2, "loss": None}),
        ("step", {"step": 3, "loss": EVIL}),
        ("metric", {"name": "validation_loss", "value": 2.0, "step": 2}),
        ("metric", {"name": EVIL, "value": 9.0, "step": 2}),
        ("sample", {"prompt": EVIL, "base": EVIL, "tuned": EVIL}),
        ("warning", {"message": EVIL}),
    ]
    events = [NewEvent(number, WHEN, kind, data) for number, (kind, data) in enumerate(rows, 1)]
    take_up_events(studio.db, "run-1", events, 1, {"state": "failed", "message": EVIL})
    view = run_view(studio, get_run(studio.db, "run-1"))
    assert "train 3.000" in view.chart and "validation 2.000" in view.chart
    for html in (view.summary, view.samples, view.log):
        assert EVIL in read(html)
    assert (view.active, view.resumable) == (False, True)


def test_a_run_whose_folder_is_gone_is_still_shown(studio: Studio) -> None:
    create_run(studio.db, "run-1", "p", "s" * 16, "starter", "{}", 4)
    take_up_events(studio.db, "run-1", [], 0, {"state": "failed", "message": "Its folder is gone."})
    view = run_view(studio, get_run(studio.db, "run-1"))
    assert "Its folder is gone." in read(view.summary)


def test_before_the_first_run_there_is_a_hint() -> None:
    nothing = RunView.nothing()
    assert "Pick a snapshot" in read(nothing.summary) and not nothing.active
