"""One process a run folder: spawn it, tell whether it lives, ask it to stop.

Life is a file lock that the child inherits: it falls when the last process holding it is gone, whatever killed it. So
there is no pid to be reused, no zombie taken for alive, and no moment between spawning and noting in which a killed app
could lose its run. What it leaves out: Windows, which has no such locks.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from studio.contract.events import LOG_FILE
from studio.errors import BadInput, JobFailed

LOCK_FILE = "alive.lock"
PROCESS_FILE = "process.json"
STOP_FILE = "stop.asked"
ROOT = Path(__file__).resolve().parents[2]
_NOTED_SECONDS = 2
_CLAIM_SECONDS = 3


@contextmanager
def claimed(run_dir: Path) -> Iterator[int]:
    """Hold the folder's lock; yields its file descriptor. Raises BadInput when a process lives in it already."""
    descriptor = os.open(run_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _locked(descriptor):
            raise BadInput("A process is at work on this run already.")
        yield descriptor
    finally:
        os.close(descriptor)


def gives_memory_back() -> dict[str, str]:
    """The environment in which a process that answers is started: glibc then returns large tensors to the system at
    once, in huge pages. By its own habit it keeps the caches of answers that have long ended, 0.7 GB of 2.8 where the
    starter model wrote 64 answers at once. Other C libraries take no notice."""
    told = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1048576"
    own = os.environ.get("GLIBC_TUNABLES")
    return {"GLIBC_TUNABLES": f"{told}:{own}" if own else told}


def spawn(run_dir: Path, module: str, lock: int, environment: Mapping[str, str] | None = None) -> int:
    """Start `python -m module run_dir` in a session of its own; it keeps the claimed `lock`. Returns its pid.

    Raises JobFailed when the system refuses (no memory, a full disk); then nothing runs.
    """
    noted = run_dir / PROCESS_FILE
    process = None
    try:
        (run_dir / STOP_FILE).unlink(missing_ok=True)
        noted.unlink(missing_ok=True)  # an earlier process's number may be anybody's by now
        with (run_dir / LOG_FILE).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(run_dir)],
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )
        whole = noted.with_suffix(".tmp")
        whole.write_text(json.dumps({"pid": process.pid}), encoding="utf-8")
        whole.replace(noted)
    except OSError as error:
        if process:
            process.kill()
        raise JobFailed(f"The process cannot be started: {error.strerror or error}.") from error
    return process.pid


def is_alive(run_dir: Path) -> bool:
    """Whether a process of this folder lives (or is just being started)."""
    try:
        descriptor = os.open(run_dir / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def ask_to_stop(run_dir: Path, hard: bool = False) -> bool:
    """Signal the folder's process group: SIGTERM, or SIGKILL when `hard`. False when nothing lives there."""
    deadline = time.monotonic() + _NOTED_SECONDS
    while (pid := _pid(run_dir)) is None and is_alive(run_dir) and time.monotonic() < deadline:
        time.sleep(0.02)  # it is just being started
    pid = _unnoted(run_dir) if pid is None else pid
    if pid is None or not is_alive(run_dir):
        return False
    (run_dir / STOP_FILE).touch()  # a process that has not begun to listen dies of the signal without a word
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL if hard else signal.SIGTERM)
    return True


def stop_was_asked(run_dir: Path) -> bool:
    """Whether somebody asked the folder's last process to stop."""
    return (run_dir / STOP_FILE).exists()


def reap(run_dir: Path) -> None:
    """Collect the folder's ended child, so that it does not stay in the process table while the app lives."""
    pid = _pid(run_dir)
    if pid is not None:
        with suppress(ChildProcessError):  # it was another app's child
            os.waitpid(pid, os.WNOHANG)


def _locked(descriptor: int) -> bool:
    # Tried for seconds: a look by `is_alive` holds the lock for an instant too, and a process that has said `done`
    # takes a while to leave.
    deadline = time.monotonic() + _CLAIM_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False


def _unnoted(run_dir: Path) -> int | None:
    """The folder's process by its command: that of one whose starter was killed before it could note the number."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[1:2] == ["-m"] and words[3:] == [str(run_dir)]:
            return int(process.pid)
    return None


def _pid(run_dir: Path) -> int | None:
    try:
        return int(json.loads((run_dir / PROCESS_FILE).read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError):
        return None
