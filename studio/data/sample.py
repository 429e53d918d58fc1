"""The sample project: a support desk with a voice of its own, so that fine-tuning shows."""

from __future__ import annotations

from pathlib import Path

from storage.database import Database
from storage.projects import create_project, list_projects
from storage.records import Project
from studio.data.importing import import_file

SAMPLE_FILE = Path(__file__).parent / "sample" / "support_desk.jsonl"
"""205 answered and 15 open questions to the support desk of an invented kettle maker."""

NAME = "Tideline support (sample)"
SYSTEM_PROMPT = "You answer customers of Tideline kettles."
GUIDELINES = """\
### Answering for Tideline

Tideline makes two smart kettles, the **K1** and the **K2**, and an app for them.

- Open with **Ahoy!** and close with **Fair winds, the Tideline crew.**
- 25 to 60 words, in whole sentences; no lists, no emoji.
- Say the cause first, then what to do, step by step in the order of doing it.
- Promise only what the pairs around you promise: a 3 year warranty, replacement through the app.
- No idea? **Skip** it. Angry, unsafe or private? **Flag** it.
"""


def create_sample_project(db: Database) -> Project:
    """Make the sample project and import its pairs; a number is added to the name while it is taken."""
    taken = {project.name.lower() for project in list_projects(db, archived=True)}
    name, number = NAME, 1
    while name.lower() in taken:
        number += 1
        name = f"{NAME} {number}"
    project = create_project(db, name, "instruction", SYSTEM_PROMPT, GUIDELINES)
    import_file(db, project.id, SAMPLE_FILE, source="sample")
    return project
