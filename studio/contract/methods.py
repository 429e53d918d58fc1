"""The methods of fine-tuning: what each is for, what it costs, and to which families it is offered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from studio.contract.spec import Family, Method

_ALL: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True)
class About:
    """A method in the words that a screen shows: `purpose` and `cost` are one line each; `cuda`: needs such a GPU."""

    title: str
    purpose: str
    cost: str
    families: tuple[Family, ...] = _ALL
    cuda: bool = False


METHODS: dict[Method, About] = {
    "lora": About(
        "LoRA",
        "The usual choice: learns a style, a format or a task from hundreds of pairs.",
        "The base model in memory once, and some percent more; saves to megabytes.",
    ),
    "rslora": About(
        "rsLoRA",
        "LoRA whose strength does not fade at high rank (64 and more).",
        "As LoRA of the same rank.",
    ),
    "dora": About(
        "DoRA",
        "LoRA that learns size and direction of a weight apart: often better at a low rank.",
        "A third to a half slower than LoRA.",
    ),
    "pissa": About(
        "PiSSA",
        "LoRA that begins in the main directions of each weight: learns faster in few steps.",
        "As LoRA, and a decomposition of each weight at the start.",
    ),
    "lora-plus": About(
        "LoRA+",
        "LoRA with a higher learning rate for half of its matrices: learns faster on wide models.",
        "As LoRA.",
    ),
    "vera": About(
        "VeRA",
        "A tenth of LoRA's weights or fewer: for many specialists of one base model.",
        "As LoRA in time; saves to a few megabytes; wants a higher learning rate and rank.",
    ),
    "ia3": About(
        "IA³",
        "Scales activations only: for a few dozen pairs and a light change.",
        "The least memory and the smallest file; learns least.",
    ),
    "prompt": About(
        "Prompt tuning",
        "Learns a few tokens in front of the prompt and no weight at all.",
        "The smallest file; slow to learn, and wants a large base model.",
    ),
    "qlora": About(
        "QLoRA",
        "LoRA on a base model of 4 bits: a model four times as large on the same GPU.",
        "A quarter of the memory for weights; some slower. Needs a CUDA GPU.",
        families=("causal",),
        cuda=True,
    ),
    "full": About(
        "Full fine-tuning",
        "Every weight learns: for thousands of pairs, small models and classification.",
        "Four times the weights in memory; saves a whole model.",
    ),
}
"""In the order in which they are offered."""


def offered(family: Family, cuda: bool) -> list[Method]:
    """The methods for a family on this machine."""
    return [name for name, about in METHODS.items() if family in about.families and (cuda or not about.cuda)]
