"""Classification heads: the labels that an encoder knows, a fresh head for new ones, and logits as labels.

An answer of several labels is their texts joined by ", ", in the order of the classes; no label at all is "".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SEPARATOR = ", "
MULTI = "multi_label_classification"
SINGLE = "single_label_classification"
NO_CLASSIFIER = "(no classifier: the base model was never trained on these labels)"
"""What stands in the place of a base model's answer whose head is random."""

THRESHOLD = 0.5
"""Probability from which a label is given, where there may be several."""


@dataclass(frozen=True)
class LabelSet:
    """The classes in the order of the logits; `several`: a text may have any number of them, else exactly one."""

    names: tuple[str, ...]
    several: bool = False


def labels_of(config: Any) -> LabelSet | None:
    """The labels that a config names; None where it has only the placeholders of transformers (LABEL_0 …)."""
    found = {int(number): str(name) for number, name in (getattr(config, "id2label", None) or {}).items()}
    names = tuple(found[number] for number in sorted(found))
    if not names or all(name == f"LABEL_{number}" for number, name in enumerate(names)):
        return None
    return LabelSet(names, getattr(config, "problem_type", None) == MULTI)


def name_labels(config: Any, labels: LabelSet) -> None:
    """Write labels into a model's config."""
    config.id2label = dict(enumerate(labels.names))
    config.label2id = {name: number for number, name in enumerate(labels.names)}
    config.num_labels = len(labels.names)
    config.problem_type = MULTI if labels.several else SINGLE


def head_names(model: Any) -> list[str]:
    """The children of a classification model with weights of their own, beside its body ("classifier", "score")."""
    return [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and next(child.parameters(), None) is not None
    ]


def make_fresh(model: Any, names: Sequence[str], seed: int) -> None:
    """Random weights (normal, of the config's own width; biases 0) for the linear layers under `names`."""
    random = torch.Generator().manual_seed(seed)
    width = float(getattr(model.config, "initializer_range", None) or 0.02)
    for name in names:
        for module in model.get_submodule(name).modules():
            if isinstance(module, nn.Linear):
                made = torch.empty(module.weight.shape).normal_(0.0, width, generator=random)
                module.weight.data.copy_(made)
                if module.bias is not None:
                    module.bias.data.zero_()


@dataclass(frozen=True)
class Verdict:
    """What a classifier says of a text; `probability` of its label, of several the lowest of those that it gives
    (of none, that none is right)."""

    text: str
    probability: float


def verdicts(config: Any, logits: Tensor) -> list[Verdict]:
    """Logits [texts, classes] as labels, by the names in `config`."""
    names = [str(config.id2label[number]) for number in range(logits.shape[-1])]
    if getattr(config, "problem_type", None) != MULTI:
        best = logits.float().softmax(-1).max(-1)
        return [Verdict(names[int(at)], float(share)) for share, at in zip(best.values, best.indices, strict=True)]
    return [_several(names, row) for row in logits.float().sigmoid().tolist()]


def _several(names: Sequence[str], shares: Sequence[float]) -> Verdict:
    given = [number for number, share in enumerate(shares) if share >= THRESHOLD]
    if not given:
        return Verdict("", min(1 - share for share in shares))
    return Verdict(SEPARATOR.join(names[number] for number in given), min(shares[number] for number in given))
