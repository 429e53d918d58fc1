"""The real `openai` client is served: chat, completions, streams, every setting; a plain 400 for what is not done."""

from __future__ import annotations

import json
import math
from typing import Any

import openai
import pytest

from tests.serving.conftest import House, Start, turns

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def chat(house: House, **fields: Any) -> Any:
    settings = {"model": "run-1", "messages": turns(), "max_tokens": 12, "temperature": 0, **fields}
    return house.client().chat.completions.create(**settings)


def test_models_are_listed_and_told_one_by_one(house: House) -> None:
    client = house.client()
    assert [model.id for model in client.models.list()] == ["base", "run-1", "Mail@production"]
    assert client.models.retrieve("Mail@production").id == "Mail@production"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_a_stream_joins_to_the_whole_answer_and_ends_with_its_usage(house: House) -> None:
    whole = chat(house)
    chunks = list(chat(house, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content != ""
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens == 12 and whole.id.startswith("chatcmpl-")
    assert chunks[-2].system_fingerprint == whole.system_fingerprint


def test_each_name_answers_with_its_own_weights(house: House) -> None:
    base, run, production = (chat(house, model=name) for name in ("base", "run-1", "Mail@production"))
    assert base.choices[0].message.content != run.choices[0].message.content
    assert run.choices[0].message.content == production.choices[0].message.content
    assert base.system_fingerprint != run.system_fingerprint


def test_several_answers_repeat_with_a_seed_and_differ_among_each_other(house: House) -> None:
    first, second = (chat(house, n=3, seed=5, temperature=1.5, top_p=0.95) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in second.choices] and len(set(texts)) == 3
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert first.usage.completion_tokens == 36 and first.usage.prompt_tokens == chat(house).usage.prompt_tokens


def test_a_stream_of_several_answers_keeps_them_apart(house: House) -> None:
    whole = chat(house, n=2, seed=1, temperature=1.5)
    texts = ["", ""]
    for chunk in chat(house, n=2, seed=1, temperature=1.5, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(house: House) -> None:
    text = chat(house, max_tokens=40).choices[0].message.content
    stop = text[5:7]
    cut = chat(house, max_tokens=40, stop=[stop]).choices[0]
    assert cut.finish_reason == "stop" and cut.message.content == text[: text.index(stop)]


def test_log_probabilities_of_tokens_and_their_rivals(house: House) -> None:
    content = chat(house, logprobs=True, top_logprobs=3, max_completion_tokens=5).choices[0].logprobs.content
    assert len(content) == 5 and all(len(token.top_logprobs) == 3 for token in content)
    # Greedy: the token is its own likeliest rival, and chances are chances.
    assert all(token.logprob == token.top_logprobs[0].logprob <= 0 for token in content)
    assert all(sum(math.exp(rival.logprob) for rival in token.top_logprobs) <= 1.0001 for token in content)


def test_completions_go_on_from_texts_and_from_token_ids(house: House) -> None:
    client = house.client()
    both = client.completions.create(model="run-1", prompt=["ab", "cd"], max_tokens=6, temperature=0, logprobs=2, n=2)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    assert both.choices[0].text == both.choices[1].text and both.usage.prompt_tokens == 4
    assert len(both.choices[0].logprobs.tokens) == 6 and both.choices[0].logprobs.text_offset[0] == 0
    ids = [house.server._engine.engine().base.tokenizer("ab")["input_ids"]] * 2
    same = client.completions.create(model="run-1", prompt=ids, max_tokens=6, temperature=0)
    assert [choice.text for choice in same.choices] == [both.choices[0].text] * 2
    stream = client.completions.create(model="run-1", prompt="ab", max_tokens=6, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == both.choices[0].text
    with pytest.raises(openai.BadRequestError, match="258"):
        client.completions.create(model="run-1", prompt=[999], max_tokens=1)


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_an_answer_has_the_json_form_that_was_asked_for(house: House, temperature: float) -> None:
    pytest.importorskip("llguidance")
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
    answer = chat(house, response_format=form, max_tokens=120, temperature=temperature)
    found = json.loads(answer.choices[0].message.content)
    assert set(found) == {"name", "age"} and 0 <= found["age"] <= 99 and answer.choices[0].finish_reason == "stop"


def test_a_form_that_cannot_be_followed_is_refused(house: House) -> None:
    pytest.importorskip("llguidance")
    with pytest.raises(openai.BadRequestError, match="cannot be followed"):
        chat(house, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objekt"}}})


def test_without_llguidance_a_form_is_refused_not_passed_over(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.inference.guide.find_spec", lambda name: None)
    with pytest.raises(openai.BadRequestError, match="install llguidance"):
        chat(house, response_format={"type": "json_object"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "'tools' is not offered"),
        ({"presence_penalty": 0.5}, "'presence_penalty' is not offered"),
        ({"logit_bias": {"5": 1}}, "'logit_bias' is not offered"),
        ({"extra_body": {"top_k": 5}}, "no field 'top_k'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages"),
        ({"messages": []}, "messages"),
        ({"top_logprobs": 3}, "needs logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"n": 99}, "at most 16"),
    ],
)
def test_what_is_not_done_is_a_plain_400(house: House, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as caught:
        chat(house, **fields)
    assert set(caught.value.body) == {"message", "type", "param", "code"}


def test_fields_that_ask_for_nothing_are_taken(house: House) -> None:
    quiet = {"user": "u", "presence_penalty": 0, "tools": [], "metadata": {"a": "b"}, "extra_body": {"logit_bias": {}}}
    parts = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ]
    assert chat(house, messages=parts, **quiet).choices[0].message.content


def test_feedback_names_the_request_and_is_written_down(start: Start) -> None:
    house = start(keep_texts=True)
    answer = chat(house, messages=turns("My mail is ann@example.com."))
    body = {"request_id": answer.id, "rating": -1, "text": "Wrong. Call +49 30 901820 or bob@example.com"}
    assert house.post("/v1/feedback", json=body).status_code == 200
    assert house.post("/v1/feedback", json={**body, "rating": 2}).status_code == 400
    request, feedback = house.traffic(2)
    assert request["id"] == feedback["request_id"] == answer.id and feedback["rating"] == -1
    assert request["messages"][0]["content"] == "My mail is [EMAIL_1]." and "bob@" not in feedback["text"]
    assert (request["run_id"], request["status"], request["finish"]) == ("one", 200, "length")
    assert request["answer_tokens"] == 12 and 0 < request["confidence"] <= 1 and request["total_ms"] > 0


def test_health_metrics_and_the_openapi_document(house: House) -> None:
    chat(house)
    client = house.client()
    pages = {path: client._client.get(house.url + path) for path in ("/health", "/metrics", "/openapi.json")}
    assert {page.status_code for page in pages.values()} == {200}
    assert 'studio_tokens_total{kind="answer",model="run-1"}' in pages["/metrics"].text
    paths = pages["/openapi.json"].json()["paths"]
    assert "messages" in json.dumps(paths["/v1/chat/completions"]["post"]["requestBody"])
    assert "$ref" not in json.dumps([paths[path]["post"]["requestBody"] for path in paths if "post" in paths[path]])
