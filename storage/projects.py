"""Projects: a name, a task, a system prompt, guidelines, and how they are labeled."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any
from uuid import uuid4

from storage.database import Database, aware, now
from storage.guidelines import note_guidelines
from storage.records import Label, Project, Settings
from studio.errors import BadInput, NotFound

TASKS: dict[str, str] = {
    "instruction": "Instruction pair",
    "chat": "Multi-turn chat",
    "classification": "Classification, one label",
    "multi-label": "Classification, several labels",
    "question-answering": "Question answering",
    "summarisation": "Summarisation",
    "translation": "Translation",
    "code": "Code",
    "rating": "Rating",
    "preference": "Preference (two answers)",
}
"""Task types: key and the words that a screen shows."""

ORDERS: dict[str, str] = {
    "imported": "As imported",
    "random": "Random",
    "priority": "By priority",
    "uncertain": "Most uncertain first",
    "diverse": "Most diverse first",
}
"""In which order examples are handed out."""

VOTES_TO: dict[str, str] = {
    "review": "To review",
    "queue": "Into the labeling queue",
    "nowhere": "Nowhere: votes only rank models",
}
"""Where votes and corrected answers of comparisons go."""

_COLUMNS = "id, name, task, system_prompt, guidelines, settings, created_at, archived_at"
_NAME_LIMIT = 120


def create_project(
    db: Database,
    name: str,
    task: str = "instruction",
    system_prompt: str = "",
    guidelines: str = "",
    settings: Settings | None = None,
    user_name: str = "",
) -> Project:
    """Make a project; `user_name` wrote its guidelines.

    Raises BadInput for an empty, overlong or taken name or an unknown task.
    """
    with db.write() as cursor:
        return insert_project(cursor, name, task, system_prompt, guidelines, settings, user_name)


def insert_project(
    cursor: Any,
    name: str,
    task: str,
    system_prompt: str = "",
    guidelines: str = "",
    settings: Settings | None = None,
    user_name: str = "",
) -> Project:
    """The same within a transaction that is open."""
    name = _checked_name(name)
    if task not in TASKS:
        raise BadInput(f"There is no task '{task}'; there are: {', '.join(TASKS)}.")
    project = Project(
        uuid4().hex, name, task, system_prompt.strip(), guidelines, settings or Settings(), aware(now()), None
    )
    _refuse_taken(cursor, name, "")
    stored = (encode_settings(project.settings), project.created_at.replace(tzinfo=None))
    cursor.execute(
        f"INSERT INTO projects ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        [project.id, name, task, project.system_prompt, guidelines, *stored],
    )
    note_guidelines(cursor, project.id, guidelines, user_name)
    return project


def list_projects(db: Database, archived: bool = False) -> list[Project]:
    """Projects by name; with `archived` those put away too."""
    where = "" if archived else "WHERE archived_at IS NULL"
    return [_project(row) for row in db.query(f"SELECT {_COLUMNS} FROM projects {where} ORDER BY lower(name)")]


def get_project(db: Database, project_id: str) -> Project:
    """Raises NotFound."""
    row = db.one(f"SELECT {_COLUMNS} FROM projects WHERE id = ?", [project_id])
    if row is None:
        raise NotFound("This project does not exist any more.")
    return _project(row)


def find_project(db: Database, name: str) -> Project:
    """The project of that name (case does not matter). Raises NotFound with the names there are."""
    row = db.one(f"SELECT {_COLUMNS} FROM projects WHERE lower(name) = lower(?)", [name.strip()])
    if row is None:
        names = ", ".join(project.name for project in list_projects(db)) or "none yet"
        raise NotFound(f"There is no project '{name}'; there are: {names}.")
    return _project(row)


def update_project(db: Database, project_id: str, name: str, system_prompt: str, guidelines: str) -> Project:
    """Rename a project and set its texts. Raises BadInput for a bad or taken name, NotFound."""
    with db.write() as cursor:
        write_texts(cursor, project_id, name, system_prompt, guidelines)
    return get_project(db, project_id)


def write_texts(
    cursor: Any, project_id: str, name: str, system_prompt: str, guidelines: str, user_name: str = ""
) -> None:
    """The same within a transaction that is open; `user_name` wrote the guidelines. Raises BadInput."""
    name = _checked_name(name)
    _refuse_taken(cursor, name, project_id)
    cursor.execute(
        "UPDATE projects SET name = ?, system_prompt = ?, guidelines = ? WHERE id = ?",
        [name, system_prompt.strip(), guidelines, project_id],
    )
    note_guidelines(cursor, project_id, guidelines, user_name)


def update_settings(db: Database, project_id: str, settings: Settings) -> Project:
    """Set how a project is labeled. Raises BadInput for a value out of its limits, NotFound."""
    with db.write() as cursor:
        write_settings(cursor, project_id, settings)
        db.touch(project_id)
    return get_project(db, project_id)


def write_settings(cursor: Any, project_id: str, settings: Settings) -> None:
    """The same within a transaction that is open. Raises BadInput."""
    _check(settings)
    cursor.execute("UPDATE projects SET settings = ? WHERE id = ?", [encode_settings(settings), project_id])


def _check(settings: Settings) -> None:
    if settings.order not in ORDERS:
        raise BadInput(f"There is no order '{settings.order}'; there are: {', '.join(ORDERS)}.")
    if not 1 <= settings.overlap <= 100:
        raise BadInput("The overlap is the number of annotators an example: 1 to 100.")
    if not 0.1 <= settings.lease_minutes <= 24 * 60:
        raise BadInput("A lease lasts 0.1 to 1440 minutes.")
    if not 0 <= settings.gold_rate <= 0.5:
        raise BadInput("The share of gold examples lies between 0 and 0.5.")
    if settings.votes_to not in VOTES_TO:
        raise BadInput(f"Votes cannot go to '{settings.votes_to}'; there are: {', '.join(VOTES_TO)}.")
    if settings.form_kind not in ("", "regex", "schema"):
        raise BadInput("The expected form is a regular expression (regex), a JSON schema (schema), or none.")
    if settings.form_kind and not settings.form.strip():
        raise BadInput("Write the expected form, or choose none.")
    if not 2 <= settings.rating_max <= 10:
        raise BadInput("A rating goes from 1 to a number between 2 and 10.")


def encode_settings(settings: Settings) -> str:
    """Settings as they are stored."""
    return json.dumps(asdict(settings), ensure_ascii=False)


def decode_settings(stored: str) -> Settings:
    """The reverse of `encode_settings`; a field that this version does not know is passed over."""
    known = {field.name for field in fields(Settings)}
    values = {name: value for name, value in json.loads(stored).items() if name in known}
    labels = tuple(Label(**label) for label in values.get("labels", ()))
    return Settings(**{**values, "labels": labels, "allowed_texts": tuple(values.get("allowed_texts", ()))})


def archive_project(db: Database, project_id: str, archived: bool = True) -> Project:
    """Put a project away, or back. Nothing of it is deleted."""
    with db.write() as cursor:
        cursor.execute("UPDATE projects SET archived_at = ? WHERE id = ?", [now() if archived else None, project_id])
    return get_project(db, project_id)


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise BadInput("A project needs a name.")
    if len(name) > _NAME_LIMIT:
        raise BadInput(f"A project name has at most {_NAME_LIMIT} characters; this one has {len(name)}.")
    return name


def _refuse_taken(cursor: Any, name: str, own_id: str) -> None:
    taken = cursor.execute("SELECT name FROM projects WHERE lower(name) = lower(?) AND id <> ?", [name, own_id])
    if row := taken.fetchone():
        raise BadInput(f"There is already a project '{row[0]}': choose another name.")


def _project(row: tuple[Any, ...]) -> Project:
    created, archived = row[6], row[7]
    return Project(*(*row[:5], decode_settings(row[5]), aware(created), aware(archived) if archived else None))
