"""What is kept in English is known again by its form and said in the reader's language; names of people never are."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from studio import language
from studio.deploy import sentences
from studio.deploy.sentences import EXPORTS, LOOKS, MESSAGES, OUTCOMES, REASONS, SERVERS, retold
from studio.language import reading

FORMS = [(form, known) for known in (REASONS, MESSAGES, LOOKS, OUTCOMES, SERVERS, EXPORTS) for form in known]


@pytest.fixture(autouse=True)
def german(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A catalog in which every form has its own place and says the names that it was filled with, in their order."""
    texts = {form: f"<{place}> {' '.join(re.findall(r'{.*?}', form))}" for place, (form, _) in enumerate(FORMS)}
    monkeypatch.setattr(language, "_texts", lambda code: texts if code == "de" else {})
    reading("de")
    yield
    reading("en")


def place(form: str) -> str:
    """How the catalog of these tests begins the translation of a form."""
    return language.texts_of("de")[form].split(" ")[0]  # type: ignore[union-attr]


@pytest.mark.parametrize(("form", "known"), FORMS, ids=[form[:40] for form, _ in FORMS])
def test_every_form_is_known_again(form: str, known: tuple[str, ...]) -> None:
    names = re.findall(r"{(\w+)}", form)
    values = {name: "1,234" if name in sentences._FIGURES else f"({name})" for name in names}
    kept = form.format(**values)
    assert retold(kept, known).startswith(place(form))
    assert [one for one in values.values() if one not in retold(kept, known)] == []
    reading("en")
    assert retold(kept, known) == kept


def test_a_sentence_within_a_sentence_is_said_too() -> None:
    model = sentences.CHAMPION.format(number=3)
    told = sentences.COUNTED.format(wins=3, losses=2, rows="1,050", metric="chrF")
    decision = sentences.KEPT.format(why=sentences.UNSURE.format(model=model, told=told))
    kept = sentences.SOME_LEFT_OUT.format(decision=decision, count="12")
    forms = (sentences.SOME_LEFT_OUT, sentences.KEPT, sentences.UNSURE, sentences.CHAMPION, sentences.COUNTED)
    said = retold(kept, MESSAGES)
    assert all(place(form) in said for form in forms) and "production" not in said and "1,050" in said


def test_a_name_is_not_taken_for_a_sentence() -> None:
    user = "Ending"
    assert retold(sentences.ASKED_FOR.format(user=user), REASONS).endswith(" Ending")
    assert retold(sentences.CANCELLED.format(user="{x.__class__}"), MESSAGES).endswith(" {x.__class__}")


def test_anything_else_stays() -> None:
    for said in ("", "Whatever.", "Run three failed: x", "x" * 5000, "{0} {}", "sent (200) twice"):
        assert retold(said, MESSAGES) == said
    assert retold("sent (200)", ()) == "sent (200)"


def test_long_hostile_text_is_given_up_soon() -> None:
    said = "better on 1, worse on 1 of 1 held-out answers by " * 40
    assert retold(said, MESSAGES)
