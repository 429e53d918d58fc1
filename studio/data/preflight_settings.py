"""What a project tells every preflight: its word list of identity terms, and texts that are no personal data."""

from __future__ import annotations

from dataclasses import replace

from storage.audit import record_in
from storage.database import Database
from storage.projects import get_project, write_settings
from storage.records import Project, User
from studio.contract.answers import unsafe_text
from studio.contract.terms import BUILT_IN, parse_terms
from studio.errors import BadInput, NotAllowed
from studio.language import tr

_MOST_ALLOWED = 500


def save_preflight_settings(db: Database, user: User, project_id: str, terms: str, allowed: str) -> Project:
    """Keep the word list (as it is typed, '' for the built-in one) and the exceptions, one a line.

    Raises BadSpec for a line of the list that is wrong, BadInput for what is too long, NotAllowed, NotFound.
    """
    if user.role != "admin":
        raise NotAllowed("Only admins change a project's settings.")
    texts = tuple(dict.fromkeys(line.strip() for line in allowed.splitlines() if line.strip()))
    parse_terms(terms)
    kept = "" if terms.strip() == BUILT_IN.strip() else terms.strip()
    if len(texts) > _MOST_ALLOWED:
        raise BadInput(tr("There are {count:,} exceptions: at most {most}.", count=len(texts), most=_MOST_ALLOWED))
    if problem := unsafe_text(terms + allowed):
        raise BadInput(tr("This cannot be saved: {problem}. Remove that character.", problem=tr(problem)))
    settings = replace(get_project(db, project_id).settings, identity_terms=kept, allowed_texts=texts)
    with db.write() as cursor:
        write_settings(cursor, project_id, settings)
        record_in(
            cursor, user.name, "preflight words", project_id, allowed=len(texts), terms=bool(settings.identity_terms)
        )
        db.touch(project_id)
    return get_project(db, project_id)
