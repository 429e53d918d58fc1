"""The reviewer's routes: one decision a request, the next example in the answer, nothing decided unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from storage.examples import get_example
from storage.gold import get_gold
from storage.records import Project, User
from studio.context import Studio, open_studio
from studio.settings import Workspace
from studio.web.review import review_routes
from tests.labeling.crew import add_examples, answer, project_of


@dataclass(frozen=True)
class House:
    """The reviewer's routes over an open studio, asked by whoever the header X-User names."""

    studio: Studio
    client: TestClient
    project: Project
    examples: list[str]

    def desk(self, **query: str) -> dict:
        return self.client.get("/api/review/desk", params={"project": self.project.id, **query}).json()

    def decide(self, item: dict, decision: str, by: str = "rita", **fields: str):
        about = {"example": item["id"], "annotation": item["answers"][0]["id"], "stamp": item["stamp"]}
        body = {**about, "decision": decision, **fields}
        return self.client.post("/api/review/decide", json=body, headers={"X-User": by})


@pytest.fixture
def house(workspace: Workspace) -> Iterator[House]:
    """Three answered examples of a project that asks for a review."""
    studio = open_studio(workspace)
    app = FastAPI()

    @app.middleware("http")
    async def who(request: Request, call_next):  # type: ignore[no-untyped-def]
        request.state.user = User(request.headers.get("x-user", "rita"), "reviewer")
        return await call_next(request)

    app.include_router(review_routes(studio))
    project = project_of(studio.db)
    examples = add_examples(studio.db, project, 3)
    for one in examples:
        answer(studio.db, project, one, "ann", "Hello.", seconds=12)
    yield House(studio, TestClient(app), project, examples)
    studio.engines.close()
    studio.db.close()


def test_the_desk_has_all_that_a_reviewer_needs(house: House) -> None:
    desk = house.desk()
    assert desk["task"]["kind"] == "instruction" and desk["user"] == {"name": "rita", "role": "reviewer"}
    item = desk["item"]
    assert item["id"] == house.examples[0] and desk["next"]["id"] == house.examples[1]
    (given,) = item["answers"]
    assert (given["by"], given["response"], given["seconds"], given["source"]) == ("ann", "Hello.", 12, "label")
    assert item["waits"] and not item["differs"] and item["gold"] is None


def test_a_decision_answers_with_the_next_example(house: House) -> None:
    answered = house.decide(house.desk()["item"], "accept")
    assert answered.status_code == 200 and answered.json()["item"]["id"] == house.examples[1]
    assert get_example(house.studio.db, house.examples[0]).review == "accepted"


def test_the_decision_carries_its_user(house: House) -> None:
    house.decide(house.desk()["item"], "return", by="otto", comment="Too short.")
    (row,) = house.desk(example=house.examples[0])["item"]["decisions"]
    assert (row["by"], row["about"], row["decision"], row["comment"]) == ("otto", "ann", "return", "Too short.")


def test_a_newer_answer_is_409_with_the_example_as_it_is_now(house: House) -> None:
    seen = house.desk()["item"]
    answer(house.studio.db, house.project, seen["id"], "ann", "Newer.")
    refused = house.decide(seen, "accept")
    assert refused.status_code == 409 and "ann changed the answer" in refused.json()["message"]
    fresh = refused.json()["item"]
    assert fresh["answers"][0]["response"] == "Newer."
    assert house.decide(fresh, "accept").status_code == 200


def test_two_at_once_decide_once(house: House) -> None:
    seen = house.desk()["item"]
    assert house.decide(seen, "accept").status_code == 200
    refused = house.decide(seen, "edit", by="otto", response="Mine.")
    assert refused.status_code == 409 and "rita decided" in refused.json()["message"]


def test_undo_is_ones_own(house: House) -> None:
    house.decide(house.desk()["item"], "accept")
    body = {"project": house.project.id}
    assert house.client.post("/api/review/undo", json=body, headers={"X-User": "otto"}).json()["taken_back"] == 0
    back = house.client.post("/api/review/undo", json=body).json()
    assert back["taken_back"] == 1 and back["item"]["id"] == house.examples[0]


def test_many_are_accepted_only_in_the_number_confirmed(house: House) -> None:
    overview = house.client.get("/api/review/overview", params={"project": house.project.id}).json()
    assert overview["waiting"]["pending"] == 3
    assert overview["bulk"] == [{"annotator": "ann", "source": "", "count": 3}]
    body = {"project": house.project.id, "annotator": "ann", "source": "", "expected": 2}
    assert house.client.post("/api/review/bulk", json=body).status_code == 409
    assert house.client.post("/api/review/bulk", json={**body, "expected": 3}).json() == {"accepted": 3}
    assert house.desk()["item"] is None


def test_gold_is_set_and_removed(house: House) -> None:
    body = {"example": house.examples[0], "response": "Hello."}
    assert house.client.post("/api/review/gold", json=body).json() == {"gold": True}
    gold = get_gold(house.studio.db, house.examples[0])
    assert gold is not None and gold.response == "Hello."
    assert house.desk()["item"]["gold"]["by"] == "rita"
    house.client.post("/api/review/gold", json={"example": house.examples[0], "remove": True})
    assert get_gold(house.studio.db, house.examples[0]) is None


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("decide", {"example": "nope", "annotation": "x", "decision": "accept", "stamp": "0.0"}, 404),
        ("decide", {"example": "nope", "annotation": "x", "decision": "burn", "stamp": "0.0"}, 422),
        ("undo", {"project": "nope"}, 404),
        ("bulk", {"project": "nope", "expected": 0}, 422),
        ("gold", {"example": "nope", "response": "x"}, 404),
    ],
)
def test_nonsense_is_refused_in_a_sentence(house: House, path: str, body: dict, status: int) -> None:
    answered = house.client.post(f"/api/review/{path}", json=body)
    assert answered.status_code == status
    assert status == 422 or answered.json()["message"].endswith(".")


def test_an_unknown_kind_or_project_is_refused(house: House) -> None:
    assert "no 'everything' to review" in house.desk(kind="everything")["message"]
    assert house.client.get("/api/review/desk", params={"project": "nope"}).status_code == 404
