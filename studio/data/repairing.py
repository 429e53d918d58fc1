"""What can be done about a preflight's finding: drop, redact, edit, put back, make copies, and undo each of them.

Each doing is one audited step over rows of a finding, all or some. A row whose text is not what the preflight read any
more is passed over and counted. What it leaves out: finding anything (studio.preflight).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage import repairs
from storage.accepted import Held, read_held
from storage.annotations import pair_key
from storage.database import Database
from storage.examples import encode_turns
from storage.projects import get_project
from storage.records import Project, User
from storage.repairs import Mended, Repair, Undone, list_repairs, list_touched
from studio.contract.preflight import CHECKS, PROPOSALS_FILE, Finding
from studio.data.fields import as_payload, fingerprint, read_fields, write_fields
from studio.data.prompts import content_key
from studio.errors import BadInput, JobFailed, NotAllowed, NotFound

__all__ = [
    "Done",
    "Held",
    "Proposal",
    "Repair",
    "Undone",
    "back",
    "drop",
    "edit_field",
    "list_repairs",
    "list_touched",
    "read_held",
    "read_proposals",
    "rewrite",
    "undo",
]

_MAY = ("reviewer", "admin")
_CHUNK = 5000


@dataclass(frozen=True)
class Proposal:
    """A text that a repair would write into one field. `copy`: 0 writes over the example, 1 and more make a new one."""

    example_id: str
    copy: int
    field: str
    before_hash: str
    after: str


@dataclass(frozen=True)
class Done:
    """A repair, and how many of the rows asked for were passed over, as they had changed."""

    repair: Repair
    passed: int


def drop(db: Database, user: User, project_id: str, ids: Sequence[str], reason: str) -> Done:
    """Leave examples out of the queue and of later snapshots. Raises BadInput, NotAllowed."""
    asked = _asked(user, ids)
    return _done(repairs.drop(db, user.name, project_id, asked, reason), len(asked))


def back(db: Database, user: User, project_id: str, ids: Sequence[str], reason: str) -> Done:
    """Put labeled examples back into the queue; their answers stay as revisions. Raises BadInput, NotAllowed."""
    asked = _asked(user, ids)
    return _done(repairs.put_back(db, user.name, project_id, asked, reason), len(asked))


def rewrite(db: Database, user: User, project_id: str, kind: str, proposals: Iterable[Proposal], reason: str) -> Done:
    """Write proposals (`kind` redact or edit: over the examples; augment: into copies of them).

    Raises BadInput when nothing can be written, NotAllowed, NotFound.
    """
    project = get_project(db, project_id)
    copies = kind == "augment"
    wanted: dict[str, dict[int, list[Proposal]]] = defaultdict(lambda: defaultdict(list))
    for proposal in proposals:
        if (proposal.copy > 0) == copies:
            wanted[proposal.example_id][proposal.copy].append(proposal)
    asked = _asked(user, list(wanted))
    made: list[Mended] = []
    for start in range(0, len(asked), _CHUNK):
        for held in read_held(db, project_id, asked[start : start + _CHUNK]):
            rows = [_mended(project, held, one) for one in wanted[held.example_id].values()]
            made += [row for row in rows if row is not None]
    if not made:
        raise BadInput("Nothing was written: the texts are not what the preflight read any more. Check again.")
    if copies:
        repair = repairs.add_copies(db, user.name, project_id, made, reason)
    else:
        repair = repairs.mend(db, user.name, project_id, kind, made, reason)
    return _done(repair, sum(map(len, wanted.values())))


def edit_field(
    db: Database, user: User, project_id: str, example_id: str, field: str, before_hash: str, text: str, reason: str
) -> Done:
    """Write a text typed by hand over one field of one example.

    Raises BadInput (with what is wrong with the text, or that somebody changed it meanwhile), NotAllowed, NotFound.
    """
    _asked(user, [example_id])
    project = get_project(db, project_id)
    found = read_held(db, project_id, [example_id])
    if not found:
        raise NotFound("This example does not exist any more.")
    held = found[0]
    if fingerprint(read_fields(project.task, held).get(field, "")) != before_hash:
        raise BadInput("Somebody changed this text meanwhile: look at it again.")
    if held.status != "labeled":
        raise BadInput("This example is not labeled any more: it cannot be edited here.")
    row = _row(project, held, {field: text})
    if row is None:
        raise BadInput("Nothing was changed: this is the text that is there.")
    return _done(repairs.mend(db, user.name, project_id, "edit", [row], reason), 1)


def undo(db: Database, user: User, project_id: str, number: int) -> Undone:
    """Restore what a repair found, but for rows that were changed since. Raises BadInput, Conflict, NotAllowed,
    NotFound."""
    _check_role(user)
    return repairs.undo_repair(db, user.name, project_id, number)


def read_proposals(folder: Path, finding: int, ids: Sequence[str] | None = None) -> list[Proposal]:
    """What a finding's repair would write, for some rows or all. Raises JobFailed where the file cannot be read."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = folder / PROPOSALS_FILE
    if not path.exists():
        return []
    try:
        chosen = pc.field("finding") == finding
        if ids is not None:
            chosen &= pc.field("example_id").isin(pa.array(list(ids), pa.string()))
        table = pq.read_table(path, filters=chosen)
        names = ("example_id", "copy", "field", "before_hash", "after")
        columns = [table.column(name).to_pylist() for name in names]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise JobFailed("The preflight's proposals cannot be read: run the preflight again.") from error
    return [Proposal(*row) for row in zip(*columns, strict=True)]


def repair_reason(finding: Finding) -> str:
    """A finding's name as a repair keeps it."""
    return CHECKS.get(finding.check, finding.check)


def _mended(project: Project, held: Held, proposals: Sequence[Proposal]) -> Mended | None:
    """The row to write, or None where a text is not what the proposals were made of, or could not be stored."""
    if held.status != "labeled":
        return None
    known = read_fields(project.task, held)
    if any(fingerprint(known.get(one.field, "")) != one.before_hash for one in proposals):
        return None
    try:
        return _row(project, held, {one.field: one.after for one in proposals})
    except BadInput:
        return None


def _row(project: Project, held: Held, texts: Mapping[str, str]) -> Mended | None:
    """The row with new texts; None where nothing is new. Raises BadInput."""
    made = write_fields(project, held, texts)
    same = made.prompt == held.turns and made.context == held.context and made.payload == held.payload_texts
    if same and (made.response, made.value) == (held.response, held.value):
        return None
    key = content_key(made.prompt, made.context, made.payload)
    # What did not change is written as it was: whoever stored it may have spelled the same JSON otherwise.
    prompt = held.prompt if made.prompt == held.turns else encode_turns(made.prompt)
    payload = held.payload if made.payload == held.payload_texts else as_payload(made.payload)
    return Mended(
        *(held.example_id, held.prompt, held.context, held.payload, held.annotation_id),
        *(prompt, made.context, payload, key, made.response, made.value, pair_key(key, made.response)),
    )


def _asked(user: User, ids: Sequence[str]) -> list[str]:
    _check_role(user)
    asked = list(dict.fromkeys(ids))
    if not asked:
        raise BadInput("There are no rows to do this with.")
    return asked


def _check_role(user: User) -> None:
    if user.role not in _MAY:
        raise NotAllowed("Only reviewers and admins change examples.")


def _done(repair: Repair, asked: int) -> Done:
    return Done(repair, asked - repair.rows)
