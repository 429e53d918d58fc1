"""The disk: telling that it is full, whichever library hit it, and forcing files onto it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PHRASES = ("no space left", "os error 28", "disk quota exceeded", "os error 122", "file too large", "os error 27")


def is_disk_full(error: BaseException) -> bool:
    """True when `error`, or what caused it, says that the disk (or quota) has no room left.

    safetensors tells it as a SafetensorError and torch as a RuntimeError, so their texts are read too.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        text = str(seen).lower()
        if any(phrase in text for phrase in _PHRASES):
            return True
        # torch.save reports a failed write in these words only, whatever the reason.
        if "pytorchstreamwriter failed writing" in text or ("inline_container" in text and "unexpected pos" in text):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def sync(folder: Path) -> None:
    """Force the files of `folder` to the disk, so that a rename behind it never names unwritten data."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
