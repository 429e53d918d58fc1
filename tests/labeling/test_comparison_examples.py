"""What votes and corrections become: preferences with every voter's answer, labeled pairs, splits that hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.annotations import Act, annotate, list_revisions
from storage.database import Database
from storage.examples import count_examples, get_example, list_pairs
from storage.projects import create_project, get_project, list_projects, update_settings
from storage.records import Comparison, Example, Project, Settings, Side
from studio.contract.answers import decode_preference
from studio.contract.chat import Message
from studio.data.history import read_history
from studio.data.importing import import_file
from studio.data.lineage import lineage
from studio.data.prompts import to_messages
from studio.data.snapshots import SPLITS, freeze, read_split, snapshot_folder
from studio.errors import BadInput
from studio.jobs.continuing import has_preferences
from studio.labeling import desk
from studio.labeling.comparing import fix_answer, preference_project, save_comparison, undo_vote, vote
from studio.labeling.queue import Queues
from studio.labeling.review import Wanted, accept_all, open_review
from studio.settings import Workspace
from tests.labeling.compared import ANN, BASE, BOB, OTHER, RITA, TUNED, compare


def send(db: Database, project: Project, to: str, **settings: object) -> Project:
    return update_settings(db, project.id, Settings(votes_to=to, **settings))  # type: ignore[arg-type]


def preferences(db: Database, project: Project) -> Project:
    found = preference_project(db, project.id)
    assert found is not None
    return found


def made_of(db: Database, project: Project) -> list[Example]:
    """The examples that comparisons made in a project, dropped ones too."""
    rows = db.query("SELECT example_id FROM comparison_examples WHERE project_id = ? ORDER BY created_at", [project.id])
    return [get_example(db, row[0]) for row in rows]


def answers(db: Database, example: Example) -> list[tuple[str, str]]:
    """Who prefers which text now (a tie: tie), as the acts on it stand."""
    acts = list_revisions(db, example.id)
    gone = {act.undoes for act in acts}
    found = {act.annotator: act.response for act in acts if act.action == "submit" and act.id not in gone}
    return [(who, example.payload.get(choice.lower(), choice)) for who, choice in found.items()]


def test_a_vote_makes_a_preference_that_waits_for_a_reviewer(db: Database, project: Project) -> None:
    assert preference_project(db, project.id) is None
    given = vote(db, ANN, compare(db, project).id, 0, 1, "right")
    target = preferences(db, project)
    (example,) = made_of(db, target)
    assert (target.task, target.settings.review, target.name) == ("preference", True, "Support: preferences")
    assert (example.status, example.review, example.source) == ("labeled", "pending", "comparison")
    assert answers(db, example) == [("ann", "Short.")] and example.annotation_id == given.annotation_id
    (act,) = list_revisions(db, example.id)
    assert act.source == "comparison" and decode_preference(act.value).choice == act.response
    assert list_pairs(db, target.id) == [] and count_examples(db, project.id).total == 0


def test_both_answers_stand_on_either_side(db: Database, project: Project) -> None:
    for number in range(12):
        vote(db, ANN, compare(db, project, f"q{number}").id, 0, 1, "right")
    payloads = {example.payload["a"] for example in made_of(db, preferences(db, project))}
    assert payloads == {BASE.text, TUNED.text}
    assert {text for e in made_of(db, preferences(db, project)) for _, text in answers(db, e)} == {"Short."}


def test_two_voters_answer_one_preference_and_the_majority_stands(db: Database, project: Project) -> None:
    made = compare(db, project, sides=(BASE, TUNED, OTHER))
    vote(db, RITA, made.id, 0, 1, "tie")
    assert preference_project(db, project.id) is None
    vote(db, ANN, made.id, 1, 0, "right")
    vote(db, BOB, made.id, 1, 0, "right")
    vote(db, ANN, made.id, 0, 2, "right")
    first, second = made_of(db, preferences(db, project))
    assert dict(answers(db, first)) == {"rita": "tie", "ann": BASE.text, "bob": BASE.text} and first.answers == 3
    assert answers(db, second) == [("ann", "Other.")]
    standing = next(act for act in list_revisions(db, first.id) if act.id == first.annotation_id)
    assert first.payload[standing.response.lower()] == BASE.text


def test_voting_anew_changes_the_answer_and_an_undo_brings_it_back(db: Database, project: Project) -> None:
    made = compare(db, project)
    vote(db, ANN, made.id, 0, 1, "right")
    vote(db, ANN, made.id, 0, 1, "left")
    target = preferences(db, project)
    assert answers(db, made_of(db, target)[0]) == [("ann", BASE.text)]
    undo_vote(db, ANN, project.id)
    assert answers(db, made_of(db, target)[0]) == [("ann", TUNED.text)]
    vote(db, ANN, made.id, 0, 1, "bad")
    assert answers(db, made_of(db, target)[0]) == [("ann", "tie")] and len(made_of(db, target)) == 1


def test_an_undo_takes_the_example_back_and_a_new_vote_brings_it_again(db: Database, project: Project) -> None:
    made = compare(db, project)
    for _ in range(2):
        vote(db, ANN, made.id, 0, 1, "right")
        target = preferences(db, project)
        assert [example.status for example in made_of(db, target)] == ["labeled"]
        undo_vote(db, ANN, project.id)
        assert [example.status for example in made_of(db, target)] == ["dropped"]
    vote(db, BOB, made.id, 1, 0, "right")
    (example,) = made_of(db, target)
    assert (example.status, example.answers, answers(db, example)) == ("labeled", 1, [("bob", BASE.text)])


def test_the_vote_before_a_tie_counts_again_after_two_undos(db: Database, project: Project) -> None:
    made = compare(db, project)
    vote(db, ANN, made.id, 0, 1, "left")
    vote(db, BOB, made.id, 0, 1, "left")
    vote(db, ANN, made.id, 0, 1, "tie")
    target = preferences(db, project)
    undo_vote(db, BOB, project.id)
    assert [(e.status, answers(db, e)) for e in made_of(db, target)] == [("dropped", [])]
    undo_vote(db, ANN, project.id)
    assert [(e.status, answers(db, e)) for e in made_of(db, target)] == [("labeled", [("ann", BASE.text)])]
    undo_vote(db, ANN, project.id)
    assert [(e.status, answers(db, e)) for e in made_of(db, target)] == [("dropped", [])]


def test_an_undo_leaves_what_others_voted_and_what_a_reviewer_accepted(db: Database, project: Project) -> None:
    first, second = compare(db, project, "q1"), compare(db, project, "q2")
    vote(db, BOB, first.id, 0, 1, "left")
    vote(db, ANN, first.id, 0, 1, "right")
    target = preferences(db, project)
    undo_vote(db, ANN, project.id)
    assert [(e.status, e.answers, answers(db, e)) for e in made_of(db, target)] == [
        ("labeled", 1, [("bob", BASE.text)])
    ]
    vote(db, ANN, second.id, 0, 1, "right")
    assert accept_all(db, RITA, target.id, "ann", "", 1) == 1
    undo_vote(db, ANN, project.id)
    kept = made_of(db, target)[1]
    assert (kept.review, answers(db, kept)) == ("accepted", [("ann", TUNED.text)])
    assert len(list_pairs(db, target.id)) == 1


def test_into_the_queue_goes_the_question_and_no_answer(db: Database, project: Project) -> None:
    send(db, project, "queue")
    made = compare(db, project)
    assert vote(db, ANN, made.id, 0, 1, "right").annotation_id is None
    target = preferences(db, project)
    card = desk.open_desk(Queues(db), target.id, "bob").card
    assert card is not None and set(card.example.payload.values()) == {BASE.text, TUNED.text}
    undo_vote(db, ANN, project.id)  # bob has it in hand
    assert made_of(db, target)[0].status == "todo" and not target.settings.review
    other = compare(db, project, "q2")
    vote(db, ANN, other.id, 0, 1, "right")
    undo_vote(db, ANN, project.id)
    assert [example.status for example in made_of(db, target)] == ["todo", "dropped"]


def test_nowhere_and_equal_answers_make_nothing(db: Database, project: Project) -> None:
    same = compare(db, project, sides=(BASE, Side("r1", "Run 1", "w", f" {BASE.text}\n")))
    vote(db, ANN, same.id, 0, 1, "left")
    send(db, project, "nowhere")
    vote(db, ANN, compare(db, project, "q2").id, 0, 1, "left")
    assert preference_project(db, project.id) is None and undo_vote(db, ANN, project.id) is not None


def test_a_preference_project_takes_its_own_votes(db: Database) -> None:
    project = create_project(db, "Better", "preference", "Be brief.")
    vote(db, ANN, compare(db, project).id, 0, 1, "right")
    assert preferences(db, project).id == project.id and len(list_projects(db)) == 1
    (example,) = made_of(db, project)
    assert example.review == "pending" and [turn.role for turn in example.prompt] == ["user"]
    assert list_pairs(db, project.id) == [] and open_review(db, project.id, Wanted()).item is not None
    assert accept_all(db, RITA, project.id, "ann", "", 1) == 1 and len(list_pairs(db, project.id)) == 1


def test_votes_make_a_snapshot_that_a_preference_run_reads(
    db: Database, workspace: Workspace, project: Project
) -> None:
    for number in range(10):
        vote(db, ANN, compare(db, project, f"q{number}").id, 0, 1, "tie" if number == 9 else "right")
    target = preferences(db, project)
    accept_all(db, RITA, target.id, "ann", "", 9)
    snapshot = freeze(db, workspace, target.id).snapshot
    assert has_preferences(snapshot_folder(workspace, snapshot.id))
    rows = [row for split in SPLITS for row in read_split(workspace, snapshot.id, split)]
    assert len(rows) == 9 and {(row.response, row.rejected) for row in rows} == {("Short.", "A long answer.")}
    assert {row.messages[0].content for row in rows} == {"You help."}


def test_the_lineage_of_a_preference_begins_with_its_comparison(db: Database, project: Project) -> None:
    made = compare(db, project)
    vote(db, ANN, made.id, 0, 1, "right")
    (example,) = made_of(db, preferences(db, project))
    found = lineage(db, example.id)
    kinds = {node.kind: node for node in found.nodes}
    assert kinds["comparison"].id == made.id and kinds["comparison"].detail == "Base · Run 1"
    assert (made.id, example.id) in found.edges and kinds["annotator"].text == "ann"
    assert [node.kind for node in lineage(db, made.id[:12]).nodes] == ["comparison", "example"]
    assert read_history(db, example.id).lineage == found


def test_a_corrected_answer_is_a_pair_that_waits_for_a_reviewer(db: Database, project: Project) -> None:
    made = compare(db, project)
    name = fix_answer(db, ANN, made.id, 1, "Because <b>it</b> is.")
    example = get_example(db, name)
    assert (example.project_id, example.source, example.review) == (project.id, "comparison", "pending")
    assert example.text == "Why?" and [turn.role for turn in example.prompt] == ["user"]
    assert list_pairs(db, project.id) == []
    annotate(db, name, "ann", "submit", "Because <b>it</b> is.")  # revised in the label desk: it waits still
    assert list_pairs(db, project.id) == [] and get_example(db, name).review == "pending"
    assert accept_all(db, RITA, project.id, "ann", "", 1) == 1
    assert [pair.response for pair in list_pairs(db, project.id)] == ["Because <b>it</b> is."]


def test_correcting_again_is_a_revision_and_another_person_makes_another_pair(db: Database, project: Project) -> None:
    made = compare(db, project)
    name = fix_answer(db, ANN, made.id, 1, "One.")
    assert fix_answer(db, ANN, made.id, 1, "Two.") == name != fix_answer(db, BOB, made.id, 1, "Three.")
    first, second = list_revisions(db, name)
    assert second.base == first.id and get_example(db, name).annotation_id == second.id
    assert fix_answer(db, ANN, made.id, 0, "Four.") != name


def test_a_correction_in_the_queue_is_offered_to_whoever_gets_it(db: Database, project: Project) -> None:
    send(db, project, "queue", overlap=2)
    made = compare(db, project)
    name = fix_answer(db, ANN, made.id, 1, "One.")
    fix_answer(db, ANN, made.id, 1, "Two.")
    card = desk.open_desk(Queues(db), project.id, "bob").card
    assert card is not None and card.example.id == name and card.suggestion is not None
    assert (card.suggestion.response, card.suggestion.source) == ("Two.", "comparison")


def test_a_correction_is_an_answer_of_the_projects_task(db: Database) -> None:
    labels = create_project(db, "Labels", "classification")
    update_settings(db, labels.id, Settings(votes_to="nowhere"))
    with pytest.raises(BadInput, match="no labels yet"):
        fix_answer(db, ANN, compare(db, labels).id, 0, "refund")
    better = create_project(db, "Better", "preference")
    made = compare(db, better)
    with pytest.raises(BadInput, match="change it"):
        fix_answer(db, ANN, made.id, 1, TUNED.text)
    example = get_example(db, fix_answer(db, ANN, made.id, 1, "Shorter."))
    assert dict(example.payload) == {"a": "Shorter.", "b": TUNED.text} and answers(db, example) == [("ann", "Shorter.")]
    fix_answer(db, ANN, made.id, 1, "Even shorter.")
    assert [one.status for one in made_of(db, better)] == ["dropped", "labeled"]
    chat = create_project(db, "Chat", "chat")
    example = get_example(db, fix_answer(db, ANN, compare(db, chat).id, 0, "Hello."))
    assert json.loads(list_revisions(db, example.id)[0].value)["turns"][-1]["content"] == "Hello."


@pytest.fixture
def frozen(db: Database, workspace: Workspace, project: Project, tmp_path: Path) -> dict[str, list[str]]:
    """Forty pairs of contexts and questions, frozen: the ids of the examples by split."""
    path = tmp_path / "pairs.jsonl"
    rows = [{"input": f"q{n}", "context": f"c{n}", "output": f"a{n}"} for n in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_file(db, project.id, path)
    snapshot = freeze(db, workspace, project.id, 0.2, 0.2).snapshot
    return {split: [row.example_id for row in read_split(workspace, snapshot.id, split)] for split in SPLITS}


def compare_example(db: Database, project: Project, name: str, more: tuple[Message, ...] = ()) -> Comparison:
    """Answers to an example's own prompt, as Compare asks with it, and maybe more turns behind it."""
    example = get_example(db, name)
    asked = [*to_messages(example.prompt, example.context, project.system_prompt), *more]
    return save_comparison(db, ANN, project.id, asked, (BASE, TUNED), {}, name)


