"""The process: a report and two tables, whole or not at all; cancelled, without a model, with a broken check."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from studio.contract.events import EventWriter, read_all
from studio.contract.preflight import (
    CHECKS,
    NAMED_FILE,
    NAMED_ROWS,
    PROPOSAL_COLUMNS,
    PROPOSALS_FILE,
    REPORT_FILE,
    read_preflight_spec,
    read_report,
)
from studio.errors import BadFile
from studio.preflight import looking
from tests.preflight import planted
from tests.preflight.planted import Row, clean

ROOT = Path(__file__).parents[2]


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "studio.preflight", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=subprocess.DEVNULL)


def look(folder: Path) -> None:
    events = EventWriter(folder)
    looking.look(folder, read_preflight_spec(folder), events)
    events.close()


def test_a_report_is_written_and_progress_told(tmp_path: Path) -> None:
    rows = [*clean(20), *clean(3), Row("Mail me: ann@x.org", "Done, I wrote to ann@x.org just now.")]
    folder = planted.write(tmp_path, rows, "instruction", base_model=str(tmp_path / "none"))
    assert start(folder).wait(120) == 0
    report = read_report(folder)
    assert [one.check for one in report.findings] == ["exact-duplicates", "personal-data"]
    assert report.rows == 24 and report.model == "" and "none" in report.model_problem and report.lengths is None
    proposals = pq.read_table(folder / PROPOSALS_FILE)
    assert tuple(proposals.column_names) == PROPOSAL_COLUMNS and proposals["finding"].to_pylist() == [1, 1]
    assert "ann@x.org" not in (folder / REPORT_FILE).read_text() + str(proposals.to_pylist())
    events = read_all(folder)
    steps = [event.data for event in events if event.kind == "step"]
    assert events[-1].data == {"state": "done"} and steps[-1]["step"] == steps[-1]["steps"] and len(steps) >= 10


def test_the_report_names_some_rows_and_the_table_all(tmp_path: Path) -> None:
    folder = planted.write(tmp_path, clean(1) * (NAMED_ROWS + 50), "instruction", base_model="/none")
    look(folder)
    (finding,) = read_report(folder).findings
    assert finding.count == NAMED_ROWS + 49 and len(finding.rows) == NAMED_ROWS
    named = pq.read_table(folder / NAMED_FILE).to_pylist()
    assert len(named) == finding.count and {line["cluster"] for line in named} == {0}


def test_clean_rows_have_an_empty_report(tmp_path: Path) -> None:
    from tests.tiny import make_model

    folder = planted.write(tmp_path, clean(80), "instruction", base_model=str(make_model(tmp_path / "tiny")))
    look(folder)
    report = read_report(folder)
    assert report.findings == () and report.model_problem == "" and len(report.shown) == 24
    assert pq.read_table(folder / NAMED_FILE).num_rows == 0


@pytest.mark.parametrize("rows", [[], [Row("", "")], [Row("a", "b", turns=({"role": "user", "content": None},))]])
def test_next_to_nothing_is_no_trouble(tmp_path: Path, rows: list[Row]) -> None:
    for task in ("instruction", "classification", "preference"):
        look(planted.write(tmp_path / task, rows, task, base_model="/none"))
        assert read_report(tmp_path / task).rows == len(rows)
        assert not [event for event in read_all(tmp_path / task) if event.kind == "warning"]


def test_a_stop_leaves_no_half_report(tmp_path: Path) -> None:
    folder = planted.write(tmp_path, clean(3000), "instruction", base_model="/none")
    process = start(folder)
    while not any(event.kind == "step" for event in read_all(folder)):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert read_all(folder)[-1].data == {"state": "stopped"} and not (folder / REPORT_FILE).exists()


def test_a_broken_check_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setitem(looking.FAMILIES, "duplicates", ("Looking for duplicates", broken))
    folder = planted.write(
        tmp_path, [*clean(20), Row("Mail ann@x.org", "Done, and told her so.")], "instruction", base_model="/none"
    )
    look(folder)
    assert [one.check for one in read_report(folder).findings] == ["personal-data"]
    assert [event.data["message"][:14] for event in read_all(folder) if event.kind == "warning"] == ["A check failed"]


def test_damaged_rows_are_told(tmp_path: Path) -> None:
    folder = planted.write(tmp_path, clean(3), "instruction")
    (folder / "rows.parquet").write_bytes(b"PAR1 not at all")
    assert start(folder).wait(60) == 1
    assert [event.data["kind"] for event in read_all(folder) if event.kind == "error"] == ["BadFile"]
    with pytest.raises(BadFile, match="start the preflight again"):
        look(folder)


def test_every_check_has_its_place_in_the_report() -> None:
    found = [line for path in (ROOT / "studio" / "preflight").glob("*.py") for line in path.read_text().splitlines()]
    assert [check for check in CHECKS if not any(f'"{check}"' in line for line in found)] == []
