"""Personal data and secrets in every field of every row, and each text with typed placeholders in their place.

A value keeps its number over all fields of an example: [EMAIL_1] in the prompt is [EMAIL_1] in the answer. Both
findings propose the same text, free of both, so that doing one after the other undoes nothing. No value goes into the
report."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.contract.preflight import PreflightSpec, Repair
from studio.preflight import recognisers, secrets
from studio.preflight.found import Beat, Checked, Found, Proposal, have, of, proposal
from studio.preflight.rows import Rows

Span = tuple[int, int, str]

_PLACEHOLDER = re.compile(r"\[([A-Z][A-Z_]*)_(\d{1,6})\]")
_BEAT_ROWS = 64


@dataclass
class _Hits:
    """What one of the two looks for has found so far."""

    names: dict[str, str]
    rows: list[int] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)
    by_row: Counter[str] = field(default_factory=Counter)
    proposals: list[Proposal] = field(default_factory=list)

    def note(self, row: int, kinds: Sequence[str], proposals: Sequence[Proposal]) -> None:
        """One row's kinds, each as often as it was found."""
        self.rows.append(row)
        self.found.update(kinds)
        self.by_row.update(set(kinds))
        self.proposals += proposals

    def table(self) -> list[dict[str, Any]]:
        """Kinds with their counts, the most frequent first."""
        return [
            {"kind": kind, "name": self.names[kind], "rows": self.by_row[kind], "found": count}
            for kind, count in self.found.most_common()
        ]


def check_personal(rows: Rows, spec: PreflightSpec, beat: Beat) -> Checked:
    """Rows with personal data, rows with secrets, and all of their fields redacted."""
    allowed = frozenset(_key("", one) for one in spec.allowed)
    personal, keys = _Hits(recognisers.NAMES), _Hits(secrets.NAMES)
    for row, fields in rows.fields():
        if row % _BEAT_ROWS == 0:
            beat(row, len(rows))
        found = [(name, text, _spans(text, allowed)) for name, text in fields]
        if not any(spans for _, _, spans in found):
            continue
        kinds = [kind for _, _, spans in found for _, _, kind in spans]
        proposals = [proposal(row, name, before, after) for name, before, after in redact(found)]
        for hits in (personal, keys):
            if own := [kind for kind in kinds if kind in hits.names]:
                hits.note(row, own, proposals)
    figures = {"personal-data": personal.table(), "secrets": keys.table()}
    return Checked(list(_findings(rows, personal, keys)), {name: one for name, one in figures.items() if one})


def redact(fields: Iterable[tuple[str, str, Sequence[Span]]]) -> list[tuple[str, str, str]]:
    """Name, text and redacted text of the fields in which something was found, in one numbering.

    `fields`: name, text, and what was found in it. Placeholders that stand there already keep their numbers.
    """
    fields = list(fields)
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    highest: Counter[str] = Counter()
    for _, text, _ in fields:
        for kind, number in _PLACEHOLDER.findall(text):
            highest[kind] = max(highest[kind], int(number))
    made = []
    for name, text, spans in fields:
        parts, at = [], 0
        for start, end, kind in spans:
            key = _key(kind, text[start:end])
            if key not in numbers[kind]:
                highest[kind] += 1
                numbers[kind][key] = highest[kind]
            parts += [text[at:start], f"[{kind}_{numbers[kind][key]}]"]
            at = end
        if spans:
            made.append((name, text, "".join([*parts, text[at:]])))
    return made


def redacted(texts: Sequence[str]) -> list[str]:
    """Texts of one conversation with typed placeholders in place of personal data and secrets, in one numbering."""
    found = redact([(str(at), text, _spans(text, ())) for at, text in enumerate(texts)])
    changed = {int(name): after for name, _, after in found}
    return [changed.get(at, text) for at, text in enumerate(texts)]


def _spans(text: str, allowed: Collection[str]) -> list[Span]:
    """Secrets, and personal data that is no part of one."""
    found = secrets.secret_spans(text)
    for start, end, kind in recognisers.personal_spans(text):
        if all(end <= first or last <= start for first, last, _ in found):
            found.append((start, end, kind))
    return sorted(one for one in found if not allowed or _key("", text[one[0] : one[1]]) not in allowed)


def _key(kind: str, value: str) -> str:
    """What makes two values one: no case, and no spaces or marks between digits."""
    plain = value.casefold().strip()
    return plain if "@" in plain or kind == "PASSWORD" else re.sub(r"[^\w@]", "", plain)


def _findings(rows: Rows, personal: _Hits, keys: _Hits) -> Iterable[Found]:
    for check, hits, word, severity in (
        ("personal-data", personal, "personal data", "warning"),
        ("secrets", keys, "secrets", "error"),
    ):
        if hits.rows:
            listed = ", ".join(f"{one['found']:,} × {one['name']}" for one in hits.table()[:6])
            text = f"{of(len(hits.rows), len(rows))} {have(len(hits.rows))} {word}: {listed}."
            details = {"kinds": {one["kind"]: one["found"] for one in hits.table()}}
            repairs: tuple[Repair, ...] = ("redact", "drop", "back")
            yield Found(
                check,
                "error" if severity == "error" else "warning",
                text,
                hits.rows,
                repairs,
                details,
                (),
                hits.proposals,
            )
