"""Slow work behind a handler: progress, result, failure, cancel."""

from __future__ import annotations

import threading

from studio.errors import BadInput, StudioError
from studio.ui.work import Work


def ended(work: Work) -> Work:
    while work.running(0.1):
        pass
    return work


def test_progress_is_shown_while_it_runs_and_the_result_afterwards() -> None:
    gate = threading.Event()

    def run(work: Work[str]) -> str:
        work.note(0.5, "Half of it")
        gate.wait()
        return "all"

    work = Work(run, "It failed")
    while "Half" not in work.html(str):
        assert work.running(0.01)
    gate.set()
    assert ended(work).html(lambda result: f"<b>{result}</b>") == "<b>all</b>"


def test_an_error_of_ours_is_told_as_it_stands_and_a_bug_by_its_sentence() -> None:
    def refused(work: Work[str]) -> str:
        raise BadInput("Choose a <file> first.")

    def broken(work: Work[str]) -> str:
        raise ValueError("secret")

    assert "Choose a &lt;file&gt; first." in ended(Work(refused, "It failed")).html(str)
    work = ended(Work(broken, "It failed"))
    assert isinstance(work.result, StudioError) and "It failed: the app&#x27;s log" in work.html(str)
    assert "secret" not in work.html(str)


def test_it_is_told_to_end() -> None:
    def run(work: Work[str]) -> str:
        while work.note(0.0, "On"):
            threading.Event().wait(0.01)
        return "ended"

    work = Work(run, "It failed")
    assert not work.cancelled()
    work.cancel()
    assert ended(work).result == "ended"
