"""Examples answered by several annotators, for the tests of review and agreement."""

from __future__ import annotations

from storage.annotations import Rules, annotate
from storage.database import Database, now
from storage.examples import encode_turns
from storage.projects import create_project, update_settings
from storage.records import Annotation, Label, Project, Settings, Turn


def project_of(db: Database, task: str = "instruction", **settings: object) -> Project:
    """A project that asks for a review, unless it is said otherwise."""
    made = create_project(db, f"{task} {settings}"[:100], task)
    labels = tuple(Label(name, "#1c7a3f") for name in ("refund", "delivery", "login"))
    return update_settings(db, made.id, Settings(**{"labels": labels, "review": True, **settings}))  # type: ignore[arg-type]


def add_examples(db: Database, project: Project, count: int, start: int = 0) -> list[str]:
    """Examples to label, named after their number."""
    ids = [f"{project.id[:6]}-{number:05}" for number in range(start, start + count)]
    with db.write() as cursor:
        for name in ids:
            cursor.execute(
                "INSERT INTO examples (id, project_id, prompt, context, content_key, source, status, created_at) "
                "VALUES (?, ?, ?, '', ?, 'test', 'todo', ?)",
                [name, project.id, encode_turns((Turn("user", f"Question {name}?"),)), name, now()],
            )
    return ids


def answer(
    db: Database,
    project: Project,
    example: str,
    who: str,
    response: str = "An answer.",
    action: str = "submit",
    value: str = "",
    source: str = "label",
    seconds: float | None = None,
) -> Annotation:
    """One act, by the project's own rules."""
    rules = Rules(project.settings.overlap, project.settings.review)
    return annotate(db, example, who, action, response, seconds, source, value, rules)
