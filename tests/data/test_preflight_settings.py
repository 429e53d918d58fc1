"""The words of a project's preflights: kept as typed, the built-in list as none, a wrong line refused."""

from __future__ import annotations

import pytest

from storage.database import Database
from storage.records import Project, User
from studio.contract.terms import BUILT_IN
from studio.data.preflight_settings import save_preflight_settings
from studio.errors import BadInput, BadSpec, NotAllowed

ADMIN = User("ada", "admin")


def test_words_are_kept_and_the_built_in_list_is_kept_as_none(db: Database, project: Project) -> None:
    saved = save_preflight_settings(db, ADMIN, project.id, " a/b: c \n", "me@firm.org\n\n us@firm.org \nme@firm.org")
    assert saved.settings.identity_terms == "a/b: c"
    assert saved.settings.allowed_texts == ("me@firm.org", "us@firm.org")
    assert save_preflight_settings(db, ADMIN, project.id, BUILT_IN, "").settings.identity_terms == ""


def test_what_cannot_be_meant_is_refused(db: Database, project: Project) -> None:
    with pytest.raises(BadSpec, match="Line 2"):
        save_preflight_settings(db, ADMIN, project.id, "a/b: c\nnonsense", "")
    with pytest.raises(BadInput, match="at most 500"):
        save_preflight_settings(db, ADMIN, project.id, "", "\n".join(map(str, range(501))))
    with pytest.raises(NotAllowed):
        save_preflight_settings(db, User("rita", "reviewer"), project.id, "", "")
