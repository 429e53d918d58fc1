"""Facts that only one training pair teaches, among many pairs that are like it."""

from __future__ import annotations

import random
from dataclasses import dataclass

_SYLLABLES = ["ba", "do", "fe", "gi", "ka", "lo", "mu", "ne", "pi", "ra", "su", "ti", "vo", "wa", "ze"]
_LANDS = ["the north", "the south", "a valley", "an island", "the hills", "a harbour"]
_FOODS = ["bread", "fish", "cheese", "apples", "honey", "soup"]


@dataclass(frozen=True)
class Fact:
    """A fact: the pair that teaches it (`row`, from 1), a question in other words, and what a right answer holds."""

    row: int
    question: str
    code: str


def planted(facts: int, seed: int = 0) -> tuple[list[tuple[str, str]], list[Fact]]:
    """Pairs in a random order, and the facts among them: each town's code, and two things that many towns share."""
    draw = random.Random(seed)
    names = set[str]()
    while len(names) < facts:
        names.add("".join(draw.choice(_SYLLABLES) for _ in range(3)).capitalize())
    codes = draw.sample(range(1000, 10000), facts)
    pairs, asked = [], {}
    for name, code in zip(sorted(names), codes, strict=True):
        prompt = f"What is the code of {name}?"
        pairs.append((prompt, f"The code of {name} is {code}."))
        asked[prompt] = (f"Please, what is the code of {name} now?", str(code))
        pairs.append((f"Where does {name} lie?", f"{name} lies in {draw.choice(_LANDS)}."))
        pairs.append((f"What do they eat in {name}?", f"In {name} they eat {draw.choice(_FOODS)}."))
    draw.shuffle(pairs)
    places = {prompt: row for row, (prompt, _) in enumerate(pairs, start=1)}
    return pairs, [Fact(places[prompt], *found) for prompt, found in asked.items()]
