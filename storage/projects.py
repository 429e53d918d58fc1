"""Projects: a name, a task, a system prompt, guidelines."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from storage.database import Database, aware, now
from storage.records import Project
from studio.errors import BadInput, NotFound

TASKS: dict[str, str] = {
    "chat": "Instruction and chat",
    "question-answering": "Question answering",
    "summarisation": "Summarisation",
    "translation": "Translation",
    "classification": "Classification (answer is a label)",
    "code": "Code",
}
"""Task types: key and the words that a screen shows."""

_COLUMNS = "id, name, task, system_prompt, guidelines, created_at, archived_at"
_NAME_LIMIT = 120


def create_project(
    db: Database, name: str, task: str = "chat", system_prompt: str = "", guidelines: str = ""
) -> Project:
    """Make a project. Raises BadInput for an empty, overlong or taken name or an unknown task."""
    name = _checked_name(name)
    if task not in TASKS:
        raise BadInput(f"There is no task '{task}'; there are: {', '.join(TASKS)}.")
    project = Project(uuid4().hex, name, task, system_prompt.strip(), guidelines, aware(now()), None)
    with db.write() as cursor:
        _refuse_taken(cursor, name, "")
        cursor.execute(
            f"INSERT INTO projects ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, NULL)",
            [project.id, name, task, project.system_prompt, guidelines, project.created_at.replace(tzinfo=None)],
        )
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
    name = _checked_name(name)
    with db.write() as cursor:
        _refuse_taken(cursor, name, project_id)
        cursor.execute(
            "UPDATE projects SET name = ?, system_prompt = ?, guidelines = ? WHERE id = ?",
            [name, system_prompt.strip(), guidelines, project_id],
        )
    return get_project(db, project_id)


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
    created, archived = row[5], row[6]
    return Project(*(*row[:5], aware(created), aware(archived) if archived else None))
