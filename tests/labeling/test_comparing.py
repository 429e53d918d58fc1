"""Comparisons and votes: kept, replaced, taken back, shared by a team, and refused where they cannot be."""

from __future__ import annotations

import threading

import pytest

from storage.audit import search_audit
from storage.database import Database
from storage.projects import create_project
from storage.records import Project, Side, User
from studio.contract.chat import Message
from studio.errors import BadInput, NotAllowed, NotFound
from studio.labeling import comparing
from studio.labeling.comparing import (
    count_comparisons,
    find_comparison,
    get_comparison,
    list_comparisons,
    next_to_vote,
    save_comparison,
    shuffled,
    standings,
    undo_vote,
    vote,
    votes_on,
)
from tests.labeling.compared import ANN, BASE, BOB, OTHER, TUNED, compare


def test_a_comparison_is_kept_as_it_was(db: Database, project: Project) -> None:
    made = compare(db, project, sides=(BASE, TUNED, OTHER))
    assert get_comparison(db, made.id) == made == list_comparisons(db, project.id)[0]
    assert made.sides == (BASE, TUNED, OTHER) and made.text == "Why?" and made.created_by == "ann"
    assert [turn.role for turn in made.messages] == ["system", "user"] and made.sampling["temperature"] == 0.7
    assert find_comparison(db, project.id, made.id[:8]).id == made.id


def test_comparisons_come_by_pages_newest_first(db: Database, project: Project) -> None:
    names = [compare(db, project, f"q{n}").text for n in range(5)]
    first = list_comparisons(db, project.id, limit=2)
    rest = list_comparisons(db, project.id, before=first[-1].number)
    assert [one.text for one in [*first, *rest]] == names[::-1]


def test_a_second_vote_takes_the_place_of_the_first_and_an_undo_brings_it_back(db: Database, project: Project) -> None:
    made = compare(db, project)
    vote(db, ANN, made.id, 0, 1, "left")
    vote(db, ANN, made.id, 1, 0, "left", blind=False)
    assert [(one.left, one.choice, one.blind) for one in votes_on(db, made.id)] == [(1, "left", False)]
    taken = undo_vote(db, ANN, project.id)
    assert taken is not None and taken.left == 1
    assert [(one.left, one.choice) for one in votes_on(db, made.id)] == [(0, "left")]
    assert undo_vote(db, ANN, project.id) is not None and undo_vote(db, ANN, project.id) is None
    assert votes_on(db, made.id) == [] and db.one("SELECT count(*) FROM votes") == (4,)


def test_a_team_votes_over_a_batch_each_on_all_of_it(db: Database, project: Project) -> None:
    batch = [compare(db, project, f"q{n}") for n in range(3)]
    for user in (ANN, BOB):
        seen = []
        while (one := next_to_vote(db, user, project.id)) is not None:
            seen.append(one.id)
            vote(db, user, one.id, 0, 1, "tie")
        assert seen == [one.id for one in batch]
    undo_vote(db, BOB, project.id)
    assert next_to_vote(db, BOB, project.id) == batch[2] and count_comparisons(db, project.id, "bob") == (3, 1)


def test_what_was_passed_over_comes_again_at_the_end(db: Database, project: Project) -> None:
    first, second = compare(db, project, "q1"), compare(db, project, "q2")
    assert next_to_vote(db, ANN, project.id, after=first.number) == second
    assert next_to_vote(db, ANN, project.id, after=second.number) == first


def test_undo_takes_back_ones_own_votes_of_this_project_only(db: Database, project: Project) -> None:
    other = compare(db, create_project(db, "Other"))
    vote(db, ANN, other.id, 0, 1, "right")
    vote(db, BOB, compare(db, project).id, 0, 1, "right")
    assert undo_vote(db, ANN, project.id) is None and len(votes_on(db, other.id)) == 1


def test_an_undo_may_name_its_comparison(db: Database, project: Project) -> None:
    first, second = compare(db, project, "q1"), compare(db, project, "q2")
    for one in (first, second):
        vote(db, ANN, one.id, 0, 1, "left")
    taken = undo_vote(db, ANN, project.id, first.id)
    assert taken is not None and taken.comparison_id == first.id and undo_vote(db, ANN, project.id, first.id) is None
    assert len(votes_on(db, second.id)) == 1


def test_the_order_of_panes_is_stable_and_tells_nothing(db: Database) -> None:
    seen = [shuffled(f"c{n}", "ann", 2) for n in range(400)]
    assert seen == [shuffled(f"c{n}", "ann", 2) for n in range(400)]
    assert 150 < sum(order == (0, 1) for order in seen) < 250
    assert sorted(shuffled("c", "bob", 5)) == [0, 1, 2, 3, 4]
    assert any(shuffled(f"c{n}", "ann", 3) != shuffled(f"c{n}", "bob", 3) for n in range(10))


