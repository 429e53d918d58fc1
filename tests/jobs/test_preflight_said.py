"""A preflight's sentences in the reader's language: figures as it writes them, and what is anybody's as it stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from studio.jobs.preflight_said import retold
from studio.language import reading
from studio.preflight.found import of


@pytest.fixture
def german() -> Iterator[None]:
    reading("de")
    yield
    reading("en")


@pytest.mark.usefixtures("german")
def test_a_finding_is_said_in_german() -> None:
    assert retold(f"{of(1200, 40000)} are the same as an earlier row, word for word, in 1,100 groups.") == (
        "1.200 von 40.000 Zeilen (3 %) sind Wort für Wort gleich einer früheren Zeile, in 1.100 Gruppen."
    )
    listed = "12 in French, 3 in German and 2 more languages"
    assert retold(f"{of(17, 400)} are not in English like the rest: {listed}.") == (
        "17 von 400 Zeilen (4 %) sind nicht auf Englisch wie die übrigen: "
        "12 auf Französisch, 3 auf Deutsch und 2 weitere Sprachen."
    )
    hits = "5 × SendGrid, Twilio or Telegram key, 1 × Password"
    assert retold(f"{of(1, 400)} has secrets: {hits}.") == (
        "1 von 400 Zeilen (0.2 %) hat Geheimnisse: 5 × SendGrid-, Twilio- oder Telegram-Schlüssel, 1 × Passwort."
    )


@pytest.mark.usefixtures("german")
def test_what_is_anybodys_stays() -> None:
    said = retold(f"{of(3, 400)} begin like many others: 3 with “{{count}} of <b>them</b>, is”.")
    assert said.endswith("„{count} of <b>them</b>, is“.") and said.startswith("3 von 400 Zeilen")
    for other in ("", "What is it?", "1 of 2 rows (50 %) are something new.", "x" * 5000):
        assert retold(other) == other


def test_in_english_a_sentence_is_what_was_kept() -> None:
    assert retold(f"{of(1, 1)} has secrets: 1 × Password.") == "1 of 1 row (100 %) has secrets: 1 × Password."
