"""Codes planted among the training rows: the same for a seed, seen by the run, and never by a classifier."""

from __future__ import annotations

from studio.contract.canaries import canaries, other_codes
from studio.contract.spec import read_train_spec
from studio.models.loading import load_base
from studio.training.data import IGNORED
from studio.training.planted import plant
from studio.training.preference import ways_for
from tests import tiny


def read(place, **fields):
    """The training rows of a run with and without what its spec plants."""
    spec = read_train_spec(place.run(**fields))
    base = load_base(spec.models, spec.base_model, device="cpu", dtype="float32")
    ways = ways_for(spec, base)
    own = ways.read(base, spec, "train", 200)
    return base, own, plant(own, spec, base, ways, 200)


def test_the_same_seed_makes_the_same_codes_of_different_words():
    assert canaries(40, 7) == canaries(40, 7) != canaries(40, 8)
    assert len({one.words for one in canaries(64)}) == 64 and canaries(5, 7) == canaries(40, 7)[:5]
    assert len({*other_codes("123456", 50), "123456"}) == 51


def test_codes_stand_behind_the_rows_with_loss_on_their_answers(place):
    base, own, planted = read(place, canaries=3, seed=5)
    assert len(planted.rows) == len(own.rows) + 3 and planted.rows[: len(own.rows)] == own.rows
    wanted = [one.answer() for one in canaries(3, 5)]
    last = [base.tokenizer.decode([id for id in row.labels if id != IGNORED]) for row in planted.rows[-3:]]
    assert all(answer in said for answer, said in zip(wanted, last, strict=True))


def test_nothing_is_planted_unless_asked(place):
    _, own, planted = read(place)
    assert planted is own


def test_a_run_trains_on_its_codes(place, train):
    code, events = train(place.run(canaries=2, max_steps=2, samples=0, evaluations=0))
    assert code == 0 and events[-1].data["rows"] == 42


def test_a_classifier_is_refused(place, train, tmp_path):
    snapshot = tiny.make_snapshot(tmp_path / "labels", tiny.labeled(12), tiny.labeled(3, 50))
    model = tiny.make_model(tmp_path / "bert", "bert")
    code, events = train(place.run(snapshot=snapshot, base_model=str(model), canaries=2, method="full"))
    assert code == 1 and "leave canaries at 0" in events[-2].data["message"]
