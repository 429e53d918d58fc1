"""The command line as it is typed: whatever a command's arguments are called, it is that command that runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from studio import cli


@pytest.mark.parametrize(
    "typed",
    [
        ("promote", "Support", "2"),
        ("evaluate", "run-1"),
        ("why", "run-1", "--prompt", "Hi"),
        ("export-model", "run-1", "out", "--format", "adapter"),
        ("judge", "run-1", "--url", "http://127.0.0.1:9/v1", "--model", "m", "--estimate"),
        ("serve", "--project", "Support", "2"),
    ],
)
def test_a_command_that_takes_a_run_says_what_is_missing(
    tmp_path: Path, typed: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--workspace", str(tmp_path), *typed]) == 2
    assert "Traceback" not in capsys.readouterr().err
