"""A model in memory with what answering from it needs, however it got there: the base, one beside it, a whole one."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch

from studio.contract.spec import Family
from studio.errors import BadInput
from studio.models.answers import context_window, stop_ids
from studio.models.heads import LabelSet
from studio.models.loading import LoadedBase


class NoClassifier(BadInput):
    """The base of a classification run was asked: it has no head that knows the labels."""


@dataclass(frozen=True)
class Takes:
    """Which optional inputs a model's forward has."""

    position_ids: bool
    logits_to_keep: bool

    @classmethod
    def of(cls, model: Any) -> Takes:
        """Read them off the signature (there is no other way to ask)."""
        names = inspect.signature(model.forward).parameters
        return cls("position_ids" in names, "logits_to_keep" in names)


@dataclass(frozen=True, eq=False)
class Served:
    """A model that answers. `ends`: token ids that end an answer. `context`: tokens that it has positions for, None
    without a limit. `prefix`: virtual tokens in front of every prompt, shape (tokens, width), where all rows have them.

    `labels` and `several` are those of a classifier: the texts in the order of its logits, and whether one text can
    have any number of them.
    """

    model: Any
    tokenizer: Any
    family: Family
    takes: Takes
    ends: frozenset[int]
    context: int | None
    device: torch.device
    labels: tuple[str, ...] = ()
    several: bool = False
    prefix: torch.Tensor | None = None

    @property
    def pad_id(self) -> int:
        """The token that fills short rows."""
        return int(self.tokenizer.pad_token_id or 0)


def serve(
    base: LoadedBase,
    model: Any = None,
    tokenizer: Any = None,
    labels: LabelSet | None = None,
    prefix: torch.Tensor | None = None,
) -> Served:
    """A loaded base, or `model` made of it with a tokenizer and `labels` of its own, ready to answer."""
    answering, reading = model or base.model, tokenizer or base.tokenizer
    # A head that is not in the base's folder was made at random: it knows nothing, whatever its labels are called.
    known = labels or LabelSet(() if base.fresh else base.labels, base.several)
    return Served(
        model=answering,
        tokenizer=reading,
        family=base.family,
        takes=Takes.of(answering),
        ends=frozenset() if base.family == "encoder" else frozenset(stop_ids(answering, reading)),
        context=positions(answering),
        device=next(answering.parameters()).device,
        labels=known.names,
        several=known.several,
        prefix=prefix,
    )


def positions(model: Any) -> int | None:
    """Like `context_window`, without the positions that RoBERTa's kind counts but never uses (up to the padding's)."""
    window = context_window(model)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding) and module.padding_idx:
            return min(window or module.num_embeddings, module.num_embeddings - module.padding_idx - 1)
    return window