def splits_of(db: Database, workspace: Workspace, project: Project, seed: int) -> dict[str, str]:
    """The split of each example in a new snapshot with other splits."""
    snapshot = freeze(db, workspace, project.id, 0.2, 0.2, seed=seed).snapshot
    return {row.example_id: split for split in SPLITS for row in read_split(workspace, snapshot.id, split)}


def test_the_correction_of_a_held_out_prompt_is_held_out_too(
    db: Database, workspace: Workspace, project: Project, frozen: dict[str, list[str]]
) -> None:
    send(db, project, "nowhere")
    origins = [*frozen["test"], *frozen["validation"], *frozen["train"][:5]]
    more = (Message("assistant", "Hm."), Message("user", "Go on."))
    fixed = {name: fix_answer(db, ANN, compare_example(db, project, name).id, 0, f"Better {name}.") for name in origins}
    chats = {name: fix_answer(db, ANN, compare_example(db, project, name, more).id, 0, "Next.") for name in origins}
    assert get_example(db, fixed[origins[0]]).context == get_example(db, origins[0]).context != ""
    for seed in (7, 8):
        found = splits_of(db, workspace, project, seed)
        assert all(found[fixed[name]] == found[chats[name]] == found[name] for name in origins)
        assert {found[fixed[name]] for name in frozen["test"]} == {"test"}


