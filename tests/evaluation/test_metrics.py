"""Each metric against the example values that its library publishes, loaded without network or cache; and one's own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.errors import BadFile, BadInput
from studio.evaluation.metrics import FILES, load_metric
from studio.evaluation.metrics.own import load_from_hub, load_own, score_with
from studio.evaluation.scoring import scored, scored_by

Load = Callable[[str], Any]

SACREBLEU = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
SACREBLEU_REFERENCES = [
    ["The dog bit the man.", "The dog had bit the man."],
    ["It was not unexpected.", "No one was surprised."],
    ["The man bit him first.", "The man had bitten the dog."],
]
"""The example in sacrebleu's README ("Using SacreBLEU from Python"): BLEU = 48.53, chrF2 = 59.73."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """load_metric with a folder of its own; nothing may appear in the caches under the home directory."""
    from evaluate import config

    home = tmp_path / "home"
    monkeypatch.setattr(config, "HF_METRICS_CACHE", home / "metrics")
    monkeypatch.setattr(config, "HF_MODULES_CACHE", home / "modules")
    yield lambda name: load_metric(name, tmp_path / "cache")
    assert not home.exists()


def texts(*values: int) -> list[str]:
    """Numbers as labels."""
    return [str(value) for value in values]


def test_accuracy_is_scikit_learns(load: Load) -> None:
    said, wanted = texts(0, 2, 1, 3), texts(0, 1, 2, 3)
    assert load("accuracy").compute(predictions=said, references=wanted) == {"accuracy": 0.5}
    assert load("accuracy").compute(predictions=["", "b"], references=["a", "b"]) == {"accuracy": 0.5}


def test_f1_is_scikit_learns(load: Load) -> None:
    said, wanted = texts(0, 2, 1, 0, 0, 1), texts(0, 1, 2, 0, 1, 2)
    found = load("macro_f1").compute(predictions=said, references=wanted)
    assert (round(found["macro_f1"], 3), round(found["weighted_f1"], 3)) == (0.267, 0.267)
    assert scored("macro_f1", said, wanted).value == pytest.approx(found["macro_f1"])
    assert load("macro_f1").compute(predictions=["a", ""], references=["a", "b"])["macro_f1"] == 0.5


def test_the_table_of_classes_is_scikit_learns_report(load: Load) -> None:
    found = load("per_class").compute(predictions=texts(0, 0, 2, 2, 1), references=texts(0, 1, 2, 2, 2))["per_class"]
    shares = [[round(row[name], 2) for name in ("precision", "recall", "f1")] for row in found]
    assert shares == [[0.5, 1.0, 0.67], [0.0, 0.0, 0.0], [1.0, 0.67, 0.8]]
    assert [row["support"] for row in found] == [1, 1, 3]


def test_the_confusion_matrix_is_scikit_learns_with_a_column_for_no_label(load: Load) -> None:
    wanted = ["cat", "ant", "cat", "cat", "ant", "bird", "bird"]
    said = ["ant", "ant", "cat", "cat", "ant", "cat", ""]
    found = load("confusion").compute(predictions=said, references=wanted)
    assert found["labels"] == ["ant", "bird", "cat"] and len(found["columns"]) == 4
    assert found["confusion"] == [[2, 0, 0, 0], [0, 0, 1, 1], [1, 0, 2, 0]]


def test_several_labels_are_scored_as_scikit_learn_does(load: Load) -> None:
    metric = load("hamming_loss")
    wanted, said = [["b"], ["a", "b"]], [["a", "b"], ["a", "b"]]
    assert metric.compute(predictions=said, references=wanted)["subset_accuracy"] == 0.5
    assert metric.compute(predictions=[[], []], references=wanted)["hamming_loss"] == 0.75
    said, wanted = [[], ["a", "b", "c"], ["a", "b"]], [[], ["a", "b", "c"], ["b", "c"]]
    found = metric.compute(predictions=said, references=wanted)
    assert found["multilabel_macro_f1"] == pytest.approx((0.66666667 + 1 + 0.66666667) / 3)
    joined = [[", ".join(row) for row in rows] for rows in (said, wanted)]
    assert all(scored(name, *joined, "abc").value == pytest.approx(value) for name, value in found.items())


def test_exact_match_and_token_f1_are_squads(load: Load) -> None:
    said = ["1976", "Beyonce", "climate change"]
    wanted = ["1976", "Beyoncé and Bruno Mars", "climate change"]
    for name in ("exact_match", "token_f1"):
        assert load(name).compute(predictions=said, references=wanted)[name] == pytest.approx(0.6666666666666667)
    said, wanted = ["cat?", "theater", "yelling", "agent"], ["the cat", "theater", "YELLING", "agent007"]
    assert load("exact_match").compute(predictions=said, references=wanted)["exact_match"] == 0.75
    several = [["a cat", "the dog house"]]
    assert load("token_f1").compute(predictions=["house"], references=several)["token_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("kind", "wanted", "said", "score"),
    [
        ("rouge1", "testing one two", "testing", 1 / 2),
        ("rouge2", "testing one two", "testing one", 2 / 3),
        ("rougeL", "testing one two", "testing two", 4 / 5),
        ("rougeL", "testing one two", "", 0),
        ("rouge1", ["first text", "first something"], "text first", 1),
        ("rouge2", ["first text", "first something"], "text first", 0),
        ("rougeL", ["first text", "first something"], "text first", 0.5),
    ],
)
def test_rouge_is_rouge_scores(load: Load, kind: str, wanted: str | list[str], said: str, score: float) -> None:
    assert load(kind).compute(predictions=[said], references=[wanted])[kind] == pytest.approx(score)
    assert scored(kind, [said], [wanted]).value == pytest.approx(score)


