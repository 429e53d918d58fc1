"""The labeling hot path over HTTP: what is answered, and that it is committed before it is answered."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.annotations import list_revisions
from storage.examples import count_examples, get_example
from studio.settings import USER
from tests.web.conftest import House


def test_the_desk_shows_the_first_example(house: House) -> None:
    desk = house.desk()
    assert desk["card"]["turns"] == [{"role": "user", "content": "Where is my order?"}]
    assert desk["counts"] == {"todo": 3, "labeled": 0, "skipped": 0, "flagged": 0, "dropped": 0, "mine": 3}
    assert desk["task"]["kind"] == "instruction" and desk["next"]["turns"][0]["content"] == "How do I return it?"
    assert (desk["today"], desk["history"], desk["taken_back"]) == (0, [], False)


def test_a_submit_is_committed_before_it_is_answered(house: House) -> None:
    first = house.desk()["card"]["id"]
    desk = house.act(response="It left on Monday.", seconds=3.5)
    (act,) = list_revisions(house.studio.db, first)
    assert (act.action, act.response, act.annotator, act.seconds) == ("submit", "It left on Monday.", USER, 3.5)
    assert get_example(house.studio.db, first).status == "labeled"
    assert desk["card"]["turns"][0]["content"] == "How do I return it?"
    assert desk["counts"]["labeled"] == 1 and desk["history"][0]["example"] == first


@pytest.mark.parametrize(("action", "count"), [("skip", "skipped"), ("flag", "flagged")])
def test_skip_and_flag_put_by_and_undo_brings_back(house: House, action: str, count: str) -> None:
    first = house.desk()["card"]["id"]
    assert house.act(action, "half an ans")["counts"][count] == 1
    desk = house.client.post("/api/label/undo", json={"project": house.project.id}).json()
    assert desk["taken_back"] and desk["counts"]["todo"] == 3
    assert (desk["card"]["id"], desk["card"]["draft"]) == (first, {"response": "half an ans", "value": ""})


def test_undo_with_nothing_to_take_back_says_so(house: House) -> None:
    desk = house.client.post("/api/label/undo", json={"project": house.project.id}).json()
    assert not desk["taken_back"] and desk["card"] is not None


def test_a_draft_is_there_after_a_reload_and_gone_after_the_submit(house: House) -> None:
    first = house.desk()["card"]["id"]
    saved = house.client.post("/api/label/draft", json={"example": first, "response": "It le"})
    assert saved.json() == {"saved": True}
    assert house.desk()["card"]["draft"] == {"response": "It le", "value": ""}
    house.act(response="It left.")
    card = house.desk(example=first)["card"]
    assert (card["draft"], card["answer"]) == (None, {"response": "It left.", "value": ""})


def test_the_last_example_leaves_an_empty_desk(house: House) -> None:
    for number in range(3):
        desk = house.act(response=f"Answer {number}.")
    assert desk["card"] is None
    assert desk["counts"]["labeled"] == 3 and desk["today"] == 3


def test_what_is_not_there_is_404_with_a_sentence(house: House) -> None:
    body = {"example": "f" * 32, "action": "submit", "response": "x"}
    for answer in (
        house.client.post("/api/label/act", json=body),
        house.client.get("/api/label/desk", params={"project": house.project.id, "example": "f" * 32}),
    ):
        assert answer.status_code == 404
        assert answer.json()["message"].endswith(".")


def test_a_draft_for_an_example_that_is_not_there_is_404(house: House) -> None:
    answer = house.client.post("/api/label/draft", json={"example": "f" * 32, "response": "x"})
    assert answer.status_code == 404 and answer.json()["message"].endswith(".")


@pytest.mark.parametrize("response", ["", "   \n"])
def test_an_empty_answer_is_400_with_a_sentence_and_changes_nothing(house: House, response: str) -> None:
    body = {"example": house.desk()["card"]["id"], "action": "submit", "response": response}
    answer = house.client.post("/api/label/act", json=body)
    assert answer.status_code == 400 and "skip this one" in answer.json()["message"]
    assert count_examples(house.studio.db, house.project.id).todo == 3


@pytest.mark.parametrize(
    "change",
    [
        {"response": "x" * 200_001},
        {"action": "delete"},
        {"seconds": -1},
        {"example": "x" * 65},
        {"response": None},
        {"response": {"$gt": ""}},
    ],
)
def test_what_is_out_of_bounds_is_422_and_changes_nothing(house: House, change: dict[str, object]) -> None:
    body = {"example": house.desk()["card"]["id"], "action": "submit", "response": "x", **change}
    assert house.client.post("/api/label/act", json=body).status_code == 422
    assert count_examples(house.studio.db, house.project.id).todo == 3


def test_a_body_that_is_no_json_is_422(house: House) -> None:
    for content in (b"", b"{", b"\xff\xfe", b"[]"):
        answer = house.client.post("/api/label/act", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422


def test_a_form_of_another_site_is_no_json(house: House) -> None:
    body = {"example": house.desk()["card"]["id"], "action": "submit", "response": "x"}
    assert house.client.post("/api/label/act", data=body).status_code == 422


def test_hostile_text_is_stored_as_it_was(house: House) -> None:
    hostile = "'); DROP TABLE annotations; -- <script>\u202e</script> \U0001f600 {{7*7}} ${x} \\0"
    first = house.desk()["card"]["id"]
    house.act(response=hostile)
    assert list_revisions(house.studio.db, first)[0].response == hostile
    assert house.desk(example=first)["card"]["answer"]["response"] == hostile


@pytest.mark.parametrize("fields", [{"response": "half \ud83d of a pair"}, {"seconds": float("nan")}])
def test_what_json_can_say_and_no_answer_repeat_is_422_with_a_sentence(house: House, fields: dict[str, object]) -> None:
    body = {"example": house.desk()["card"]["id"], "action": "submit", "response": "x", **fields}
    content = json.dumps(body).encode()
    answer = house.client.post("/api/label/act", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.json()["message"].endswith(".")


def test_a_nul_is_refused_with_a_sentence(house: House) -> None:
    body = {"example": house.desk()["card"]["id"], "action": "submit", "response": "a\0b"}
    answer = house.client.post("/api/label/act", json=body)
    assert answer.status_code == 400 and answer.json()["message"].endswith(".")


def test_an_overlong_answer_says_how_long_it_may_be_and_is_not_sent_back(house: House) -> None:
    body = {"example": house.desk()["card"]["id"], "action": "submit", "response": "x" * 200_001}
    answer = house.client.post("/api/label/act", json=body)
    assert "200,000 characters" in answer.json()["message"] and len(answer.content) < 500


def test_eight_at_once_label_an_example_once_and_the_others_are_shown_both(house: House) -> None:
    first = house.desk()["card"]["id"]
    gate = threading.Barrier(8)

    def submit(number: int) -> tuple[int, dict]:
        gate.wait()
        body = {"example": first, "action": "submit", "response": f"Answer {number}."}
        answer = house.client.post("/api/label/act", json=body)
        return answer.status_code, answer.json()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(8)))
    assert sorted(status for status, _ in answers) == [200] + 7 * [409]
    (act,) = list_revisions(house.studio.db, first)
    for status, body in answers:
        if status == 409:
            assert body["conflict"]["theirs"]["response"] == act.response != body["conflict"]["mine"]["response"]


def test_the_other_version_can_be_kept_by_naming_what_was_seen(house: House) -> None:
    first = house.desk()["card"]["id"]
    house.act(response="theirs")
    body = {"example": first, "action": "submit", "response": "mine"}
    newest = house.client.post("/api/label/act", json=body).json()["conflict"]["theirs"]["id"]
    assert house.client.post("/api/label/act", json={**body, "base": newest}).status_code == 200
    assert [act.response for act in list_revisions(house.studio.db, first)] == ["theirs", "mine"]


def test_bulk_deals_cards_and_takes_their_acts(house: House) -> None:
    cards = house.client.get("/api/label/bulk", params={"project": house.project.id, "size": 10}).json()["cards"]
    acts = [{"example": card["id"], "response": "the same"} for card in cards] + [{"example": "none", "response": "x"}]
    body = {"project": house.project.id, "action": "submit", "acts": acts}
    answer = house.client.post("/api/label/bulk", json=body).json()
    assert len(answer["done"]) == 3 and [row["example"] for row in answer["failed"]] == ["none"]
    assert answer["desk"]["counts"]["labeled"] == 3


def test_a_lease_is_renewed_and_given_back(house: House) -> None:
    until = house.desk()["card"]["lease_until"]
    body = {"project": house.project.id}
    assert house.client.post("/api/label/renew", json=body).json()["lease_until"] >= until
    assert house.client.post("/api/label/leave", json=body).json() == {"left": True}
    assert house.studio.db.one("SELECT count(*) FROM leases") == (0,)


def test_keys_are_kept_for_their_user(house: House) -> None:
    assert house.client.get("/api/label/keys").json() == {"keys": {}}
    assert house.client.post("/api/label/keys", json={"keys": {"skip": "Alt+X"}}).status_code == 200
    assert house.client.get("/api/label/keys").json() == {"keys": {"skip": "Alt+X"}}
