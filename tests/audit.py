"""Ask pip-audit for known holes in the installed libraries: python -m tests.audit (needs the network to know any).

It fails where there are holes; where the index tells nothing, as without a network, it says so and passes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def main() -> int:
    """Print what was found; 1 where a library has a known hole."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
    told = subprocess.run([*command, "--timeout", "5"], capture_output=True, text=True, check=False)
    try:
        libraries: list[dict[str, Any]] = json.loads(told.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit: not asked, {(told.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        return 0
    lines, holes = summary(libraries)
    print("\n".join(lines))
    return 1 if holes else 0


def summary(libraries: list[dict[str, Any]]) -> tuple[list[str], int]:
    """What to print of pip-audit's list of libraries, and how many known holes they have."""
    unknown = sum("skip_reason" in one for one in libraries)
    holes = [
        f"{one['name']} {one['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for one in libraries
        for hole in one.get("vulns", [])
    ]
    head = f"pip-audit: {len(libraries) - unknown} libraries looked up, {len(holes)} known holes"
    return [head + (f"; {unknown} unknown to the index" if unknown else ""), *holes], len(holes)


if __name__ == "__main__":
    sys.exit(main())
