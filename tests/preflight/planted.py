"""Rows for a preflight, and faults planted in them of which it is known which rows have them.

The clean rows are made of a small grammar, so that no data set is needed; `bench_preflight` plants into real ones.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_TURN = pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string()), ("train", pa.bool_())])
_FIELD = pa.struct([("name", pa.string()), ("text", pa.string())])
_KINDS: dict[str, pa.DataType] = {"messages": pa.list_(_TURN), "fields": pa.list_(_FIELD)}


@dataclass(frozen=True)
class Row:
    """One pair. `turns` and `fields` only where they are not simply the prompt and the answer."""

    prompt: str
    answer: str
    split: str = ""
    label: str = ""
    context: str = ""
    system: str = ""
    rejected: str | None = None
    turns: tuple[dict[str, Any], ...] = ()

    def messages(self) -> list[dict[str, Any]]:
        """The turns as a snapshot has them."""
        if self.turns:
            return [{"extra": "", "train": None} | turn for turn in self.turns]
        asked = f"{self.context}\n\n{self.prompt}" if self.context else self.prompt
        said = [("system", self.system)] * bool(self.system) + [("user", asked), ("assistant", self.answer)]
        return [{"role": r, "content": c, "extra": "", "train": r == "assistant"} for r, c in said]

    def fields(self) -> list[dict[str, str]]:
        """The fields as the example stores them."""
        named = [("turn:0", self.prompt), ("context", self.context), ("answer", self.answer)]
        return [{"name": name, "text": text} for name, text in named if text or name != "context"]


def write(folder: Path, rows: Sequence[Row], task: str, **spec: object) -> Path:
    """The job's folder as the app writes it; ids are "row-00000" and so on, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, list[Any]] = {
        "example_id": [row_id(number) for number in range(len(rows))],
        "split": [row.split for row in rows],
        "label": [row.label for row in rows],
        "annotator": ["ann"] * len(rows),
        "messages": [row.messages() for row in rows],
        "rejected": [row.rejected for row in rows],
        "tools": [""] * len(rows),
        "fields": [row.fields() for row in rows],
    }
    table = pa.table({name: pa.array(column, _KINDS.get(name, pa.string())) for name, column in columns.items()})
    pq.write_table(table, folder / "rows.parquet")
    (folder / "spec.json").write_text(json.dumps({"models": str(folder / "models"), "task": task} | spec))
    return folder


def row_id(number: int) -> str:
    """The id that `write` gives a row."""
    return f"row-{number:05d}"


_WHO = [
    "My colleague", "The lady next door", "Our landlord", "A customer from Leeds", "The new intern", "My cousin",
    "The bus driver", "A teacher",
]  # fmt: skip
_DID = [
    "returned", "ordered", "repaired", "complained about", "painted", "lost", "borrowed", "photographed", "cleaned",
    "forgot", "wrapped", "measured",
]  # fmt: skip
_WHAT = [
    "a copper kettle", "the garden hose", "two velvet curtains", "an old bicycle", "the coffee grinder",
    "a stack of postcards", "her umbrella", "the kitchen scales", "a woollen blanket", "our tent", "the piano stool",
    "a box of candles", "the spare tyre", "his violin",
]  # fmt: skip
_WHERE = [
    "near the harbour", "before breakfast", "during the storm", "at the museum", "on the way to Bristol",
    "behind the bakery", "in the attic", "without telling anybody", "after the concert", "at the airport",
    "by the river", "in the middle of winter",
]  # fmt: skip
_ASK = [
    "What should happen next?", "Is that covered by the guarantee?", "Who pays for it?", "Can this be undone?",
    "How would you explain it?", "Which department handles this?", "Would you mention it in the report?",
]  # fmt: skip
_SAY = [
    "In most cases a short note to the office is enough, and somebody will call within two days.",
    "That depends on the contract, so read the second page first and ask if it stays unclear.",
    "Keep the receipt, because the shop replaces such things as long as nothing was broken on purpose.",
    "Nobody has to pay anything when the damage was small and everyone agreed.",
    "The best way is to take a picture, describe what happened, and wait for an answer.",
]  # fmt: skip


