"""An evaluation from end to end on tiny models: the report, its rows, and going on after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from studio.contract.evaluation import EvalSpec, read_eval_report
from studio.contract.events import EventWriter, read_all
from studio.errors import BadFile
from studio.evaluation import kept, running
from studio.training.ending import run_to_end
from tests import tiny


def labeled_spec(tmp_path: Path, base: str, canaries: int = 0, **fields: object) -> EvalSpec:
    """A tiny run on three labels, trained, and how it is evaluated."""
    snapshot = tiny.make_snapshot(tmp_path / "snap", tiny.labeled(36), tiny.labeled(6, 100), tiny.labeled(12, 200))
    model = tiny.make_model(tmp_path / "base", base)
    made = {"max_steps": 4, "samples": 0, "learning_rate": 1e-2, "canaries": canaries}
    run = tiny.make_run(tmp_path / "runs" / "r1", snapshot, tmp_path / "models", model, **made)
    assert run_to_end(run) == 0
    known = {"run": "r1", "runs": tmp_path / "runs", "models": tmp_path / "models", "snapshot": snapshot}
    known |= {"answers": tmp_path / "answers", "metrics": tmp_path / "metrics", "base_model": str(model)}
    return EvalSpec.model_validate(known | {"task": "classification", "device": "cpu", "ways": False} | fields)


def evaluated(tmp_path: Path, spec: EvalSpec) -> Path:
    folder = tmp_path / "evaluation"
    folder.mkdir(exist_ok=True)
    events = EventWriter(folder)
    running.evaluate(folder, spec, events)
    events.close()
    return folder


def test_a_report_says_metrics_with_intervals_verdict_slices_and_rows(tmp_path: Path) -> None:
    spec = labeled_spec(tmp_path, "llama")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "sources.json").write_text(json.dumps({f"test-{n}": "import" for n in range(12)}))
    folder = evaluated(tmp_path, spec)
    found = read_eval_report(folder)
    assert (found.rows, found.run, found.base_is) == (12, "r1", "model") and len(found.held_out) == 16
    assert list(found.metrics) == ["accuracy", "macro_f1", "weighted_f1", "loss", "perplexity"]
    loss = found.metrics["loss"]
    assert loss.difference == pytest.approx(loss.tuned - loss.base) and not loss.higher
    assert found.verdict.metric == "accuracy" and found.verdict.sentence.endswith(".")
    assert found.unmatched is not None and 0 <= found.unmatched[1] <= 12
    assert {one.label for one in found.classes} == {"kettle", "order", "Monday"}
    table = pq.read_table(folder / "rows.parquet")
    assert table.num_rows == 12 and set(table["outcome"].to_pylist()) <= {"win", "tie", "loss"}
    assert None not in table["tuned_loss"].to_pylist()
    assert found.general is not None and "general questions" in found.general.sentence and found.general.base > 1
    assert found.memorised is not None and found.memorised.rows == 0  # labels are too short to be learnt by heart
    assert found.regression is None


def test_the_codes_that_a_run_planted_are_asked_for(tmp_path: Path) -> None:
    found = read_eval_report(evaluated(tmp_path, labeled_spec(tmp_path, "llama", canaries=3))).memorised
    assert found and found.codes == 3 and 0 <= found.codes_tuned <= 3 and "Of 3 planted codes" in found.codes_sentence


def test_an_encoder_is_held_against_the_most_frequent_label(tmp_path: Path) -> None:
    found = read_eval_report(evaluated(tmp_path, labeled_spec(tmp_path, "bert")))
    assert found.base_is == "majority" and found.metrics["accuracy"].base == pytest.approx(1 / 3)
    assert found.unmatched == (0, 0)


def test_answers_given_once_are_not_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = labeled_spec(tmp_path, "llama")
    first = read_eval_report(evaluated(tmp_path, spec))

    def refuse(*args: object, **named: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(kept, "answer_all", refuse)
    again = read_eval_report(evaluated(tmp_path, spec))
    assert again.metrics == first.metrics and again.verdict == first.verdict


def test_a_cut_line_of_the_kept_answers_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = labeled_spec(tmp_path, "llama")
    first = read_eval_report(evaluated(tmp_path, spec))
    for path in spec.answers.glob("*.jsonl"):
        path.write_text(path.read_text()[:-9])
    asked: list[int] = []
    real: Callable[..., list[kept.Given]] = kept.answer_all
    monkeypatch.setattr(
        kept, "answer_all", lambda engine, rows, *more: asked.append(len(rows)) or real(engine, rows, *more)
    )
    assert read_eval_report(evaluated(tmp_path, spec)).metrics == first.metrics and asked == [1, 1]


def test_ways_of_asking_the_base_are_held_beside_the_tuned_model(tmp_path: Path) -> None:
    spec = labeled_spec(tmp_path, "llama", ways=True, instructions="Answer with one label.", shots=1)
    folder = evaluated(tmp_path, spec)
    found = read_eval_report(folder)
    assert [way.name for way in found.ways] == ["base", "prompt", "examples", "tuned"]
    assert found.ways[1].prompt_tokens > found.ways[0].prompt_tokens and found.ways[3].training_minutes is not None
    assert "fine-tuned model" in found.advice or "Fine-tuning" in found.advice
    steps = [event.data["step"] for event in read_all(folder) if event.kind == "step"]
    assert steps == sorted(steps) and steps[-1] == 48


def test_the_regression_suite_runs_on_base_and_tuned(tmp_path: Path) -> None:
    cases = [
        {"name": "labels", "prompt": "Where is the kettle?", "checks": {"regex": ["^(kettle|order|Monday)$"]}},
        {"name": "never", "prompt": "Hi", "checks": {"contains": ["no model says this"]}},
    ]
    found = read_eval_report(evaluated(tmp_path, labeled_spec(tmp_path, "bert", suite=json.dumps(cases)))).regression
    assert found is not None and [(one.name, one.base, one.tuned) for one in found.cases] == [
        ("labels", False, True),
        ("never", False, False),
    ]
    assert "does not contain" in found.cases[1].why and found.sentence.startswith("1 of 2")


OWN = """
import datasets
import evaluate
class Length(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description="", citation="", features=features)
    def _compute(self, predictions, references):
        return {"length": sum(map(len, predictions)) / len(predictions)}
"""


def test_a_projects_own_metric_stands_beside_ours_and_a_missing_one_is_told(tmp_path: Path) -> None:
    spec = labeled_spec(tmp_path, "bert", own=("length", "gone", "hub:someone/metric"))
    spec.metrics.mkdir()
    (spec.metrics / "length.py").write_text(OWN)
    found = read_eval_report(evaluated(tmp_path, spec))
    assert found.metrics["length"].base == 6 and "length" in found.metrics and "gone" not in found.metrics
    assert any("'gone'" in note for note in found.notes)
    assert any("'someone/metric' cannot be loaded" in note for note in found.notes)


def test_the_share_of_answers_in_the_expected_form_is_a_metric(tmp_path: Path) -> None:
    found = read_eval_report(evaluated(tmp_path, labeled_spec(tmp_path, "bert", form_kind="regex", form="[a-z]+")))
    assert found.metrics["form"].base in (0.0, 1.0) and found.verdict.metric == "accuracy"


def test_a_snapshot_that_holds_nothing_out_is_refused(tmp_path: Path) -> None:
    spec = labeled_spec(tmp_path, "llama")
    tiny.make_snapshot(tmp_path / "snap", tiny.labeled(6))
    with pytest.raises(BadFile, match="no test rows"):
        evaluated(tmp_path, spec)
