"""Projects, as the screens see them. Making and saving one as a form is in studio.labeling.setup."""

from storage.projects import (
    ORDERS,
    TASKS,
    VOTES_TO,
    archive_project,
    create_project,
    find_project,
    get_project,
    list_projects,
    update_project,
)

__all__ = [
    "ORDERS",
    "TASKS",
    "VOTES_TO",
    "archive_project",
    "create_project",
    "find_project",
    "get_project",
    "list_projects",
    "update_project",
]