def test_a_typed_prompt_that_is_a_held_out_one_is_known(
    db: Database, workspace: Workspace, project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"input": f"q{n}", "output": f"a{n}"}) + "\n" for n in range(20)))
    import_file(db, project.id, path)
    send(db, project, "nowhere")
    snapshot = freeze(db, workspace, project.id, 0.2, 0.2).snapshot
    tested = [row.prompt for row in read_split(workspace, snapshot.id, "test")]
    fixed = [fix_answer(db, ANN, compare(db, project, prompt).id, 0, "Better.") for prompt in tested]
    found = splits_of(db, workspace, project, 5)
    assert {found[name] for name in fixed} == {"test"}
    for prompt in [*tested, "another", "and one more"]:
        vote(db, ANN, compare(db, send(db, project, "review"), prompt).id, 0, 1, "right")
    target = preferences(db, project)
    accept_all(db, RITA, target.id, "ann", "", len(tested) + 2)
    frozen = freeze(db, workspace, target.id, 0.0, 0.0).snapshot
    assert {row.prompt for row in read_split(workspace, frozen.id, "test")} == set(tested)


def test_preferences_of_held_out_prompts_never_reach_train(
    db: Database, workspace: Workspace, project: Project, frozen: dict[str, list[str]]
) -> None:
    held = {*frozen["test"], *frozen["validation"]}
    more = (Message("assistant", "Hm."), Message("user", "Go on."))
    for name in [*held, *frozen["train"]]:
        vote(db, ANN, compare_example(db, project, name).id, 0, 1, "right")
    for name in held:
        vote(db, ANN, compare_example(db, project, name, more).id, 0, 1, "right")
    target = preferences(db, project)
    accept_all(db, RITA, target.id, "ann", "", 40 + len(held))
    texts = {f"c{get_example(db, name).text[1:]}\n\n{get_example(db, name).text}" for name in held}
    for seed in (0, 1):
        snapshot = freeze(db, workspace, target.id, 0.1, 0.0, seed=seed).snapshot
        rows = {split: read_split(workspace, snapshot.id, split, 0, 100) for split in SPLITS}
        seen = {turn.content for split in ("train", "validation") for row in rows[split] for turn in row.messages}
        assert not texts & seen and len(rows["test"]) == 2 * len(held)


