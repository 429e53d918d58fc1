"""An answer's sources: the nearest pairs, those by gradient, what is kept for the next question, and the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.contract.events import EventWriter, read_all
from studio.contract.spec import SPEC_FILE
from studio.contract.why import WhyReport, WhySpec, read_report
from studio.errors import BadInput, NotFound
from studio.why.kept import Kept
from studio.why.sources import look
from tests import tiny
from tests.why.planted import planted
from tests.why.test_gradients import trained

Ask = Callable[..., WhySpec]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Makes questions to a run, with a cache of the test's own."""

    def make(run: Path, prompt: str, **fields: object) -> WhySpec:
        turns = ({"role": "user", "content": prompt},)
        return WhySpec.model_validate(
            {"run": run, "cache": tmp_path / "cache", "turns": turns, "device": "cpu", **fields}
        )

    return make


def looked(folder: Path, spec: WhySpec) -> WhyReport:
    """The report of a question, answered in this process."""
    folder.mkdir(exist_ok=True)
    events = EventWriter(folder)
    try:
        return look(folder, spec, events)
    finally:
        events.close()


def test_nearest_and_by_gradient_and_the_second_question(tmp_path: Path, ask: Ask) -> None:
    run, (prompt, answer) = trained(tmp_path, "llama", "lora"), tiny.pairs(16)[6]
    asked = ask(run, prompt, answer=answer, gradients=True)
    found = looked(tmp_path / "first", asked)
    assert (found.rows, found.compared, found.note) == (16, 16, "")
    for sources in (found.nearest, found.by_gradient or ()):
        assert len(sources) == 5 and [one.score for one in sources] == sorted(
            (one.score for one in sources), reverse=True
        )
        assert (sources[0].row, sources[0].prompt, sources[0].answer) == (7, prompt, answer)
        assert sources[0].score > 0.99 and sources[0].example_id == "train-6"
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")}
    again = looked(tmp_path / "second", asked)
    assert again == found == read_report(tmp_path / "second")
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")}


def test_only_the_nearest_are_compared_where_there_are_many(tmp_path: Path, ask: Ask) -> None:
    run, (prompt, answer) = trained(tmp_path, "llama", "lora"), tiny.pairs(16)[2]
    found = looked(tmp_path / "job", ask(run, prompt, answer=answer, gradients=True, candidates=4))
    assert found.compared == 4 and "4 nearest of 16" in found.note
    assert {one.row for one in found.by_gradient or ()} <= {one.row for one in found.nearest}


def test_the_model_is_asked_where_no_answer_is_given(tmp_path: Path, ask: Ask) -> None:
    run = trained(tmp_path, "bert", "lora")
    found = looked(tmp_path / "job", ask(run, "Where is the kettle?", gradients=True))
    assert found.answer in ("kettle", "order", "Monday") and found.by_gradient
    with pytest.raises(BadInput, match="not among"):
        looked(tmp_path / "other", ask(run, "Where?", answer="the moon", gradients=True))


def test_a_run_without_weights_is_told(tmp_path: Path, ask: Ask) -> None:
    with pytest.raises(NotFound, match="no fine-tuned weights"):
        looked(tmp_path / "job", ask(tmp_path, "Where?", answer="There."))


def test_a_damaged_file_of_vectors_counts_as_not_there(tmp_path: Path) -> None:
    kept = Kept(tmp_path, what="test")
    kept.add([1, 2], [[1.0, 0.0], [0.0, 1.0]])
    (kept.folder / "half.safetensors").write_bytes(b"half")
    assert kept.rows() == {1, 2} and len(list(kept.folder.iterdir())) == 1
    assert Kept(tmp_path, what="other").rows() == set()


def test_the_process_says_how_it_goes(tmp_path: Path, ask: Ask) -> None:
    run, job = trained(tmp_path, "llama", "lora"), tmp_path / "job"
    job.mkdir()
    (job / SPEC_FILE).write_text(ask(run, "Where is order 6?", answer="It left.").model_dump_json())
    done = subprocess.run([sys.executable, "-m", "studio.why", str(job)], env={**os.environ}, check=False)
    events = read_all(job)
    assert done.returncode == 0 and events[-1].data == {"state": "done"}
    steps = [event.data for event in events if event.kind == "step"]
    assert steps[-1]["step"] == steps[-1]["steps"] and "16 of 16" in json.dumps(steps[-1])


def test_the_only_pair_that_taught_an_answer_is_among_the_first_five(tmp_path: Path, ask: Ask) -> None:
    pairs, facts = planted(10)
    run = taught(tmp_path, pairs)
    hits = {"nearest": 0, "by_gradient": 0}
    for number, fact in enumerate(facts):
        answer = pairs[fact.row - 1][1]
        found = looked(tmp_path / f"job{number}", ask(run, fact.question, answer=answer, gradients=True))
        for name in hits:
            hits[name] += fact.row in [one.row for one in getattr(found, name)]
    assert min(hits.values()) >= 8, hits


def taught(root: Path, pairs: list[tuple[str, str]]) -> Path:
    """A run whose model has learnt facts like these ones before, and then these."""
    from studio.training.ending import run_to_end

    few = {"samples": 0, "held_out_rows": 0, "evaluations": 0, "checkpoints": 0}
    before = tiny.make_snapshot(root / "before", planted(12, seed=1)[0])
    base = tiny.make_model(root / "random")
    first = tiny.make_run(
        root / "first", before, root / "models", base, method="full", epochs=12, learning_rate=8e-3, **few
    )
    assert run_to_end(first) == 0
    snapshot = tiny.make_snapshot(root / "facts", pairs)
    more = {"lora_rank": 16, "epochs": 10, "learning_rate": 1e-2}
    run = tiny.make_run(root / "taught", snapshot, root / "models", first / "model", **more, **few)
    assert run_to_end(run) == 0
    return run
