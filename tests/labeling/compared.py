"""Comparisons of made-up answers, for the tests of votes and of what becomes of them."""

from __future__ import annotations

from storage.database import Database
from storage.records import Comparison, Project, Side, User
from studio.contract.chat import Message, conversation
from studio.labeling.comparing import save_comparison

ANN, BOB, RITA = User("ann", "annotator"), User("bob", "annotator"), User("rita", "reviewer")
BASE, TUNED, OTHER = (
    Side("", "Base", "base abc", "A long answer.", 5, 0.5),
    Side("r1", "Run 1", "base abc + adapter def", "Short.", 2, 0.2),
    Side("r2", "Run 2", "base abc + adapter ghi", "Other.", 2, 0.2),
)


def compare(
    db: Database,
    project: Project,
    prompt: str = "Why?",
    sides: tuple[Side, ...] = (BASE, TUNED),
    example: str | None = None,
) -> Comparison:
    """A stored comparison of these answers to one prompt, asked with the project's system prompt."""
    asked = conversation([Message("user", prompt)], project.system_prompt)
    return save_comparison(db, ANN, project.id, asked, sides, {"temperature": 0.7, "seed": 1}, example)