def test_what_is_held_out_later_is_held_out_of_the_next_freeze(
    db: Database, workspace: Workspace, project: Project, frozen: dict[str, list[str]]
) -> None:
    for name in frozen["train"]:
        vote(db, ANN, compare_example(db, project, name).id, 0, 1, "right")
    target = preferences(db, project)
    accept_all(db, RITA, target.id, "ann", "", len(frozen["train"]))
    before = freeze(db, workspace, target.id, 0.0, 0.0).snapshot
    freeze(db, workspace, project.id, 0.2, 0.5)
    after = freeze(db, workspace, target.id, 0.0, 0.0).snapshot
    assert before.test_rows == 0 < after.test_rows and after.train_rows < before.train_rows


def test_an_annotators_own_act_on_a_preference_survives_the_undo(db: Database, project: Project) -> None:
    send(db, project, "queue")
    vote(db, ANN, compare(db, project).id, 0, 1, "right")
    target, queues = preferences(db, project), Queues(db)
    card = desk.open_desk(queues, target.id, "bob").card
    assert card is not None
    desk.act(queues, Act(card.example.id, "bob", "submit", "A"))
    undo_vote(db, ANN, project.id)
    assert made_of(db, target)[0].status == "labeled" and get_project(db, target.id).task == "preference"
