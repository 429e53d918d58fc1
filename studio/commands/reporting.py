"""`report RUN FILE.html`: the verdict on a run as a page to send: one file, without script, that asks for nothing."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from studio.commands import Outcome, opened
from studio.errors import BadInput
from studio.jobs.verdict_page.saving import verdict_file, write_page
from studio.people.roles import ALONE
from studio.settings import Workspace

_WITH = (
    "The file holds texts of held-out rows: give it only to those who may read them. --without-texts leaves them out."
)
_WITHOUT = "The file holds no texts of rows."


def report(workspace: Workspace, flags: Namespace) -> Outcome:
    """`report RUN FILE.html --without-texts`: RUN is a run's id; a file that is there already is replaced."""
    path, texts = Path(flags.file), not flags.without_texts
    if path.suffix.lower() not in (".html", ".htm"):
        raise BadInput(f"'{path.name}' is no name of a page: let it end in .html.")
    with opened(workspace) as db:
        made = verdict_file(db, workspace, ALONE, flags.run, texts)
    write_page(made.content, path)
    data = {"file": str(path), "bytes": len(made.content), "texts": texts, "verdict": made.sentence}
    return Outcome(data, _WITH if texts else _WITHOUT)
