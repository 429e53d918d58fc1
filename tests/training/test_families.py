"""What differs by family: which one a folder is, how a row becomes ids and labels, and losses equal the library's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from studio.contract.chat import Message
from studio.contract.plain import one_text, question_and_answer
from studio.contract.spec import TrainSpec
from studio.errors import BadFile
from studio.models.classify import classified
from studio.models.heads import LabelSet, verdicts
from studio.models.loading import load_base, pick_family, read_config
from studio.training.families import of
from studio.training.families.labels import label_parts, snapshot_labels
from tests import tiny
from tests.training.test_recipe import data_of


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    kinds = ("llama", "gpt2", "qwen3", "gemma", "t5", "bart", "bert")
    return {kind: tiny.make_model(tmp_path_factory.mktemp(kind), kind) for kind in kinds}


def loaded(bases, tmp_path, kind, **settings):
    """A base and a spec on a snapshot of labeled rows."""
    snapshot = tiny.make_snapshot(tmp_path / "s", tiny.labeled(9), [], [("Where?", "nowhere")], system="Be brief.")
    base = load_base(tmp_path, str(bases[kind]), "cpu", labels=lambda: snapshot_labels(snapshot))
    return base, TrainSpec(snapshot=snapshot, models=tmp_path, **settings)


@pytest.mark.parametrize(
    ("kind", "family"),
    [(kind, "causal") for kind in ("llama", "gpt2", "qwen3", "gemma")]
    + [("t5", "seq2seq"), ("bart", "seq2seq"), ("bert", "encoder")],
)
def test_the_family_is_told_by_the_config(bases, kind, family):
    assert pick_family(read_config(bases[kind], kind)) == family


def test_a_config_that_says_what_it_is_for_is_believed():
    from transformers import BertConfig, LlamaConfig

    assert pick_family(BertConfig(architectures=["BertLMHeadModel"], is_decoder=True)) == "causal"
    assert pick_family(LlamaConfig(architectures=["LlamaForSequenceClassification"])) == "encoder"
    assert pick_family(BertConfig()) == "encoder" and pick_family(LlamaConfig()) == "causal"


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_a_seq2seq_loss_is_that_of_the_library(bases, tmp_path, kind):
    base, spec = loaded(bases, tmp_path, kind)
    ways = of("seq2seq")
    rows = ways.read(base, spec, "train", 256).rows
    batch = ways.collate(rows, base.tokenizer.pad_token_id)
    with torch.no_grad():
        ours = float(ways.loss(base.model, 0.0)(batch)) / int((batch["labels"] != -100).sum())
        theirs = float(base.model(**batch).loss)
    assert ours == pytest.approx(theirs, rel=1e-5)
    each = ways.row_losses(base.model, rows, 0, 2)
    assert sum(one.total for one in each) / sum(one.targets for one in each) == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("several", [False, True])
def test_an_encoder_loss_is_that_of_the_library(bases, tmp_path, several):
    snapshot = multi(tmp_path) if several else tiny.make_snapshot(tmp_path / "s", tiny.labeled(6))
    base = load_base(tmp_path, str(bases["bert"]), "cpu", labels=lambda: snapshot_labels(snapshot))
    ways = of("encoder")
    rows = ways.read(base, TrainSpec(snapshot=snapshot, models=tmp_path), "train", 256).rows
    batch = ways.collate(rows, 0)
    with torch.no_grad():
        ours, theirs = float(ways.loss(base.model, 0.0)(batch)), float(base.model(**batch).loss)
    assert ours / batch["labels"].numel() == pytest.approx(theirs, rel=1e-5)
    each = ways.row_losses(base.model, rows, 0, 4)
    assert sum(one.total for one in each) == pytest.approx(ours, rel=1e-5)


def test_both_sides_of_a_seq2seq_row_end_with_the_end_token(bases, tmp_path):
    base, spec = loaded(bases, tmp_path, "t5")
    row = of("seq2seq").read(base, spec, "train", 256, keep_messages=True).rows[0]
    assert base.tokenizer.decode(row.ids) == "Be brief.\n\nWhere is the kettle? <|end|>"
    assert base.tokenizer.decode(row.labels) == "kettle<|end|>"
    assert [message.role for message in row.messages] == ["system", "user", "assistant"]


def test_an_encoder_row_is_its_text_and_the_number_of_its_label(bases, tmp_path):
    base, spec = loaded(bases, tmp_path, "bert")
    rows = of("encoder").read(base, spec, "train", 256).rows
    assert base.labels == ("Monday", "kettle", "order") and [int(row.labels[0]) for row in rows[:4]] == [1, 2, 0, 1]
    assert base.tokenizer.decode(rows[0].ids).startswith("[CLS]") and "brief" not in base.tokenizer.decode(rows[0].ids)


def test_a_label_that_no_training_row_has_is_left_out_and_named(bases, tmp_path):
    base, spec = loaded(bases, tmp_path, "bert")
    split = of("encoder").read(base, spec, "test", 256)
    assert not split.rows and "such as 'nowhere'" in split.warnings()[0]["message"]


@pytest.mark.parametrize("kind", ["t5", "bert"])
def test_rows_too_long_are_left_out_or_cut_as_the_spec_says(bases, tmp_path, kind):
    base, spec = loaded(bases, tmp_path, kind)
    ways = of(base.family)
    lengths = sorted(len(row) for row in ways.read(base, spec, "train", 256).rows)
    short = ways.read(base, spec, "train", lengths[0])
    assert 0 < len(short.rows) < 9 and f"max_length={lengths[0]}" in next(iter(short.left_out))
    cut = ways.read(base, spec.model_copy(update={"overlong": "cut-prompt"}), "train", lengths[0])
    assert len(cut.rows) == 9 and {len(row) for row in cut.rows} == {lengths[0]}


def multi(tmp_path):
    """A snapshot of a multi-label project, one of whose labels has a comma."""
    rows = [("A kettle.", "blue, grey, metal"), ("An order.", "late"), ("A pen.", "blue, grey"), ("Rain.", "")] * 3
    snapshot = tiny.make_snapshot(tmp_path / "multi", rows[:3] * 3)
    told = {"task": "multi-label", "label_names": ["blue, grey", "metal", "late"]}
    (snapshot / "manifest.json").write_text(json.dumps(told))
    return snapshot


def test_several_labels_become_a_place_each(bases, tmp_path):
    snapshot = multi(tmp_path)
    labels = snapshot_labels(snapshot)
    assert labels == LabelSet(("blue, grey", "late", "metal"), several=True)
    base = load_base(tmp_path, str(bases["bert"]), "cpu", labels=lambda: labels)
    rows = of("encoder").read(base, TrainSpec(snapshot=snapshot, models=tmp_path), "train", 64).rows
    assert [row.labels.tolist() for row in rows[:3]] == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert base.several and base.model.config.problem_type == "multi_label_classification"


def test_an_encoder_learns_several_labels_and_its_folder_says_them(bases, tmp_path, train):
    run = tiny.make_run(
        tmp_path / "run",
        multi(tmp_path),
        tmp_path / "models",
        bases["bert"],
        method="full",
        epochs=120,
        batch_size=9,
        learning_rate=3e-3,
    )
    code, _ = train(run)
    base = load_base(tmp_path, str(run / "model"), "cpu")
    asked = [[Message("user", text)] for text in ("A kettle.", "An order.", "A pen.")]
    assert code == 0 and base.labels == ("blue, grey", "late", "metal") and base.several
    given = [verdict.text for verdict in classified(base.model, base.tokenizer, asked)]
    assert given == ["blue, grey, metal", "late", "blue, grey"]


def test_an_encoder_learns_one_label_by_lora(bases, tmp_path, train):
    snapshot = tiny.make_snapshot(tmp_path / "s", tiny.labeled(48), tiny.labeled(6, 100), tiny.labeled(6, 200))
    run = tiny.make_run(tmp_path / "run", snapshot, tmp_path / "models", bases["bert"], epochs=30, learning_rate=1e-2)
    code, events = train(run)
    done = data_of(events, "done")[0]
    assert code == 0 and done["tuned_loss"] < 0.5 < 1 < done["base_loss"] and done["steps"] == 360


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [([("a", "x")] * 4, "at least two labels"), (tiny.pairs(40), "choose a model that writes")],
)
def test_answers_that_are_no_labels_are_refused_with_what_to_do(tmp_path, rows, sentence):
    with pytest.raises(BadFile, match=sentence):
        snapshot_labels(tiny.make_snapshot(tmp_path / "s", rows))


def test_a_head_with_the_same_labels_is_kept_and_another_is_made_anew_by_the_seed(bases, tmp_path):
    folder = tmp_path / "own"
    base = load_base(tmp_path, str(bases["bert"]), "cpu", labels=lambda: LabelSet(("b", "a")), seed=1)
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    heads = {}
    for name, labels, seed in (
        ("kept", ("a", "b"), 1),
        ("one", ("a", "c"), 1),
        ("same", ("a", "c"), 1),
        ("two", ("a", "c"), 2),
    ):
        again = load_base(tmp_path, str(folder), "cpu", labels=lambda labels=labels: LabelSet(labels), seed=seed)
        heads[name] = (again.labels, again.fresh, again.model.classifier.weight.detach())
    assert heads["kept"][:2] == (("b", "a"), ()) and torch.equal(heads["kept"][2], base.model.classifier.weight)
    assert heads["one"][:2] == (("a", "c"), ("classifier",)) and torch.equal(heads["one"][2], heads["same"][2])
    assert not torch.equal(heads["one"][2], heads["two"][2])


def test_turns_become_one_text_in_one_way():
    turns = [Message("system", "S"), Message("user", "a"), Message("assistant", "b", False), Message("user", "c")]
    assert one_text(turns) == "S\n\nUser: a\nAssistant: b\nUser: c"
    assert one_text(turns, system=False) == "User: a\nAssistant: b\nUser: c"
    assert one_text(turns[:2]) == "S\n\na" and one_text(turns[1:2]) == "a"


def test_the_last_trained_answer_is_the_target():
    turns = [Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d", False)]
    assert question_and_answer(turns) == (turns[:1], "b")
    with pytest.raises(ValueError, match="no answer"):
        question_and_answer([Message("user", "a"), Message("assistant", " ")])


def test_labels_with_commas_are_found_where_they_are_known():
    known = LabelSet(("a, b", "c"), several=True)
    assert label_parts("a, b, c", known) == ["a, b", "c"] and label_parts("c, d, c", known) == ["c", "d"]
    assert label_parts("a, b, c", LabelSet((), several=False)) == ["a, b, c"]


def test_verdicts_name_labels_with_their_probability():
    from types import SimpleNamespace

    names = {0: "a", 1: "b", 2: "c"}
    one = verdicts(SimpleNamespace(id2label=names, problem_type=None), torch.tensor([[0.0, 2.0, 0.0]]))[0]
    assert one.text == "b" and one.probability == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    config = SimpleNamespace(id2label=names, problem_type="multi_label_classification")
    many, none = verdicts(config, torch.tensor([[1.0, -1.0, 2.0], [-1.0, -1.0, -1.0]]))
    assert many.text == "a, c" and many.probability == pytest.approx(1 / (1 + np.exp(-1)))
    assert none.text == "" and none.probability == pytest.approx(1 / (1 + np.exp(-1)))
