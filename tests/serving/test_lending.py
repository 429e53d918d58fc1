"""A server that nobody asks makes room for a job, and is back when the job has gone or somebody asks."""

from __future__ import annotations

import gc
import os
import time
import weakref

import openai
import pytest

from studio.contract.events import read_all
from studio.contract.serving import LOAN_FILE, LOAN_SECONDS, Loan, read_loan, write_loan, write_names
from studio.serving import resident
from tests.serving.conftest import NAMES, House, Start, turns, wait_for

LOAN = Loan(name="Run 3 of Support", jobs={"abc": 1})


def state_of(house: House) -> str:
    """What /health says."""
    return str(house._plain.get(f"{house.url}/health").json()["state"])


def said(house: House, model: str = "run-1") -> str:
    """A greedy answer."""
    answer = house.client().chat.completions.create(model=model, messages=turns(), temperature=0, max_tokens=8)
    return answer.choices[0].message.content or ""


def lent_to(house: House) -> list[str]:
    """To whom the memory went, as the events tell it."""
    return [str(event.data["lent_to"]) for event in read_all(house.folder) if "lent_to" in event.data]


def test_the_model_leaves_the_memory_and_is_back_with_the_same_answers(start: Start) -> None:
    house = start(lend_after_seconds=0.2)
    before = said(house), said(house, "base")
    model = weakref.ref(house.server._engine.engine().base.model)  # type: ignore[union-attr]
    write_loan(house.folder, LOAN)
    wait_for(lambda: lent_to(house) == ["", LOAN.name])
    assert state_of(house) == "lent"
    gc.collect()
    assert model() is None, "somebody still holds the model"
    write_loan(house.folder, None)
    wait_for(lambda: state_of(house) == "ready")
    wait_for(lambda: lent_to(house) == ["", LOAN.name, ""])
    assert (said(house), said(house, "base")) == before


def test_a_request_brings_it_back_beside_the_job_where_there_is_room(start: Start) -> None:
    house = start(lend_after_seconds=1.5)
    before = said(house)
    write_loan(house.folder, LOAN)
    wait_for(lambda: state_of(house) == "lent")
    assert said(house) == before
    assert state_of(house) == "ready"
    wait_for(lambda: state_of(house) == "lent")  # it goes again, as the job is still there


def test_a_request_is_refused_in_plain_words_where_there_is_no_room(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = start(lend_after_seconds=0.2)
    write_loan(house.folder, Loan(name="Run 3", jobs={"abc": 1 << 60}))
    wait_for(lambda: state_of(house) == "lent")
    with pytest.raises(openai.APIStatusError, match="lent to a job that trains") as caught:
        said(house)
    assert (caught.value.status_code, caught.value.code) == (503, "memory_lent")
    assert caught.value.response.headers["Retry-After"] == "60"
    write_loan(house.folder, None)
    monkeypatch.setattr(resident, "free_bytes", lambda device: 0)  # the job is gone, its memory not yet
    time.sleep(1.5)
    assert state_of(house) == "lent"
    monkeypatch.undo()
    wait_for(lambda: state_of(house) == "ready")


@pytest.mark.usefixtures("slow")
def test_nothing_is_lent_while_somebody_asks(start: Start) -> None:
    house = start(lend_after_seconds=0.2)
    write_loan(house.folder, LOAN)
    answer = house.client().chat.completions.create(
        model="base", messages=turns(), temperature=0, max_tokens=100, stream=True
    )
    seen = [state_of(house) for _, number in zip(answer, range(60), strict=False) if number % 20 == 0]
    assert seen and set(seen) == {"ready"}


@pytest.mark.parametrize("asked", [0.0, 3600.0])
def test_nothing_is_lent_that_is_not_to_be_or_not_yet(start: Start, asked: float) -> None:
    house = start(lend_after_seconds=asked)
    offered = [int(event.data["bytes"]) for event in read_all(house.folder) if "bytes" in event.data]  # type: ignore[call-overload]
    assert (offered[0] > 0) == (asked > 0)
    write_loan(house.folder, LOAN)
    time.sleep(1.5)
    assert state_of(house) == "ready"


def test_names_may_change_while_the_model_is_away(start: Start) -> None:
    house = start(lend_after_seconds=0.2)
    write_loan(house.folder, Loan(name="Run 3", jobs={"abc": 1 << 60}))
    wait_for(lambda: state_of(house) == "lent")
    write_names(house.folder, {**NAMES, "run-2": "two", "run-9": "gone"})
    wait_for(lambda: "run-2" in [model.id for model in house.client().models.list()])
    assert "run-9" not in [model.id for model in house.client().models.list()]
    assert state_of(house) == "lent"
    write_loan(house.folder, None)
    wait_for(lambda: state_of(house) == "ready")
    assert said(house, "run-2")


def test_a_loan_that_nobody_renews_or_that_is_damaged_is_none(start: Start) -> None:
    house = start()
    write_loan(house.folder, LOAN)
    assert read_loan(house.folder) == LOAN
    old = time.time() - LOAN_SECONDS - 1
    os.utime(house.folder / LOAN_FILE, (old, old))
    assert read_loan(house.folder) is None
    (house.folder / LOAN_FILE).write_text('{"name": "x", "jobs": {"a": -1}}')
    assert read_loan(house.folder) is None
    write_loan(house.folder, None)
    assert read_loan(house.folder) is None
