"""Held-out rows that a model would know from its training: their question is nearly the same as one that is trained on.

Served requests repeat each other in other words, so what people label of them is often near to something held out. Such
rows say nothing of which of two models is the better one, and are left out of that decision. What it leaves out: exact
repeats, which a freeze never parts, and paraphrases in other words.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

from studio.data.nearness import NearTexts
from studio.data.snapshots import SPLITS, read_split
from studio.data.splits import joined
from studio.settings import Workspace

_PAGE = 5000


def nearly_trained(workspace: Workspace, snapshot_id: str) -> frozenset[str]:
    """The examples of a snapshot's test split that are near, by studio.contract.nearness, to one that is trained on or
    validated with, or to what is near to one. Raises NotFound, BadFile."""
    tested: dict[str, str] = {}
    keys: list[str] = []
    with tempfile.TemporaryFile() as file:
        near = NearTexts(file)
        for number, (split, example_id, prompt) in enumerate(_prompts(workspace, snapshot_id)):
            near.add(prompt)
            keys.append(f"{number:012d}")
            if split == "test":
                tested[keys[-1]] = example_id
        if not tested:
            return frozenset()
        root = joined(near.links(keys), keys)
    trained = {root[key] for key in keys if key not in tested}
    return frozenset(example_id for key, example_id in tested.items() if root[key] in trained)


def _prompts(workspace: Workspace, snapshot_id: str) -> Iterator[tuple[str, str, str]]:
    """(split, example id, prompt) of each row."""
    for split in SPLITS:
        start = 0
        while page := read_split(workspace, snapshot_id, split, start, _PAGE):
            yield from ((split, row.example_id, row.prompt) for row in page)
            start += len(page)