def clean(count: int, seed: int = 0) -> list[Row]:
    """Rows with whole sentences and nothing wrong: no two questions alike, every answer of its own."""
    draw = random.Random(seed)
    made: dict[str, Row] = {}
    while len(made) < count:
        who, did, what, where = (draw.choice(words) for words in (_WHO, _DID, _WHAT, _WHERE))
        other = f"{draw.choice(_WHO)} {draw.choice(_DID)} {draw.choice(_WHAT)} {draw.choice(_WHERE)}"
        third = f"{draw.choice(_WHO)} {draw.choice(_DID)} {draw.choice(_WHAT)} {draw.choice(_WHERE)}"
        prompt = f"{who} {did} {what} {where}, while {_low(other)}, and then {_low(third)}. {draw.choice(_ASK)}"
        answer = f"{did.capitalize()} {what} {where}. {' '.join(draw.sample(_SAY, 2))}"
        made.setdefault(prompt, Row(prompt, answer))
    return list(made.values())


def _low(text: str) -> str:
    return text[0].lower() + text[1:]


@dataclass
class Planted:
    """Rows with faults, and by check the numbers of the rows that have one."""

    rows: list[Row]
    truth: dict[str, set[int]] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    draw: random.Random = field(default_factory=random.Random)

    def change(self, check: str, count: int, how: Callable[[Row, int], Row]) -> None:
        """Plant a fault in rows that have none yet."""
        for number in range(count):
            place = self.free.pop()
            self.rows[place] = how(self.rows[place], number)
            self.truth.setdefault(check, set()).add(place)

    def copy(self, check: str, count: int, how: Callable[[Row, int], Row], both: bool = False) -> None:
        """Put an altered copy of a row without fault at the end; `both`: the first one counts as well."""
        for number in range(count):
            place = self.free.pop()
            self.truth.setdefault(check, set()).update({len(self.rows), *([place] if both else ())})
            self.rows.append(how(self.rows[place], number))


def begin(rows: Sequence[Row], seed: int) -> Planted:
    """Nothing planted yet."""
    draw = random.Random(seed)
    free = list(range(len(rows)))
    draw.shuffle(free)
    return Planted(list(rows), {}, free, draw)


def plant_text(rows: Sequence[Row], seed: int, counts: Mapping[str, int]) -> Planted:
    """Faults of data whose answers are texts."""
    made = begin(rows, seed)
    draw = made.draw
    personal, keys = personal_data(draw), secret_texts(draw)
    made.change("personal-data", counts["personal-data"], lambda row, n: put(draw, row, personal[n % len(personal)]))
    made.change("secrets", counts["secrets"], lambda row, n: put(draw, row, keys[n % len(keys)]))
    made.change("encoding", counts["encoding"], lambda row, n: replace(row, answer=f"{row.answer} {mojibake(n)}"))
    made.change(
        "refusals", counts["refusals"], lambda row, n: replace(row, answer=REFUSALS[n % len(REFUSALS)].format(n))
    )
    made.change(
        "languages",
        counts["languages"],
        lambda row, n: replace(row, prompt=FOREIGN[n % len(FOREIGN)]),
    )
    made.change("answer-cut", counts["answer-cut"], lambda row, n: replace(row, answer=" ".join([row.answer] * 60)))
    made.change("no-target", counts["no-target"], lambda row, n: without_target(row))
    made.copy(
        "near-duplicates", counts["near-duplicates"], lambda row, n: replace(row, prompt=edited(draw, row.prompt, n))
    )
    other = clean(counts["conflicts"], seed + 1)
    made.copy(
        "conflicts", counts["conflicts"], lambda row, n: replace(row, answer=other[n].answer + " Or so they say."), True
    )
    made.copy("exact-duplicates", counts["exact-duplicates"], lambda row, n: row)
    return made


