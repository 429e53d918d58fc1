"""Identity terms: the built-in word list, and the plain text in which a user writes another.

    # a remark
    gender/female: she, her, woman, women       the terms of one group of one kind
    gender/male: he, him, his, man, men
    swap gender: she = he, woman = man           terms that counterfactual copies exchange, both ways
    never: American Express                      phrases in which no term counts

Terms are whole words or several words, case does not count. What it leaves out: other languages than English, names of
people, and words whose sense only a reader can tell ("white", "old", "straight").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from studio.errors import BadSpec

_LIMIT = 100_000
_NAME = re.compile(r"[\w -]{1,40}")

BUILT_IN = """\
# Identity terms. One group a line: kind/group: term, term. Pairs to exchange: swap kind: term = term.

gender/female: she, her, hers, herself, woman, women, girl, girls, lady, ladies, female, females, mother, mothers, mom, mum, daughter, daughters, sister, sisters, wife, wives, girlfriend, aunt, niece, grandmother, grandma, granddaughter, queen, actress, waitress, Mrs, Ms, Miss, ma'am, madam
gender/male: he, him, his, himself, man, men, boy, boys, gentleman, gentlemen, male, males, father, fathers, dad, son, sons, brother, brothers, husband, husbands, boyfriend, uncle, nephew, grandfather, grandpa, grandson, king, actor, waiter, Mr, sir
gender/non-binary: non-binary, nonbinary, transgender, trans woman, trans man, genderqueer, intersex
swap gender: she = he, herself = himself, woman = man, women = men, girl = boy, girls = boys, lady = gentleman, ladies = gentlemen, female = male, females = males, mother = father, mothers = fathers, mom = dad, daughter = son, daughters = sons, sister = brother, sisters = brothers, wife = husband, wives = husbands, girlfriend = boyfriend, aunt = uncle, niece = nephew, grandmother = grandfather, grandma = grandpa, granddaughter = grandson, queen = king, actress = actor, waitress = waiter, Mrs = Mr, madam = sir

age/young: teenager, teenagers, teen, teens, adolescent, adolescents, youngster, youngsters, millennial, millennials, young man, young woman, young people, young person
age/old: elderly, senior citizen, senior citizens, pensioner, pensioners, retiree, retirees, old man, old woman, old people, old person, octogenarian
swap age: young man = old man, young woman = old woman, young people = old people, young person = old person, teenager = pensioner, teenagers = pensioners

religion/Christian: Christian, Christians, Christianity, Catholic, Catholics, Protestant, Protestants, church, churches, Bible
religion/Muslim: Muslim, Muslims, Islam, Islamic, mosque, mosques, Quran, Koran
religion/Jewish: Jewish, Jew, Jews, Judaism, synagogue, synagogues, Torah
religion/Hindu: Hindu, Hindus, Hinduism
religion/Buddhist: Buddhist, Buddhists, Buddhism
religion/none: atheist, atheists, atheism, agnostic, agnostics
swap religion: Christian = Muslim, Christians = Muslims, Christianity = Islam, church = mosque, churches = mosques, Bible = Quran, Jewish = Buddhist, Hindu = atheist, Hindus = atheists

nationality/American: American, Americans, United States, USA
nationality/British: British, Briton, Britons, English people, Englishman, Englishwoman
nationality/German: German, Germans, Germany
nationality/French: Frenchman, Frenchwoman, French people, France
nationality/Chinese: Chinese, China
nationality/Indian: Indian, Indians, India
nationality/Mexican: Mexican, Mexicans, Mexico
nationality/Nigerian: Nigerian, Nigerians, Nigeria
nationality/Russian: Russian, Russians, Russia
nationality/Arab: Arab, Arabs, Syrian, Syrians, Iraqi, Iraqis
nationality/foreign: immigrant, immigrants, refugee, refugees, migrant, migrants, foreigner, foreigners
swap nationality: American = Mexican, Americans = Mexicans, German = Nigerian, Germans = Nigerians, Germany = Nigeria, India = Russia, Indian = Russian, Indians = Russians

disability/disabled: disabled, disability, disabilities, wheelchair, blind person, blind people, visually impaired, deaf, hearing impaired, autistic, autism, dyslexic, dyslexia, Down syndrome, cerebral palsy, mental illness, mentally ill, bipolar, schizophrenic, schizophrenia

never: American Express, German shepherd, Chinese checkers, Indian Ocean, Indian summer, Arab Emirates
"""  # noqa: E501


@dataclass(frozen=True)
class Terms:
    """`groups`: terms (no capitals) by (kind, group); `swaps`: by kind, each term with the one that replaces it;
    `never`: phrases in which no term counts."""

    groups: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    swaps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    never: frozenset[str] = frozenset()


def parse_terms(text: str) -> Terms:
    """The word list of a text, the built-in one for ''. Raises BadSpec with the number of the line that is wrong."""
    if len(text) > _LIMIT:
        raise BadSpec(f"The list of identity terms is longer than {_LIMIT:,} characters: leave some out.")
    groups: dict[tuple[str, str], frozenset[str]] = {}
    swaps: dict[str, dict[str, str]] = {}
    never: set[str] = set()
    for number, line in enumerate((text.strip() or BUILT_IN).splitlines(), start=1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        head, colon, rest = line.partition(":")
        kind, slash, group = (part.strip() for part in head.partition("/"))
        words = [" ".join(word.split()) for word in rest.split(",") if word.strip()]
        if not colon or not words:
            raise BadSpec(_wrong(number))
        if head.strip() == "never":
            never |= {word.casefold() for word in words}
        elif kind.startswith("swap ") and not slash:
            swaps.setdefault(kind.removeprefix("swap ").strip(), {}).update(_pairs(words, number))
        elif _NAME.fullmatch(kind) and _NAME.fullmatch(group):
            groups[kind, group] = groups.get((kind, group), frozenset()) | {word.casefold() for word in words}
        else:
            raise BadSpec(_wrong(number))
    return Terms(groups, swaps, frozenset(never))


def _pairs(words: list[str], number: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        one, equals, other = (part.strip() for part in word.partition("="))
        if not (one and equals and other) or "=" in other:
            raise BadSpec(_wrong(number))
        found |= {one.casefold(): other, other.casefold(): one}
    return found


def _wrong(number: int) -> str:
    known = "'kind/group: term, term', 'swap kind: term = term' and 'never: phrase'"
    return f"Line {number} of the identity terms is none of {known}."
