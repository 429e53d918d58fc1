"""The other processes of a run that several share: started by the first, in its process group, gone when it is gone.

torch's and accelerate's launchers put each worker in a session of its own and kill it thirty seconds after a stop: a
signal to the run's process group would reach neither workers nor, in time, a large checkpoint. So the first process
starts the others itself. They take no signals: the first one is asked to stop and all of them agree on the step
(together.py). One that dies ends the run, with the last line of its own log. A run that a launcher has started
(`accelerate launch -m studio.training RUN_DIR`) finds its ranks in the environment and is left alone here. What it
leaves out: several machines, which are a launcher's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studio.contract.spec import read_train_spec
from studio.errors import BadSpec

PARENT = "STUDIO_FIRST_PROCESS"
MEETING = "STUDIO_MEETING"
"""The file in which the processes find each other; a port would be open to others."""
LOG = "log.{rank}.txt"

_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 15.0
"""For the first process to notice by itself that another died; then it is ended from aside."""
_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux."""

_helpers: list[Helper] = []


class Helper:
    """A process of a run beside the first one; `count`: processes of the run."""

    def __init__(self, run_dir: Path, rank: int, count: int, environment: dict[str, str]) -> None:
        self.rank, self._count, self._log = rank, count, run_dir / LOG.format(rank=rank)
        with self._log.open("wb") as log:
            # No close_fds: the lock that says that a run lives is to fall with the last of its processes.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "studio.training", str(run_dir)],
                env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank), PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                close_fds=False,
            )

    @property
    def died(self) -> bool:
        """Whether it is gone without having done its share."""
        return self._process.poll() not in (None, 0)

    def end(self) -> None:
        """Kill it, if it is still there, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def obituary(self) -> str:
        """What became of it, with the last line of its log."""
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        with suppress(OSError):
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            if last := next((line.strip() for line in reversed(lines) if line.strip()), ""):
                how += f"; its last words: {last[:300]}"
        return f"Process {self.rank + 1} of {self._count} {how}"


@contextmanager
def helped(run_dir: Path) -> Iterator[None]:
    """Have the other processes of a run work beside this one, where its spec asks for several."""
    count = _wanted(run_dir)
    if count == 1:
        yield
        return
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="studio-run-") as folder:
        os.environ.update(_environment(count, Path(folder) / "meeting"))
        _helpers.extend(Helper(run_dir, rank, count, dict(os.environ)) for rank in range(1, count))
        threading.Thread(target=_watch, name="helpers", daemon=True).start()
        try:
            yield
        finally:
            ended = list(_helpers)
            _helpers.clear()
            for helper in ended:
                helper.end()
            os.environ.clear()
            os.environ.update(before)


def is_helper() -> bool:
    """Whether this process was started by the first one of its run."""
    return PARENT in os.environ


def follow_first() -> None:
    """What a helper does before anything else: it leaves signals to the first process, and goes when that goes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != int(os.environ[PARENT]):
        os._exit(1)  # it went before the system could be told


def obituaries(wait_seconds: float = 2.0) -> str:
    """What became of the helpers that died, a sentence; '' where all live. A connection breaks a moment before its
    process can be seen to be gone, so it waits a little."""
    deadline = time.monotonic() + wait_seconds
    while _helpers:
        dead = [helper for helper in _helpers if helper.died]
        if dead or time.monotonic() > deadline:
            return ". ".join(helper.obituary() for helper in dead)
        time.sleep(0.05)
    return ""


def _wanted(run_dir: Path) -> int:
    if "WORLD_SIZE" in os.environ:
        return 1  # a launcher's, or a helper itself
    try:
        return read_train_spec(run_dir).ranks
    except BadSpec:  # the recipe will say so
        return 1


def _environment(count: int, meeting: Path) -> dict[str, str]:
    """What torch and accelerate read; nothing of it is reachable from another machine."""
    here = "lo0" if sys.platform == "darwin" else "lo"
    threads = str(max(1, (os.cpu_count() or 1) // count))
    return {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        MEETING: str(meeting),
        "GLOO_SOCKET_IFNAME": here,
        "NCCL_SOCKET_IFNAME": here,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
    }


def _watch() -> None:
    """End this process where another died and this one does not notice: it may wait in a GPU's queue for ever."""
    died_at = 0.0
    while _helpers:
        dead = [helper for helper in _helpers if helper.died]
        died_at = (died_at or time.monotonic()) if dead else 0.0
        if dead and time.monotonic() - died_at > _GRACE_SECONDS:
            print(". ".join(helper.obituary() for helper in dead), file=sys.stderr, flush=True)
            for helper in _helpers:
                helper.end()
            os._exit(1)
        time.sleep(_LOOK_SECONDS)
