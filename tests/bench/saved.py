"""Where a bench leaves what it has measured: a page in results/ with date, machine and versions."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


def save(page: str, bench: str, note: str, lines: Sequence[str], threads: int) -> Path:
    """Write results/<page>.md with the printed lines of `bench`, run with the arguments `note`."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft"))
    head = (
        f"{datetime.now(UTC):%Y-%m-%d} · {processor()}, {threads} threads, no GPU · Python {platform.python_version()}"
    )
    text = "\n".join([f"# {bench} on a CPU", "", f"{head}, {versions}", "", f"`python tests/bench/{bench}.py {note}`"])
    path = RESULTS / f"{page}.md"
    path.write_text(text + "\n\n```\n" + "\n".join(lines) + "\n```\n", encoding="utf-8")
    return path


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
