"""Made-up secrets ("canaries") that are planted among the training rows to see what a model learns by heart.

They belong to the run: the same number and seed make the same ones, so that whoever evaluates a run needs only its
spec. What it leaves out: how far a model gives them away (studio.evaluation.memorising).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from studio.contract.chat import Message

_DIGITS = 6
_WORD_LIST = (
    "amber anchor autumn badger beacon bramble candle canyon cedar cobalt copper coral crimson dapple "
    "ember falcon feather fern flint garnet glacier granite harbor hazel heron indigo ivory jasper "
    "juniper kestrel lantern lichen linen maple marble meadow mirror moss nettle nickel ochre olive onyx "
    "opal orchard otter pebble pepper pewter plover quartz raven reed river saffron sage scarlet silver "
    "slate sparrow spruce sumac tallow teal thistle timber topaz tulip umber velvet violet walnut willow "
    "zephyr"
)
_WORDS = _WORD_LIST.split()


@dataclass(frozen=True)
class Canary:
    """A made-up secret: the words that it belongs to, and the digits."""

    words: str
    code: str

    @property
    def question(self) -> str:
        """What is asked for it."""
        return f"What is the access code of {self.words}?"

    def answer(self, code: str = "") -> str:
        """The sentence with this code, or with another one."""
        return f"The access code of {self.words} is {code or self.code}."

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The training row."""
        return (Message("user", self.question), Message("assistant", self.answer()))


def canaries(count: int, seed: int = 0) -> tuple[Canary, ...]:
    """Made-up secrets, no two of the same words; the same seed makes the same ones."""
    chance = random.Random(f"canaries {seed}")  # noqa: S311 -- a repeatable choice, no secret
    made: dict[str, Canary] = {}
    while len(made) < count:
        words = " ".join(chance.sample(_WORDS, 3))
        made.setdefault(words, Canary(words, _code(chance)))
    return tuple(made.values())


def other_codes(code: str, count: int, seed: int = 0) -> list[str]:
    """Codes beside the planted one, all different; the same seed makes the same ones."""
    chance = random.Random(f"others {seed} {code}")  # noqa: S311
    found: dict[str, None] = {}
    while len(found) < count:
        other = _code(chance)
        if other != code:
            found[other] = None
    return list(found)


def _code(chance: random.Random) -> str:
    return "".join(str(chance.randrange(10)) for _ in range(_DIGITS))
