"""The sample projects: small tasks with a form of their own, so that fine-tuning shows.

The guided one is for a first visit: short enough to label, train and compare in minutes (studio.jobs.next_step).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from storage.database import Database
from storage.labels import stored_settings
from storage.projects import create_project, get_project, list_projects, write_settings
from storage.records import Project, Settings
from studio.data.importing import import_file

_FOLDER = Path(__file__).parent / "sample"
SAMPLE_FILE = _FOLDER / "support_desk.jsonl"
"""205 answered and 15 open questions to the support desk of an invented kettle maker."""

GUIDED_FILE = _FOLDER / "job_cards.jsonl"
"""60 mails to an invented bicycle workshop with their job cards, and 3 to write one for."""

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

GUIDED_NAME = "Bicycle workshop (sample)"
GUIDED_PROMPT = "You write the job cards of a bicycle workshop."
GUIDED_GUIDELINES = """\
### One line for each mail

Such as:

`Bike: road bike / Job: chain jumps / By: Friday`

- **Bike**: the kind of bike.
- **Job**: what is to be done, in a few words.
- **By**: the day they name, else `no date`.
- Nothing else: no greeting, no advice.
"""
TRY_PROMPT = "Hello, the brakes of my racing bike squeak when it rains. Could you have a look by Thursday? Thanks, Nora"
"""A mail that is in nobody's data: what Compare offers to ask first."""

QUICK_RUN = {"epochs": "3.0", "batch_size": "4"}
"""A first run that somebody waits for: few passes in small steps, which teach the form sooner. As Train fills it in,
and by which it knows what to take out again."""


def create_sample_project(db: Database) -> Project:
    """Make the sample project and import its pairs; a number is added to the name while it is taken."""
    return _create(db, NAME, SYSTEM_PROMPT, GUIDELINES, Settings(), SAMPLE_FILE)


def create_guided_project(db: Database) -> Project:
    """Make the project that a first visit is led through. Its run is not evaluated by itself when it ends: that would
    take the machine from whoever then compares."""
    settings = Settings(guide=True, evaluate_runs=False)
    return _create(db, GUIDED_NAME, GUIDED_PROMPT, GUIDED_GUIDELINES, settings, GUIDED_FILE)


def end_guide(db: Database, project_id: str) -> None:
    """The visitor has seen the whole loop: no more guidance, and runs are evaluated as in any project."""
    if not get_project(db, project_id).settings.guide:
        return
    with db.write() as cursor:
        settings = stored_settings(cursor, project_id)
        write_settings(cursor, project_id, replace(settings, guide=False, evaluate_runs=True))
        db.touch(project_id)


def _create(db: Database, name: str, prompt: str, guidelines: str, settings: Settings, file: Path) -> Project:
    taken = {project.name.lower() for project in list_projects(db, archived=True)}
    free, number = name, 1
    while free.lower() in taken:
        number += 1
        free = f"{name} {number}"
    project = create_project(db, free, "instruction", prompt, guidelines, settings)
    import_file(db, project.id, file, source="sample")
    return project
