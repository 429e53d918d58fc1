"""General questions: the set is whole, an untouched adapter forgets nothing, a broken one does."""

from __future__ import annotations

from pathlib import Path

from studio.evaluation.general import GeneralRow, by_kind, concluded, general_losses, questions
from studio.inference.engine import Engine
from studio.models.loading import load_base
from tests import tiny
from tests.inference.conftest import base_folder, engine, runs  # noqa: F401


def rows(*tuned: float, base: float = 1.0) -> list[GeneralRow]:
    return [GeneralRow("grammar", "en", f"{n}?", base + n / 100, base + n / 100 + more) for n, more in enumerate(tuned)]


def test_the_set_has_several_kinds_and_languages_and_no_question_twice() -> None:
    every = questions()
    assert 40 <= len(every) == len({one.question for one in every})
    assert len({one.kind for one in every}) >= 5 and len({one.language for one in every}) >= 4
    assert all(one.answers and all(answer.strip() for answer in one.answers) for one in every)


def test_an_adapter_without_effect_forgets_nothing(engine: Engine) -> None:  # noqa: F811
    found = general_losses(engine, "zero")
    assert found and len(found.rows) == len(questions()) and abs(found.base - found.tuned) < 1e-4
    assert found.sentence.startswith("No forgetting can be shown")


def test_another_adapter_has_other_losses(engine: Engine) -> None:  # noqa: F811
    found = general_losses(engine, "one")
    assert found and all(abs(one.base - one.tuned) > 1e-3 for one in found.rows)


def test_a_classifier_has_no_general_questions(tmp_path: Path) -> None:
    base = load_base(tmp_path, str(tiny.make_model(tmp_path / "bert", "bert")), device="cpu", dtype="float32")
    assert general_losses(Engine(base, tmp_path / "runs"), "run") is None


def test_forgetting_is_said_where_it_shows_and_not_else() -> None:
    worse, less, chance = rows(*[0.5, 0.7, 0.9] * 8), rows(*[-0.5, -0.3] * 12), rows(*[0.5, -0.5] * 12)
    assert concluded(worse).sentence.startswith("Some general ability was forgotten") and "24 of them" in (
        concluded(worse).sentence
    )
    assert concluded(less).sentence.startswith("Nothing was forgotten")
    assert concluded(chance).sentence.startswith("No forgetting can be shown")
    assert by_kind(worse)["grammar"][0] == 24