@pytest.mark.parametrize(
    ("left", "right", "choice"), [(0, 0, "left"), (0, 2, "left"), (-1, 1, "left"), (0, 1, "best"), (0, 1, "undo")]
)
def test_what_is_no_vote_is_refused(db: Database, project: Project, left: int, right: int, choice: str) -> None:
    made = compare(db, project)
    with pytest.raises(BadInput):
        vote(db, ANN, made.id, left, right, choice)
    assert votes_on(db, made.id) == [] and search_audit(db, action="comparison vote") == []


def test_unknown_ids_and_unknown_roles_are_refused(db: Database, project: Project) -> None:
    made, nobody = compare(db, project), User("eve", "guest")
    with pytest.raises(NotFound):
        vote(db, ANN, "nothing", 0, 1, "left")
    with pytest.raises(NotFound):
        compare(db, project, example="nothing")
    for act in (
        lambda: vote(db, nobody, made.id, 0, 1, "left"),
        lambda: undo_vote(db, nobody, project.id),
        lambda: comparing.fix_answer(db, nobody, made.id, 0, "x"),
    ):
        with pytest.raises(NotAllowed):
            act()


def test_hostile_text_is_data(db: Database, project: Project) -> None:
    evil = "'); DROP TABLE votes; --<script>alert(1)</script>"
    made = compare(db, project, evil, (Side("", evil, evil, evil + "\0\ud800", -3, float("nan")), TUNED))
    assert made.text == evil and made.sides[0].text == evil + "\ufffd?" and made.sides[0].seconds == 0
    vote(db, User(evil, "annotator"), made.id, 0, 1, "left")
    assert votes_on(db, made.id)[0].user == evil
    with pytest.raises(BadInput, match="NUL"):
        compare(db, project, "a\0b")


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_comparison_has_two_to_eight_answers_and_a_question(db: Database, project: Project, count: int) -> None:
    with pytest.raises(BadInput, match="2 to 8"):
        compare(db, project, sides=(BASE,) * count)
    with pytest.raises(BadInput, match="prompt first"):
        save_comparison(db, ANN, project.id, [Message("user", " ")], (BASE, TUNED), {})


def test_every_act_is_in_the_audit_log(db: Database, project: Project) -> None:
    made = compare(db, project)
    vote(db, ANN, made.id, 0, 1, "right")
    undo_vote(db, ANN, project.id)
    comparing.fix_answer(db, ANN, made.id, 0, "Better.")
    lines = [line for line in search_audit(db, user="ann") if line.project_id == project.id]
    assert [line.action for line in lines] == [
        "comparison fix", "comparison vote undo", "comparison vote", "comparison save"
    ]  # fmt: skip
    assert lines[2].details["choice"] == "right" and lines[2].subject == made.id


def test_standings_rank_and_say_it(db: Database, project: Project) -> None:
    for number in range(30):
        made = compare(db, project, f"q{number}")
        for user in (ANN, BOB):
            vote(db, user, made.id, 0, 1, "left" if number == 0 else "right")
            vote(db, user, made.id, 1, 0, "right" if number == 0 else "left", blind=False)
    found = standings(db, project.id)
    assert (found.votes, found.blind) == (60, 0) and [row.model for row in found.ranking.strengths] == ["Run 1", "Base"]
    (rate,) = found.against_base
    assert (rate.model, rate.other, rate.wins, rate.losses, rate.enough) == ("Run 1", "Base", 58, 2, True)
    assert {row.voter: (row.shared, row.agreed) for row in found.voters} == {"ann": (30, 30), "bob": (30, 30)}
    assert [(model.run_id, model.votes) for model in found.models] == [("r1", 60), ("", 60)]


def test_an_endpoint_is_no_base_but_stands_against_it(db: Database, project: Project) -> None:
    made = compare(db, project, sides=(BASE, Side("", "big-model", "big-model", "b")))
    vote(db, ANN, made.id, 0, 1, "right")
    found = standings(db, project.id)
    assert [(rate.model, rate.other, rate.wins) for rate in found.against_base] == [("big-model", "Base", 1)]


def test_standings_without_votes_and_between_a_model_and_itself(db: Database, project: Project) -> None:
    made = compare(db, project, sides=(BASE, Side("", "Base", "other", "b")))
    vote(db, ANN, made.id, 0, 1, "left")
    found = standings(db, project.id)
    assert found.votes == 0 and found.models == () and found.ranking.reason == "There are no votes yet."


def test_many_who_vote_at_once_lose_nothing(db: Database, project: Project) -> None:
    batch = [compare(db, project, f"q{n}") for n in range(4)]
    errors: list[Exception] = []

    def work(user: User) -> None:
        try:
            for one in batch:
                vote(db, user, one.id, 0, 1, "left")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(User(f"u{n}", "annotator"),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = comparing.preference_project(db, project.id)
    assert errors == [] and standings(db, project.id).votes == 24 and made is not None
    assert db.query("SELECT answers, count(*) FROM examples WHERE project_id = ? GROUP BY 1", [made.id]) == [(6, 4)]
