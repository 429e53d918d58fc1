"""Which engine writes a server's answers: the studio's own, or vLLM where that is installed and can work.

What it leaves out: whether the runs are such as vLLM serves, which the server finds out (studio.serving).
"""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from typing import Literal

from studio.errors import BadSpec
from studio.jobs.devices import list_devices
from studio.language import tr

Choice = Literal["auto", "studio", "vllm"]
_OLDEST = (0, 12)
"""The first version that knows `structured_outputs` alone, after the older names for it were removed."""


def engine_for(asked: Choice, device: str) -> Choice:
    """`auto` only where vLLM can be tried, else `studio`. Raises BadSpec for `vllm` where it cannot work."""
    missing = "" if asked == "studio" else _missing(device)
    if asked == "vllm" and missing:
        raise BadSpec(tr("{missing}, or serve with --engine studio.", missing=missing))
    return "studio" if missing else asked


def _missing(device: str) -> str:
    """What vLLM lacks here, with what to do about it."""
    least = ".".join(map(str, _OLDEST))
    if find_spec("vllm") is None:
        return tr("vLLM is not installed: install it beside the studio (`pip install 'vllm>={least}'`)", least=least)
    if _version() < _OLDEST:
        return tr("vLLM is older than {least}: install a newer one (`pip install -U 'vllm>={least}'`)", least=least)
    if device not in ("auto", "cuda") or not any(one.kind == "cuda" for one in list_devices()):
        return tr("vLLM needs a CUDA GPU, and this server has none: start it on a machine with one")
    return ""


def _version() -> tuple[int, ...]:
    try:
        parts = metadata.version("vllm").split(".")[:2]
    except metadata.PackageNotFoundError:  # built from its sources: taken for new
        return _OLDEST
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)
