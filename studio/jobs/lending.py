"""Idle servers make room for jobs that lack memory, and come back when those have ended.

The queue asks by a file in the server's folder (contract.serving.Loan) and renews it at each of its looks; the server
goes when nobody asks it anything, and a request brings it back where there is room for both. What it leaves out: which
job starts (placing.py), and the leaving itself (studio.serving).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.database import Database
from storage.queued import AT_WORK, Job, list_jobs
from studio.contract.serving import LOAN_FILE, Loan, read_loan, write_loan
from studio.contract.spec import SPEC_FILE
from studio.errors import DiskFull
from studio.jobs.naming import name_of
from studio.jobs.processes import is_alive
from studio.jobs.serving import Server, serving_standing
from studio.settings import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Want:
    """A job that lacks memory, and the bytes that it lacks on each device it could take."""

    job: Job
    missing: Mapping[str, int]


def settle_loans(db: Database, workspace: Workspace, wants: Sequence[Want] = ()) -> None:
    """Ask servers for what jobs want, ask on for those that still wait or are at work, let the others come back."""
    folders = [spec.parent for spec in (workspace.root / "serving").glob(f"*/{SPEC_FILE}")]
    folders = [one for one in folders if wants or (one / LOAN_FILE).exists()]
    here = {job.job_id for job in list_jobs(db, ("waiting", *AT_WORK))} if folders else ()
    asked = _asked([serving_standing(one) for one in folders if wants and is_alive(one)], wants)
    for folder in folders:
        before = read_loan(folder)
        kept = {job: planned for job, planned in before.jobs.items() if job in here} if before else {}
        wanted = [want.job for want in asked.get(folder, ())]
        jobs = kept | {job.job_id: job.memory_bytes for job in wanted}
        name = before.name if before and kept else name_of(db, workspace, wanted[0]) if wanted else ""
        with suppress(FileNotFoundError):  # the server's folder was removed just now
            _write(folder, Loan(name=name, jobs=jobs) if jobs and is_alive(folder) else None, before)


def _asked(servers: Sequence[Server], wants: Sequence[Want]) -> dict[Path, list[Want]]:
    """Which servers are asked for which jobs: those of the first device where their memory would be enough."""
    asked: dict[Path, list[Want]] = {}
    for want in wants:
        for key, missing in want.missing.items():
            there = [one for one in servers if one.device == key and one.lends]
            if sum(one.bytes for one in there) >= missing:
                for one in there:
                    asked.setdefault(one.folder, []).append(want)
                break
    return asked


def _write(folder: Path, loan: Loan | None, before: Loan | None) -> None:
    try:
        if loan and loan == before:
            os.utime(folder / LOAN_FILE)
        else:
            write_loan(folder, loan)
    except DiskFull as error:  # the job waits on, and is asked for again at the next look
        _log.warning("The server of %s could not be asked for its memory: %s", folder, error)
