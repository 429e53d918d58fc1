"""Projects, as the screens see them."""

from storage.projects import (
    TASKS,
    archive_project,
    create_project,
    find_project,
    get_project,
    list_projects,
    update_project,
)

__all__ = [
    "TASKS",
    "archive_project",
    "create_project",
    "find_project",
    "get_project",
    "list_projects",
    "update_project",
]