def test_bleu_is_sacrebleus(load: Load) -> None:
    found = load("bleu").compute(predictions=SACREBLEU, references=SACREBLEU_REFERENCES)
    assert round(found["bleu"], 2) == 48.53 and found["signature"].startswith("nrefs:2|case:mixed|eff:no|tok:13a")
    assert scored("bleu", SACREBLEU, SACREBLEU_REFERENCES).value == pytest.approx(found["bleu"])
    said = ["hello there general kenobi", "on our way to ankh morpork"]
    wanted = [["hello there general kenobi", "hello there !"], ["goodbye ankh morpork", "ankh morpork"]]
    assert load("bleu").compute(predictions=said, references=wanted)["bleu"] == pytest.approx(39.76353643835252)


def test_chrf_is_sacrebleus(load: Load) -> None:
    found = load("chrf").compute(predictions=SACREBLEU, references=SACREBLEU_REFERENCES)
    assert round(found["chrf"], 2) == 59.73
    assert scored("chrf", SACREBLEU, SACREBLEU_REFERENCES).value == pytest.approx(found["chrf"])
    said = [
        "The relationship between cats and dogs is not exactly friendly.",
        "a good bookshop is just a genteel black hole that knows how to read.",
    ]
    wanted = [
        "The relationship between dogs and cats is not exactly friendly.",
        "A good bookshop is just a genteel Black Hole that knows how to read.",
    ]
    assert load("chrf").compute(predictions=said, references=wanted)["chrf"] == pytest.approx(84.64214891738334)


def test_form_takes_a_pattern_or_a_schema(load: Load) -> None:
    said = ['{"a": 1}', "no"]
    assert load("form").compute(predictions=said, references=said, kind="schema", text='{"required": ["a"]}') == {
        "form": 0.5
    }
    assert load("form").compute(predictions=said, references=said, kind="regex", text="[a-z]+") == {"form": 0.5}


def test_every_metric_loads_and_an_unknown_one_says_so(load: Load) -> None:
    assert {type(load(name)).__module__ for name in FILES} == {
        f"studio.evaluation.metrics.{name}" for name in FILES.values()
    }
    with pytest.raises(BadInput, match="no metric 'os'"):
        load("os")


OWN = """
import datasets
from evaluate import Metric, MetricInfo
from .helping import right


class Shorter(Metric):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({"predictions": text, "references": text})
        return MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        rows = [right(said, wanted) for said, wanted in zip(predictions, references)]
        return {"note": "of all answers", "shorter": sum(rows) / len(rows)}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace's folder with one metric and what it imports."""
    made = tmp_path / "workspace" / "metrics"
    made.mkdir(parents=True)
    (made / "shorter.py").write_text(OWN)
    (made / "helping.py").write_text("def right(said, wanted):\n    return len(said) < len(wanted)\n")
    return made


def test_a_file_in_the_workspace_is_a_metric(load: Load, folder: Path, tmp_path: Path) -> None:
    metric = load_own(folder, "shorter", tmp_path / "cache")
    assert metric.compute(predictions=["a", "bb"], references=["bb", "a"])["shorter"] == 0.5
    found = scored_by("shorter", score_with(metric, "shorter"), ["a", "bb", "c"], ["bb", "a", "dd"])
    assert found.rows is not None and found.rows.tolist() == [1, 0, 1]
    assert found.resampled(np.array([[0, 0, 1]]))[0] == pytest.approx(2 / 3)
    with pytest.raises(BadFile, match="no number called 'note'"):
        score_with(metric, "note")(["a"], ["b"])
    with pytest.raises(BadFile, match="'shorter' fails on these answers: division by zero"):
        score_with(metric)([], [])


def test_a_file_of_ours_loads_by_its_path_too(load: Load, tmp_path: Path) -> None:
    ours = Path(__file__).parents[2] / "studio" / "evaluation" / "metrics"
    metric = load_own(ours, "accuracy.py", tmp_path / "cache")
    assert metric.compute(predictions=["a"], references=["a"]) == {"accuracy": 1.0}


@pytest.mark.parametrize("name", ["../outside", "missing", "linked", "/etc/passwd", "", "."])
def test_a_file_elsewhere_is_no_metric(folder: Path, tmp_path: Path, name: str) -> None:
    (folder.parent / "outside.py").write_text(OWN)
    (folder / "linked.py").symlink_to(folder.parent / "outside.py")
    with pytest.raises(BadFile, match="There is no metric"):
        load_own(folder, name, tmp_path / "cache")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import helper  # From: https://example.org/helper.py\n" + OWN, "downloads code"),
        ("import no_such_library_here\n", "cannot be loaded"),
        ("def broken(:\n", "cannot be loaded"),
        ("1 / 0\n", "cannot be loaded"),
        ("from evaluate import Metric\n", "no class of its own"),
    ],
)
def test_a_file_that_is_no_metric_is_refused(load: Load, folder: Path, tmp_path: Path, code: str, says: str) -> None:
    (folder / "bad.py").write_text(code)
    with pytest.raises(BadFile, match=says):
        load_own(folder, "bad", tmp_path / "cache")


def test_the_hub_is_asked_only_on_request(load: Load, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="an admin has to ask"):
        load_from_hub("someone/metric", tmp_path / "cache")
    for name in ("../metric", "a/b/c", "/etc/x", "http://x/y"):
        with pytest.raises(BadInput, match="no name of a metric"):
            load_from_hub(name, tmp_path / "cache", fetch=True)
    with pytest.raises(BadFile, match="cannot be loaded"):
        load_from_hub("someone/metric", tmp_path / "cache", fetch=True)
