"""Comparisons with real engine processes: a classifier over a bare encoder, and a whole model over its base."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.contract.chat import Message
from studio.jobs.comparison import NO_CLASSIFIER, answer_pairs
from studio.jobs.engine import Sampling, open_engine
from studio.settings import Workspace
from tests.inference.kinds import LABELS, classifier_over, make_seq2seq, save_bare_encoder, save_base, save_full

ASKED = [[Message("user", text)] for text in ("Where is my order?", "Hi")]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose engines take one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Workspace(tmp_path / "workspace")


def test_a_classifier_answers_labels_where_its_base_has_none(workspace: Workspace) -> None:
    base = save_bare_encoder(workspace.root / "base")
    save_full(workspace.runs, "run-1", classifier_over(base, LABELS))
    with open_engine(workspace, str(base), "cpu") as engine:
        pairs = answer_pairs(engine, ASKED, "run-1", Sampling())
    assert [pair.base_text for pair in pairs] == [NO_CLASSIFIER] * 2
    assert all(pair.tuned.text in LABELS and 0 < (pair.tuned.probability or 0) <= 1 for pair in pairs)
    assert pairs[0].tuned.weights.whole and len(pairs[0].tuned.weights.adapter_hash or "") == 64


def test_a_whole_model_is_compared_with_the_base_it_began_as(workspace: Workspace) -> None:
    base = save_base(workspace.root / "base", make_seq2seq("t5"))
    save_full(workspace.runs, "run-1", make_seq2seq("t5"), scale=1.0)
    with open_engine(workspace, str(base), "cpu") as engine:
        pairs = answer_pairs(engine, ASKED, "run-1", Sampling(max_tokens=6))
    assert all(pair.base is not None and pair.base.text != pair.tuned.text for pair in pairs)
    assert all(pair.tuned.weights.whole and pair.tuned.probability is None for pair in pairs)
