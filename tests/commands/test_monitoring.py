"""`monitor`: figures as JSON, limits, the queue of what went badly."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from storage.database import Database
from storage.records import Project
from studio.commands.monitoring import add_monitor_flags, monitor
from studio.contract.traffic import TRAFFIC_FILE, Feedback, ServedRequest
from studio.errors import BadInput
from studio.settings import Workspace


@pytest.fixture
def closed(db: Database, workspace: Workspace, project: Project) -> Workspace:
    """A workspace that no app has open, with thirty requests of the last hour; every third got a thumb down."""
    db.close()
    folder = workspace.root / "serving" / "one"
    folder.mkdir(parents=True)
    lines: list[ServedRequest | Feedback] = []
    for n in range(30):
        at = datetime.now(UTC) - timedelta(minutes=n)
        turns = ({"role": "user", "content": f"Where is {n}?"}, {"role": "assistant", "content": "There."})
        asked = {"id": f"r{n}", "at": at, "model": "Support@production", "status": 200, "messages": turns}
        lines.append(ServedRequest.model_validate(asked | {"answer_tokens": 20, "total_ms": 500.0}))
        lines.append(Feedback(request_id=f"r{n}", at=at, rating=1 if n % 3 else -1))
    (folder / TRAFFIC_FILE).write_text("".join(line.model_dump_json() + "\n" for line in lines), encoding="utf-8")
    return workspace


def run(workspace: Workspace, *words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_monitor_flags(parser)
    found: dict[str, Any] = json.loads(json.dumps(monitor(workspace, parser.parse_args(["Support", *words])).data))
    return found


def test_the_figures_of_a_day(closed: Workspace) -> None:
    found = run(closed)
    figures = found["figures"]
    assert (figures["requests"], figures["up"], figures["down"], figures["tokens_per_second"]) == (30, 20, 10, 40.0)
    assert len(found["buckets"]) == 48 and sum(one["requests"] for one in found["buckets"]) == 30
    assert (found["project"], found["production"], found["drift"], found["alerts"]) == ("Support", "", None, [])


def test_a_limit_raises_an_alert(closed: Workspace) -> None:
    found = run(closed, "--limit", "feedback=0.9", "--limit", "p95_ms=10000")
    assert [(one["kind"], one["threshold"]) for one in found["alerts"]] == [("feedback", 0.9)]
    assert run(closed, "--limit", "feedback=")["watch"] == {"p95_ms": 10000.0}
    with pytest.raises(BadInput, match="A limit is a number"):
        run(closed, "--limit", "feedback=high")


def test_label_these_from_the_command_line(closed: Workspace) -> None:
    found = run(closed, "--label-these", "--by", "ann")
    assert (found["made"]["requests"], len(found["made"]["examples"])) == (10, 10)
    assert found["labeled"] == {"low-rated": 10, "drifting": 0, "unsure": 0}
    assert run(closed, "--label-these")["made"]["requests"] == 0


def test_times_that_cannot_be_are_refused(closed: Workspace) -> None:
    with pytest.raises(BadInput, match="Look back"):
        run(closed, "--hours", "0")
