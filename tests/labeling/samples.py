"""Examples and made-up vectors for tests of suggestions and orders."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import numpy as np

from storage.database import Database, now
from storage.examples import encode_turns
from storage.records import Turn


def put_examples(db: Database, project_id: str, texts: Sequence[str]) -> list[str]:
    """Write examples with these prompts; their ids in this order."""
    ids = [uuid4().hex for _ in texts]
    with db.write() as cursor:
        for example_id, text in zip(ids, texts, strict=True):
            cursor.execute(
                "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
                "VALUES (?, ?, ?, '', ?, 'test', 'todo', ?)",
                [example_id, project_id, encode_turns((Turn("user", text),)), uuid4().hex, now()],
            )
        db.touch(project_id)
    return ids


def clusters(sizes: Sequence[int], noise: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (384 wide, float32) around a center for each size, and the number of each row's center."""
    random = np.random.default_rng(seed)
    member = np.repeat(np.arange(len(sizes)), sizes)
    centers = random.normal(size=(len(sizes), 384))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    vectors = centers[member] + noise * random.normal(size=(len(member), 384)) / np.sqrt(384)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), member


def in_order(db: Database, project_id: str, column: str = "-position", limit: int = 100) -> list[str]:
    """Ids of what waits, the highest of a column first; then the most diverse, then as imported."""
    rows = db.query(
        f"SELECT id FROM examples WHERE project_id = ? AND status = 'todo' "
        f"ORDER BY {column} DESC NULLS LAST, diversity DESC NULLS LAST, position LIMIT ?",
        [project_id, limit],
    )
    return [row[0] for row in rows]
