"""`judge RUN`: an estimate sends nothing, the verdict comes as JSON, and the key is the environment's."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from storage.database import Database
from studio.commands.judging import judge
from studio.errors import BadInput
from studio.settings import Workspace
from tests.jobs.judged_run import BAD, GOOD, FakeJudge, evaluated, fair, said

KEY = "sk-of-the-environment"


def flags(run: str, url: str, **given: object) -> Namespace:
    known = {
        "model": "m",
        "criteria": "Prefer GOOD.",
        "rows": 100,
        "price_in": 10.0,
        "price_out": 0.0,
        "most_cost": 0.0,
    }
    known |= {"reply_tokens": 100, "no_reference": True, "estimate": False}
    return Namespace(run=run, url=url, **(known | given))


def test_a_run_is_judged_with_the_key_of_the_environment(
    db: Database, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = evaluated(db, workspace, [("Q?", BAD, GOOD), ("R?", BAD, GOOD)])
    db.close()
    monkeypatch.setenv("SFT_STUDIO_JUDGE_KEY", KEY)
    criteria = tmp_path / "criteria.txt"
    criteria.write_text("Prefer GOOD.")
    with FakeJudge(lambda shown: said(fair(shown))).open() as fake:
        would = judge(workspace, flags(run.id, fake.url, estimate=True))
        assert would.data["requests"] == 4 and "4 requests to 127.0.0.1" in would.message and fake.answered == 0
        found = judge(workspace, flags(run.id, fake.url, criteria=f"@{criteria}"))
    assert (found.data["wins"], found.data["judged"], found.data["order_changed"]) == (2, 2, 0.0)
    assert found.data["people"] is None and found.data["cost"] == pytest.approx(0.004)
    assert set(fake.keys) == {f"Bearer {KEY}"} and "reference" not in str(fake.asked[0]["messages"])
    with pytest.raises(BadInput, match="cannot be read from"):
        judge(workspace, flags(run.id, fake.url, criteria="@/nowhere"))
