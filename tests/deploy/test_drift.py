"""Drift: a shifted topic is found and named, equal prompts rarely alert, and what was found is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from storage.database import Database
from storage.records import Project
from studio.data.importing import import_file
from studio.data.snapshots import freeze
from studio.deploy import vectors
from studio.deploy.drift import compare, energy_test, language_of, unseen_topics
from studio.deploy.drifting import look_for_drift, newest_drift
from studio.errors import BadInput, JobFailed
from studio.settings import Workspace
from tests.deploy.conftest import NOW, Server

WIDTH = 24


def drawn(rows: int, seed: int, topics: int = 4, first: int = 0) -> np.ndarray:
    """Unit vectors around the middles of `topics` topics, which are the same whatever the seed."""
    middles = np.random.default_rng(99).normal(size=(8, WIDTH))[first : first + topics]
    rng = np.random.default_rng(seed)
    found = middles[rng.integers(0, topics, rows)] + 0.7 * rng.normal(size=(rows, WIDTH))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_equal_prompts_alert_as_often_as_they_should() -> None:
    p = np.array([energy_test(drawn(60, 2 * s), drawn(50, 2 * s + 1), 199, s)[1] for s in range(100)])
    # 100 draws of a uniform p: at most 11 below 0.05 and 5 below 0.01 in all but one case of a hundred
    assert (p < 0.05).sum() <= 11 and (p <= 0.01).sum() <= 5
    assert 0.35 < p.mean() < 0.65 and p.max() > 0.8


def test_all_tests_together_alert_no_more_often() -> None:
    words = ["ship", "order", "parcel", "late", "when", "where"]
    rng = np.random.default_rng(0)

    def texts(count: int) -> list[str]:
        return [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(count)]

    found = [compare(drawn(40, 2 * s), drawn(40, 2 * s + 1), texts(40), texts(40), s).p for s in range(30)]
    assert sum(p < 0.05 for p in found) <= 5


def test_a_shifted_topic_is_found_and_named() -> None:
    before, now = drawn(150, 1), np.concatenate([drawn(90, 2), drawn(30, 3, 1, first=6)])
    distance, p = energy_test(before, now)
    assert p < 0.01 and distance > 0.005
    topics = unseen_topics(before, now)
    assert topics and set(topics[0].rows) <= set(range(90, 120)) and len(topics[0].rows) >= 20
    assert topics[0].share == pytest.approx(len(topics[0].rows) / 120)


def test_equal_prompts_have_no_new_topics() -> None:
    assert sum(len(topic.rows) for s in range(10) for topic in unseen_topics(drawn(150, s), drawn(100, s + 50))) <= 15


def test_longer_prompts_are_drift_of_their_own() -> None:
    found = compare(drawn(60, 1), drawn(60, 2), ["word " * (n % 7 + 1) for n in range(60)], ["word " * 30] * 60)
    assert found.drifted and found.p_length < 1e-6 and found.length_now > 4 * found.length_before


def test_another_language_is_drift_of_its_own() -> None:
    english = [f"Where is the parcel that I ordered last week, number {n}?" for n in range(40)]
    german = [f"Wo ist das Paket, das ich letzte Woche bestellt habe, Nummer {n}?" for n in range(40)]
    found = compare(drawn(40, 1), drawn(40, 2), english, english[:20] + german[:20])
    assert found.p_languages is not None and found.p_languages < 0.01
    assert found.languages["de"] == (0.0, pytest.approx(0.5))


@pytest.mark.parametrize(
    ("text", "language"), [("ok", ""), ("12345 67890 !!", ""), ("これはどこにありますか教えてください", "ja")]
)
def test_short_texts_have_no_language(text: str, language: str) -> None:
    assert language_of(text) == language


def fake_embed(workspace: Workspace, name: str, texts: Sequence[str]) -> np.ndarray:
    """A vector by the topic that a text's first word names, and some noise."""
    middles = {"order": 0, "refund": 1, "visa": 2}
    rows = np.zeros((len(texts), 384), np.float32)
    for at, text in enumerate(texts):
        rows[at] = 0.02 * np.random.default_rng(sum(map(ord, text))).normal(size=384)
        rows[at, middles[text.split()[0]]] += 1.0
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def trained(db: Database, workspace: Workspace, project: Project, folder: Path) -> None:
    lines = [{"prompt": f"{'order' if n % 2 else 'refund'} number {n:03d}", "response": "Yes."} for n in range(80)]
    file = folder / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    import_file(db, project.id, file)
    freeze(db, workspace, project.id)


def test_a_look_finds_the_new_topic_with_its_requests(
    db: Database, workspace: Workspace, project: Project, server: Server, tmp_path: Path
) -> None:
    trained(db, workspace, project, tmp_path)
    for n in range(30):
        server.ask(f"order number {n:03d}", at=NOW - timedelta(hours=1))
    visas = [server.ask(f"visa question {n:03d}", at=NOW - timedelta(hours=1)) for n in range(20)]
    again = server.ask("visa question 003", at=NOW - timedelta(hours=1))
    server.ask("visa of long ago", at=NOW - timedelta(days=30))
    server.taken()
    found = look_for_drift(db, workspace, project.id, NOW, embed=fake_embed)
    assert found.drifted and found.p < 0.01 and (found.before, found.now) == (64, 50)
    (topic,) = found.topics
    assert set(topic.requests) == {*visas, again} and topic.share == pytest.approx(0.4)
    assert all(text.startswith("visa") for text in topic.prompts) and "one new topic makes up 40 %" in found.sentence
    kept = newest_drift(db, project.id)
    assert kept and kept.drifted and kept.report["p"] == found.p


def test_the_same_prompts_are_no_drift(
    db: Database, workspace: Workspace, project: Project, server: Server, tmp_path: Path
) -> None:
    trained(db, workspace, project, tmp_path)
    for n in range(60):
        server.ask(f"{'order' if n % 2 else 'refund'} number {n + 100}", at=NOW - timedelta(hours=1))
    server.taken()
    found = look_for_drift(db, workspace, project.id, NOW, embed=fake_embed)
    assert not found.drifted and found.sentence.startswith("The prompts are like")


def test_too_few_prompts_are_told(
    db: Database, workspace: Workspace, project: Project, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="no snapshot"):
        look_for_drift(db, workspace, project.id, NOW, embed=fake_embed)
    trained(db, workspace, project, tmp_path)
    for _ in range(50):
        server.ask("order number 1")
    server.taken()
    with pytest.raises(BadInput, match="64 in the snapshot and 1 with their text"):
        look_for_drift(db, workspace, project.id, NOW, embed=fake_embed)


def test_an_encoder_that_breaks_off_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "EMBED_MODULE", "tests.deploy.no_such_module")
    with pytest.raises(JobFailed, match="vectors of the prompts"):
        vectors.embed_texts(workspace, "drift-x", ["a", "b"])
    assert not (workspace.embeddings / "drift-x").exists()
