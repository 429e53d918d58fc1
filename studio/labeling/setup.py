"""How a project is set up: made and saved as one form, with what changed in the audit log.

A save names the version of the project that its form began from, so that of two people who edit one project the second
is told what the first has changed. Labels have a door of their own (studio.labeling.labels), and so have suggestions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from storage import projects as rows
from storage.audit import record, record_in
from storage.database import Database
from storage.deriving import change_overlap
from storage.labels import with_labels
from storage.records import Project, Settings, User
from storage.reviews import set_review
from studio.errors import Conflict
from studio.evaluation.forms import Form, check_form
from studio.evaluation.regression import parse_suite
from studio.language import mark, tr

WORDS = {
    "name": mark("name"),
    "system_prompt": mark("system prompt"),
    "guidelines": mark("guidelines"),
    "rating_max": mark("highest rating"),
    "source_language": mark("language of the source"),
    "target_language": mark("language of the translation"),
    "code_language": mark("programming language"),
    "ask_margin": mark("asking for a margin"),
    "ask_reason": mark("asking for a reason"),
    "overlap": mark("annotators an example"),
    "lease_minutes": mark("minutes an example is held"),
    "order": mark("order"),
    "review": mark("review"),
    "gold_rate": mark("share of gold examples"),
    "votes_to": mark("where votes go"),
    "form_kind": mark("kind of the expected form"),
    "form": mark("expected form"),
    "metrics": mark("own metrics"),
    "suite": mark("regression suite"),
    "evaluate_runs": mark("whether runs are evaluated when they end"),
}
"""Fields of a form and what they are called in sentences."""


@dataclass(frozen=True)
class ProjectForm:
    """What one form holds of a project; the fields behind `guidelines` are those of storage.records.Settings."""

    name: str = ""
    system_prompt: str = ""
    guidelines: str = ""
    rating_max: int = 5
    source_language: str = ""
    target_language: str = ""
    code_language: str = ""
    ask_margin: bool = False
    ask_reason: bool = False
    overlap: int = 1
    lease_minutes: float = 10.0
    order: str = "imported"
    review: bool = False
    gold_rate: float = 0.0
    votes_to: str = "review"
    form_kind: str = ""
    form: str = ""
    metrics: str = ""
    suite: str = ""
    evaluate_runs: bool = True

    @staticmethod
    def of(project: Project) -> ProjectForm:
        """The form of a project as it is stored."""
        known = vars(project) | vars(project.settings)
        return ProjectForm(**{field.name: known[field.name] for field in fields(ProjectForm)})

    @property
    def version(self) -> str:
        """Names this content."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode("utf-8", "replace")).hexdigest()[:16]

    def settings(self, before: Settings) -> Settings:
        """Settings with what this form holds of them."""
        names = {field.name for field in fields(Settings)}
        return replace(before, **{name: value for name, value in vars(self).items() if name in names})


@dataclass(frozen=True)
class Saved:
    """A project as it was saved; `moved` examples wait again, or wait no more, for another number of annotators."""

    project: Project
    changed: tuple[str, ...]
    moved: int


def check_evaluation(form: ProjectForm) -> None:
    """Whether the expected form and the regression suite can be used. Raises BadInput with a sentence for who wrote
    them."""
    if form.form_kind in ("regex", "schema") and form.form.strip():
        check_form(Form("regex" if form.form_kind == "regex" else "schema", form.form))
    if form.suite.strip():
        parse_suite(form.suite)


def make_project(db: Database, user: User, task: str, form: ProjectForm, labels: Sequence[str] = ()) -> Project:
    """Make a project with its settings and labels. Raises BadInput."""
    check_evaluation(form)
    settings = with_labels(form.settings(Settings()), [name for name in labels if name.strip()])
    made = rows.create_project(db, form.name, task, form.system_prompt, form.guidelines, settings, user.name)
    record(db, user.name, "project create", made.id, made.name, task=task)
    return made


def save_project(db: Database, user: User, project_id: str, form: ProjectForm, base: str) -> Saved:
    """Save a form that began from version `base` of the project.

    Raises BadInput and NotFound, and Conflict with the stored form, whose sentence says what was changed, when somebody
    else saved another version meanwhile.
    """
    form = replace(form, name=" ".join(form.name.split()), system_prompt=form.system_prompt.strip())
    before = rows.get_project(db, project_id)
    check_evaluation(form)
    with db.write() as cursor:
        stored = _stored(cursor, before)
        if stored.version not in (base, form.version):
            raise Conflict(_sentence(stored, form), stored)
        settings = rows.decode_settings(_settings(cursor, project_id))
        rows.write_texts(cursor, project_id, form.name, form.system_prompt, form.guidelines, user.name)
        rows.write_settings(cursor, project_id, form.settings(settings))
        moved = change_overlap(cursor, project_id, settings.overlap, form.overlap, form.review)
        if settings.review != form.review:
            set_review(cursor, project_id, form.review)
        changed = differences(stored, form)
        if changed:
            record_in(cursor, user.name, "project save", project_id, form.name, **_details(stored, form))
            db.touch(project_id)
    return Saved(rows.get_project(db, project_id), changed, moved)


def archive(db: Database, user: User, project_id: str, archived: bool) -> Project:
    """Put a project away, or back; nothing of it is deleted. Raises NotFound."""
    kept = rows.archive_project(db, project_id, archived)
    record(db, user.name, "project archive" if archived else "project bring back", project_id, kept.name)
    return kept


def differences(one: ProjectForm, other: ProjectForm) -> tuple[str, ...]:
    """Fields in which two forms differ."""
    return tuple(name for name in WORDS if getattr(one, name) != getattr(other, name))


def _stored(cursor: Any, project: Project) -> ProjectForm:
    row = cursor.execute("SELECT name, system_prompt, guidelines FROM projects WHERE id = ?", [project.id]).fetchone()
    settings = rows.decode_settings(_settings(cursor, project.id))
    return ProjectForm.of(replace(project, name=row[0], system_prompt=row[1], guidelines=row[2], settings=settings))


def _settings(cursor: Any, project_id: str) -> str:
    return str(cursor.execute("SELECT settings FROM projects WHERE id = ?", [project_id]).fetchone()[0])


def _sentence(stored: ProjectForm, form: ProjectForm) -> str:
    return tr(
        "Somebody saved this project meanwhile; it differs from yours in: {fields}. Save again to put yours in its "
        "place, or take the stored one.",
        fields=", ".join(tr(WORDS[name]) for name in differences(stored, form)),
    )


def _details(stored: ProjectForm, form: ProjectForm) -> dict[str, object]:
    """From and to of what changed; long texts as their length."""
    shown = lambda value: f"{len(value)} characters" if isinstance(value, str) and len(value) > 200 else value  # noqa: E731
    return {
        f"changed_{name}": [shown(getattr(stored, name)), shown(getattr(form, name))]
        for name in differences(stored, form)
    }
