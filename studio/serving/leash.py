"""`python leash.py PARENT COMMAND …`: become COMMAND, and end when the process PARENT ends, whatever ended that.

A program of its own, as the kernel's promise (Linux: PR_SET_PDEATHSIG) has to be asked for by the child. It outlives
exec. Elsewhere than on Linux only an orderly end of the parent ends the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Never comes back."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(argv[0]):
        sys.exit(1)  # it ended before the promise was made
    os.execvp(argv[1], argv[1:])  # noqa: S606 # nosec B606


if __name__ == "__main__":
    main(sys.argv[1:])
