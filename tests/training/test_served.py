"""What the trainer leaves is what the engine serves: the answers of a run's samples, again, from its folder."""

from __future__ import annotations

import pytest

from studio.contract.chat import Message
from studio.contract.spec import EngineSpec
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from tests import tiny
from tests.training.test_methods import RATES
from tests.training.test_recipe import data_of


@pytest.mark.parametrize("kind", ["llama", "t5", "bert"])
def test_the_engine_answers_as_the_trainer_did(tmp_path, train, kind):
    rows, told = (tiny.labeled if kind == "bert" else tiny.pairs), {}
    base = tiny.make_model(tmp_path / "base", kind)
    snapshot = tiny.make_snapshot(tmp_path / "s", rows(24), [], rows(4, 200), system="Be brief.")
    for method in ("pissa", "vera", "ia3", "prompt", "full"):
        fields = {"method": method, "max_steps": 3, "learning_rate": RATES.get(method, 1e-2), "checkpoints": 0}
        run = tiny.make_run(tmp_path / "runs" / method, snapshot, tmp_path / "models", base, **fields)
        told[method] = [(sample["prompt"], sample["tuned"]) for sample in data_of(train(run)[1], "sample")]
    spec = {"base_model": str(base), "token": "x" * 16, "owner": 0, "device": "cpu"}
    engine = Engine.load(EngineSpec(models=tmp_path / "models", runs=tmp_path / "runs", **spec))
    for method, pairs in told.items():
        for prompt, answer in pairs:
            turns = (Message("system", "Be brief."), Message("user", prompt))
            pieces = engine.generate([GenerationRequest(turns, method, max_tokens=4)])
            assert "".join(piece.text for piece in pieces).strip() == answer, method
