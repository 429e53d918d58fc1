"""Vectors made by a real process of a tiny encoder: all of them, only once, whatever is killed on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from storage.database import Database
from storage.embeddings import count_vectors
from storage.projects import create_project
from storage.records import Project
from storage.vectors import texts_without_vector
from studio.errors import Cancelled, JobFailed
from studio.jobs import embedding
from studio.jobs.embedding import embed_project
from studio.jobs.processes import ask_to_stop, is_alive
from studio.labeling.ordering import read_vectors
from studio.settings import Workspace
from tests.jobs.conftest import end_all, wait_until
from tests.labeling.samples import put_examples

TEXTS = [f"Where is my card {n}?" + " Please tell me." * (n % 7) for n in range(30)]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random BERT of one layer with vectors of 384 numbers."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "where",
        "is",
        "my",
        "card",
        "please",
        "tell",
        "me",
        "?",
        ".",
    ]
    (folder / "vocab.txt").write_text("\n".join([*words, *(str(n) for n in range(40))]))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    size = {"hidden_size": 384, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=60, **size)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def asked(db: Database, workspace: Workspace) -> Iterator[Project]:
    """A project of thirty texts; a process that still lives afterwards is killed."""
    made = create_project(db, "Cards", "classification")
    put_examples(db, made.id, TEXTS)
    yield made
    end_all(workspace.embeddings)


def test_every_example_gets_its_vector_once(db: Database, workspace: Workspace, asked: Project, encoder: str) -> None:
    seen: list[tuple[int, int]] = []
    assert embed_project(db, workspace, asked.id, lambda *at: seen.append(at), encoder=encoder) == 30
    assert seen[-1] == (30, 30)
    put_examples(db, asked.id, ["one more"])
    assert [[text for _, text in page] for page in texts_without_vector(db, asked.id)] == [["one more"]]
    assert not [*workspace.embeddings.glob("*")]


def test_a_running_process_is_followed(db: Database, workspace: Workspace, asked: Project, encoder: str) -> None:
    embedding._start(db, asked.id, workspace.embeddings / asked.id, encoder)
    assert embed_project(db, workspace, asked.id, encoder=encoder) == 30
    assert embed_project(db, workspace, asked.id, encoder="nothing is left to do") == 0
    known = read_vectors(db, asked.id)
    assert known.vectors[3] == pytest.approx(vector_of(TEXTS[3], encoder), abs=1e-5)  # alone, without padding
    assert np.linalg.norm(known.vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def vector_of(text: str, encoder: str) -> np.ndarray:
    """The mean over the tokens of one text, of length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(encoder)(text, return_tensors="pt")
    with torch.no_grad():
        mean = AutoModel.from_pretrained(encoder).eval()(**tokens).last_hidden_state[0].mean(0).numpy()
    return mean / np.linalg.norm(mean)


def test_cancel_stops_the_process(db: Database, workspace: Workspace, asked: Project, encoder: str) -> None:
    with pytest.raises(Cancelled, match="kept"):
        embed_project(db, workspace, asked.id, cancelled=lambda: True, encoder=encoder)
    assert not is_alive(workspace.embeddings / asked.id)


def test_what_a_killed_app_left_is_taken_up(
    db: Database, workspace: Workspace, asked: Project, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = workspace.embeddings / asked.id
    embedding._start(db, asked.id, run_dir, encoder)  # and nobody follows
    wait_until(lambda: not is_alive(run_dir), 60)
    assert count_vectors(db, asked.id) == 0
    monkeypatch.setattr(embedding, "EMBED_MODULE", "no.such.module")  # nothing is made again
    assert embed_project(db, workspace, asked.id, encoder=encoder) == 30


def test_a_killed_process_is_told(db: Database, workspace: Workspace, asked: Project, encoder: str) -> None:
    run_dir = workspace.embeddings / asked.id

    def kill() -> bool:
        ask_to_stop(run_dir, hard=True)
        while is_alive(run_dir):
            time.sleep(0.01)
        return False

    with pytest.raises(JobFailed, match="could not be made"):
        embed_project(db, workspace, asked.id, cancelled=kill, encoder=encoder)


def test_a_missing_encoder_is_told(db: Database, workspace: Workspace, asked: Project, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=r"no \*\.safetensors"):
        embed_project(db, workspace, asked.id, encoder=str(tmp_path))


def test_the_text_begins_with_the_last_turn(db: Database, project: Project) -> None:
    example_id = put_examples(db, project.id, ["x"])[0]
    with db.write() as cursor:
        cursor.execute(
            "UPDATE examples SET context = 'ctx', prompt = ? WHERE id = ?",
            ['[["system","be kind"],["user","first"],["assistant","yes"],["user","last"]]', example_id],
        )
    assert [*texts_without_vector(db, project.id)] == [[(example_id, "last\nctx\nfirst\nyes")]]
