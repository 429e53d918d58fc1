"""What a text becomes for a reader: its translation or English, names filled in but never followed, figures, forms."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from studio import language
from studio.language import asked_language, mark, reader, reading, script_texts, texts_of, tr, trn

GERMAN = {
    "Hello": "Hallo",
    "Run {number} is done.": "Lauf {number} ist fertig.",
    "{count:,} row": ("{count:,} Zeile", "{count:,} Zeilen"),
    "{rate:.1f} tokens/s": "{rate:.1f} Tokens/s",
}
CHINESE = {"Hello": "你好", "{count:,} row": ("{count:,} 行",)}


@pytest.fixture(autouse=True)
def catalogs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two small catalogs; English is read again afterwards."""
    kept = {"de": GERMAN, "zh": CHINESE}
    monkeypatch.setattr(language, "_texts", lambda code: kept.get(code, {}))
    yield
    reading("en")


def test_a_text_is_said_in_the_readers_language_or_in_english() -> None:
    assert reader() == "en" and tr("Hello") == "Hello" == mark("Hello")
    reading("de")
    assert tr("Hello") == "Hallo" and tr("Run {number} is done.", number=3) == "Lauf 3 ist fertig."
    assert tr("Nobody has translated {this}.", this="it") == "Nobody has translated it."
    reading("zh")
    assert tr("Hello") == "你好" and tr("Run {number} is done.", number=3) == "Run 3 is done."


@pytest.mark.parametrize("code", ["", "fr", "../../x", "DE", "en-GB", "<script>", "x" * 100_000])
def test_an_unknown_language_is_english(code: str) -> None:
    reading(code)
    assert reader() == "en" and tr("Hello") == "Hello" and texts_of(code) == {}


def test_a_name_that_is_not_given_is_a_bug_that_shows() -> None:
    with pytest.raises(KeyError):
        tr("Run {number} of {project}", number=3)
    assert tr("Nothing is filled in without values: {this}") == "Nothing is filled in without values: {this}"


@pytest.mark.parametrize("text", ["{x.__class__}", "{x[0]}", "{x.__init__.__globals__}", "{0}", "{}"])
def test_what_is_filled_in_is_never_reached_into(text: str) -> None:
    with pytest.raises(KeyError):
        tr(text, x="abc")


@pytest.mark.parametrize("code", ["en", "de", "zh"])
def test_what_is_filled_in_is_not_filled_again(code: str) -> None:
    reading(code)
    for said in ("{number}", "{x.__class__}", "{", "{{}}", "%(x)s", "${1}"):
        assert said in tr("Run {number} is done.", number=said)


def test_figures_have_the_separators_of_the_language() -> None:
    shown = lambda: (tr("{n:,}", n=1234567), tr("{rate:.1f} tokens/s", rate=1.25), tr("{n:,.2f}", n=1234.5))  # noqa: E731
    assert shown() == ("1,234,567", "1.2 tokens/s", "1,234.50")
    reading("de")
    assert shown() == ("1.234.567", "1,2 Tokens/s", "1.234,50")
    reading("zh")
    assert shown() == ("1,234,567", "1.2 tokens/s", "1,234.50")


def test_only_figures_with_a_format_are_written_anew() -> None:
    reading("de")
    assert tr("{n} of {name:>5}", n=1.5, name="a.b") == "1.5 of   a.b"


def test_one_and_many_have_the_forms_of_the_language() -> None:
    counted = lambda: [trn("{count:,} row", "{count:,} rows", n) for n in (0, 1, 2, 1234)]  # noqa: E731
    assert counted() == ["0 rows", "1 row", "2 rows", "1,234 rows"]
    reading("de")
    assert counted() == ["0 Zeilen", "1 Zeile", "2 Zeilen", "1.234 Zeilen"]
    reading("zh")
    assert counted() == ["0 行", "1 行", "2 行", "1,234 行"]
    assert trn("{count} left of {all}", "{count} are left of {all}", 2, all=3) == "2 are left of 3"


def test_what_somebody_chose_goes_before_what_their_browser_accepts() -> None:
    assert asked_language("zh", "de") == "zh" and asked_language("", "de") == "de"
    assert asked_language("", "de-CH,de;q=0.9,en;q=0.8") == "de" and asked_language("", "zh-Hans-CN") == "zh"
    assert asked_language("", "fr-FR, ZH-tw;q=0.8, en") == "zh" and asked_language("", "") == "en"


@pytest.mark.parametrize("said", ["../../x", "<script>", "x" * 100_000, "de/../..", "\0", ",;=" * 9000, "*", "dé"])
def test_an_odd_wish_is_english(said: str) -> None:
    assert asked_language(said, said) == "en" and asked_language(said, "de") == "de"


def test_a_wish_far_behind_others_is_not_read() -> None:
    assert asked_language("", "x," * 400 + "de") == "en"


def test_another_thread_reads_english_until_it_is_told() -> None:
    reading("de")
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(tr("Hello")))
    thread.start()
    thread.join()
    assert said == ["Hello"] and tr("Hello") == "Hallo"


def test_the_scripts_get_their_own_texts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_script_keys", lambda code: ["Hello", "not translated yet"])
    assert script_texts("de") == {"Hello": "Hallo"}


def test_the_catalogs_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for code in ("de", "zh"):
        assert set(script_texts(code)) <= set(texts_of(code)) and "" not in texts_of(code)
    assert texts_of("en") == {} == script_texts("en")
