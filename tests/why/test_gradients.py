"""Gradients of rows of one batch are those of each row alone, for every family and method."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from studio.why.gradients import Gradients
from studio.why.tuned import load_tuned
from tests import tiny


def trained(root: Path, family: str, method: str) -> Path:
    """A run that took one step."""
    from studio.training.ending import run_to_end

    rows = tiny.labeled(16) if family == "bert" else tiny.pairs(16)
    base = tiny.make_model(root / "base", family)
    snapshot = tiny.make_snapshot(root / "snapshot", rows)
    quick = {"max_steps": 2, "samples": 0, "held_out_rows": 0, "evaluations": 0, "checkpoints": 0}
    run = tiny.make_run(root / "run", snapshot, root / "models", base, method=method, learning_rate=1e-2, **quick)
    assert run_to_end(run) == 0
    return run


@pytest.mark.parametrize(
    ("family", "method", "at_once"),
    [
        ("llama", "lora", True),
        ("llama", "full", True),
        ("bert", "lora", True),
        ("t5", "lora", True),
        ("llama", "dora", False),
        ("llama", "prompt", False),
    ],
)
def test_rows_of_a_batch_have_the_gradients_they_have_alone(
    tmp_path: Path, family: str, method: str, at_once: bool
) -> None:
    tuned = load_tuned(trained(tmp_path, family, method), "cpu")
    gradients = Gradients(tuned.model, tuned.ways, int(tuned.base.tokenizer.pad_token_id), 512)
    rows = list(tuned.rows().values())[:5]
    assert gradients.at_once is at_once
    together = gradients.of(rows)
    alone = torch.cat([gradients.of([row]) for row in rows])
    assert torch.allclose(together.norm(dim=1), torch.ones(5), atol=1e-4)
    assert torch.allclose(together, alone, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_a_cut_down_gradient_keeps_what_autograd_says(tmp_path: Path) -> None:
    tuned = load_tuned(trained(tmp_path, "llama", "lora"), "cpu")
    gradients = Gradients(tuned.model, tuned.ways, int(tuned.base.tokenizer.pad_token_id), 8192)
    rows = list(tuned.rows().values())[:4]
    whole = []
    for row in rows:
        tuned.model.zero_grad()
        tuned.ways.plain_loss(tuned.model, tuned.ways.collate([row], 0), 0.0).backward()
        learnt = [weight.grad.flatten() for weight in tuned.model.parameters() if weight.grad is not None]
        whole.append(torch.nn.functional.normalize(torch.cat(learnt), dim=0))
    exact, cut = torch.stack(whole), gradients.of(rows)
    assert (exact @ exact.T - cut @ cut.T).abs().max() < 0.06