def plant_labels(rows: Sequence[Row], seed: int, flipped: float, leaks: int) -> Planted:
    """Wrong labels and leaks into the test split, in labeled rows."""
    made = begin(rows, seed)
    names = sorted({row.label for row in rows})

    def other(row: Row, number: int) -> Row:
        wrong = made.draw.choice([name for name in names if name != row.label])
        return replace(row, label=wrong, answer=wrong)

    made.change("flipped-labels", round(flipped * len(rows)), other)
    for number in range(leaks):
        place = made.free.pop()
        row = made.rows[place]
        prompt = edited(made.draw, row.prompt, number) if number % 2 else row.prompt
        made.rows.append(replace(row, prompt=prompt, split="test"))
        made.truth.setdefault("leaks", set()).add(place)  # the row of the training split is the one to go
    return made


def edited(draw: random.Random, text: str, number: int) -> str:
    """A near-duplicate: two letters swapped, two words swapped, other punctuation and capitals, or a greeting
    before."""
    words, kind = text.split(), number % 5
    if kind == 0:
        at = draw.choice(
            [at for at in range(1, len(text) - 2) if text[at : at + 2].isalpha() and text[at] != text[at + 1]]
        )
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == 1:
        at = draw.randrange(len(words) - 1)
        return " ".join([*words[:at], words[at + 1], words[at], *words[at + 2 :]])
    if kind == 2:
        return text.rstrip("?.!").upper() + " ?!"
    if kind == 3:
        return draw.choice(("Hello, ", "Hi there: ", "Quick question: ", "Please: ")) + text
    return " ".join(f"{word}," if place == len(words) // 2 else word for place, word in enumerate(words)) + " Thanks!"


def put(draw: random.Random, row: Row, text: str) -> Row:
    """The text behind the prompt or behind the answer."""
    if draw.random() < 0.5:
        return replace(row, prompt=f"{row.prompt} {text}")
    return replace(row, answer=f"{row.answer} {text}")


def without_target(row: Row) -> Row:
    """The row with no turn that is trained on."""
    turns = (
        {"role": "user", "content": row.prompt, "train": False},
        {"role": "assistant", "content": row.answer, "train": False},
    )
    return replace(row, turns=turns)


def _luhn(head: str) -> str:
    total = sum(sum(divmod(int(d) * (2 if at % 2 == 0 else 1), 10)) for at, d in enumerate(reversed(head)))
    return head + str(-total % 10)


def personal_data(draw: random.Random) -> list[str]:
    """Sentences with personal data, each in one of several formats, with numbers of their own."""

    def digits(count: int) -> str:
        return "".join(draw.choice("0123456789") for _ in range(count))

    def iban(country: str, body: str) -> str:
        shifted = "".join(str(int(char, 36)) for char in f"{body}{country}00")
        return f"{country}{98 - int(shifted) % 97:02d}{body}"

    def dea() -> str:
        six = digits(6)
        return f"B{draw.choice('ABCDF')}{six}{(sum(map(int, six[::2])) + 2 * sum(map(int, six[1::2]))) % 10}"

    line = f"5{draw.randrange(50, 99)}-{digits(4)}"
    visa, amex = _luhn("4" + digits(14)), _luhn("37" + digits(12))
    german, british = iban("DE", digits(18)), iban("GB", f"NWBK{digits(14)}")
    grouped = " ".join(german[at : at + 4] for at in range(0, len(german), 4))
    return [
        f"You can write to anna.{digits(3)}@example.com.",
        f"Mail: k.o'brien+{digits(2)}@post.firm.co.uk",
        f"My address is paul{digits(2)} [at] mailhost [dot] org.",
        f"Call (415) {line}.",
        f"My cell is 415-{line}.",
        f"Phone: +44 20 7946 {digits(4)}.",
        f"Reach me at +49 30 {draw.randrange(2, 9)}{digits(6)}.",
        f"Text me at 415.{line.replace('-', '.')} please.",
        f"Please dial 415{line.replace('-', '')}.",
        f"I paid with {visa[:4]} {visa[4:8]} {visa[8:12]} {visa[12:]}.",
        f"Card number {visa}.",
        f"It was charged to {visa[:4]}-{visa[4:8]}-{visa[8:12]}-{visa[12:]}.",
        f"My Amex: {amex[:4]} {amex[4:10]} {amex[10:]}.",
        f"Transfer it to {grouped}.",
        f"IBAN {british}.",
        f"The login came from 203.0.113.{draw.randrange(2, 250)}.",
        f"Server: 2001:db8:{digits(3)}a::8a2e:370:{digits(4)}.",
        f"SSN {draw.randrange(101, 600)}-{draw.randrange(10, 99)}-{draw.randrange(1000, 9999)}.",
        f"Her social security number is {draw.randrange(101, 600)} {draw.randrange(10, 99)} 4{digits(3)}.",
        f"The doctor's DEA number is {dea()}.",
    ]


def secret_texts(draw: random.Random) -> list[str]:
    """Sentences with keys, tokens and passwords."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"

    def some(count: int, of: str = letters) -> str:
        return "".join(draw.choice(of) for _ in range(count))

    return [
        f"Use AKIA{some(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')} for it.",
        f"The token is ghp_{some(36)}.",
        f"OPENAI_API_KEY=sk-proj-{some(40)}",
        f"Slack: xoxb-{some(12, '0123456789')}-{some(24)}",
        f"stripe.api_key = 'sk_live_{some(24)}'",
        f"postgres://app:{some(12)}7@db.internal:5432/main",
        f'"api_key": "{some(30)}4a"',
        f"password: {some(10)}7!",
        f"AIza{some(35)} is the maps key.",
        f"-----BEGIN RSA PRIVATE KEY-----\n{some(64)}\n{some(64)}\n-----END RSA PRIVATE KEY-----",
        f"Bearer eyJ{some(20)}.eyJ{some(30)}.{some(40)}",
    ]


def mojibake(number: int) -> str:
    """UTF-8 read as Latin-1 or Windows-1252, or a character that was lost."""
    text = (
        "Le café est fermé à midi.",
        "Die Größe der Tür stört.",
        "It’s the customer’s “own” choice.",
        "El niño comió.",
    )
    if number % 5 == 4:
        return "Gr\ufffd\ufffde aus M\ufffdnchen."
    return text[number % 4].encode().decode(("cp1252", "latin-1")[number % 4 != 2 and number % 2], "replace")


REFUSALS = [
    "I'm sorry, but I can't help with request {0}.",
    "I’m sorry, but I cannot assist with that, number {0}.",
    "As an AI language model, I do not have opinions on matter {0}.",
    "I cannot provide that information, see rule {0}.",
    "Unfortunately, I am unable to answer this question ({0}).",
    "I apologize, but I can't fulfill request {0}.",
]

FOREIGN = [
    "Gestern hat mir jemand erzählt, dass die Lieferung erst in der nächsten Woche kommen soll, stimmt das wirklich?",
    "Je voudrais savoir pourquoi la livraison n'est toujours pas arrivée alors que j'ai payé il y a deux semaines.",
    "Quisiera saber por qué todavía no ha llegado el paquete que compré hace ya dos semanas en su tienda.",
    "Мне хотелось бы узнать, почему посылка до сих пор не пришла, хотя я оплатил её две недели назад.",
    "Vorrei sapere perché il mio ordine non è ancora stato spedito, dato che ho già pagato tutto il mese scorso.",
    "Kunt u mij vertellen hoe ik mijn rekening kan opzeggen zonder dat ik daarvoor extra kosten moet betalen?",
    "Die Heizung in unserem Büro ist seit Montag kaputt, und niemand weiß, wer sich darum kümmern soll.",
    "Pouvez-vous m'expliquer comment fonctionne cette machine, car le mode d'emploi est vraiment incompréhensible ?",
    "El gerente me prometió una respuesta antes del viernes, pero nadie ha contestado mis mensajes desde entonces.",
    "请问为什么我两个星期前在你们商店买的东西到现在还没有送到我家里来?",
]


def scores(found: Sequence[int], truth: set[int]) -> tuple[float, float]:
    """Recall and precision of the rows that a check named."""
    hits = len(truth & set(found))
    return hits / max(1, len(truth)), hits / max(1, len(set(found)))
