"""A classifier's answers: the text of the likeliest label, or of every label that is likelier than not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from studio.inference.decode import DecodeRow, Through, entropy, padded
from studio.models.heads import Verdict, verdicts


@torch.inference_mode()
def classify(through: Through, rows: Sequence[DecodeRow]) -> list[tuple[Verdict, float]]:
    """What a classifier says of each prompt, all in one batch, and its uncertainty in nats (where a text may have
    several labels: the mean over the labels of the entropy of yes or no)."""
    ids, mask, embeds = padded(through, rows, left=False)
    inputs: dict[str, Any] = {"attention_mask": mask}
    inputs |= {"input_ids": ids} if embeds is None else {"inputs_embeds": embeds}
    scores = through.forward([row.adapter for row in rows], inputs).logits.float()
    served = through.served
    nats = _doubt(scores) if served.several else entropy(scores)
    return list(zip(verdicts(served.model.config, scores), nats.tolist(), strict=True))


def _doubt(scores: torch.Tensor) -> torch.Tensor:
    chances = torch.sigmoid(scores)
    return (torch.special.entr(chances) + torch.special.entr(1 - chances)).mean(-1)
