"""Another run takes over a name while clients ask: no request fails, none waits long, and each is one run's answer."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from studio.contract.events import read_all
from studio.contract.serving import write_names
from studio.errors import BadInput
from studio.serving.names import NameTable
from tests.serving.conftest import House, Start, turns, wait_for

NAME = "Mail@production"


def answer(house: House, model: str = NAME) -> str:
    settings = {"messages": turns(), "max_tokens": 12, "temperature": 0}
    return str(house.client().chat.completions.create(model=model, **settings).choices[0].message.content)


def test_a_name_moves_under_load_without_a_failed_request(start: Start) -> None:
    house = start({NAME: "one", "old": "one", "new": "two"})
    old, new = answer(house, "old"), answer(house, "new")
    seen: list[str] = []
    failed: list[Exception] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            try:
                seen.append(answer(house))
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    for run, expected in (("two", new), ("one", old), ("two", new)):
        wait_for(lambda: len(seen) > 5)
        write_names(house.folder, {NAME: run})
        wait_for(lambda run=run: house.server._names.names[NAME] == run)
        seen.clear()
        wait_for(lambda: len(seen) > 20)
        assert set(seen[8:]) == {expected}  # the first ones were asked before
    over.set()
    for thread in threads:
        thread.join()
    assert not failed and set(seen) <= {old, new}


def test_a_request_that_runs_finishes_on_the_run_it_began_with(start: Start, slow: None) -> None:
    house = start({NAME: "one"})
    alone = answer(house)
    stream = house.client().chat.completions.create(
        model=NAME, messages=turns(), max_tokens=60, temperature=0, stream=True
    )
    first = next(iter(stream))
    write_names(house.folder, {NAME: "two"})
    wait_for(lambda: house.server._names.names[NAME] == "two")
    rest = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert ((first.choices[0].delta.content or "") + rest).startswith(alone)
    assert answer(house) != alone


def test_a_new_name_is_there_and_a_removed_one_is_gone(start: Start) -> None:
    house = start({"a": "one"})
    write_names(house.folder, {"b": "two", "plain": ""})
    wait_for(lambda: [model.id for model in house.client().models.list()] == ["base", "b", "plain"])
    assert answer(house, "plain") == answer(house, "base")
    told = [event.data["names"] for event in read_all(house.folder) if "names" in event.data]
    assert told[-1] == {"base": "", "b": "two", "plain": ""}


def test_a_run_that_cannot_be_loaded_leaves_its_name_where_it_was(start: Start) -> None:
    house = start({NAME: "one"})
    before = answer(house)
    write_names(house.folder, {NAME: "nowhere", "other": "two"})
    wait_for(lambda: "other" in house.server._names.names)
    assert answer(house) == before
    warnings = [str(event.data["message"]) for event in read_all(house.folder) if event.kind == "warning"]
    assert warnings and "nowhere" in warnings[0]


def test_a_damaged_table_changes_nothing(tmp_path: Path) -> None:
    warned: list[str] = []
    loaded: list[str] = []
    write_names(tmp_path, {"a": "one"})
    table = NameTable(tmp_path, loaded.append, warned.append)
    table.start()
    (tmp_path / "serving.json").write_text('{"names": {"a": "../../etc"}}')
    assert not table.look() and table.names == {"base": "", "a": "one"} and len(warned) == 1
    assert not table.look() and len(warned) == 1
    (tmp_path / "serving.json").unlink()
    assert not table.look() and table.names["a"] == "one" and loaded == ["one"]


def test_weights_are_in_memory_before_their_name_is(tmp_path: Path) -> None:
    order: list[object] = []
    table = NameTable(tmp_path, lambda run: order.append((run, dict(table.names))), order.append)
    table.start()
    write_names(tmp_path, {"a": "one"})
    assert table.look() and order == [("one", {"base": ""})] and table.names["a"] == "one"

    def refuse(run: str) -> None:
        raise BadInput("No.")

    table._load = refuse
    time.sleep(0.01)
    write_names(tmp_path, {"a": "two"})
    assert not table.look() and table.names["a"] == "one"
