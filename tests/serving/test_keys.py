"""Who is let in: without keys this machine's programs only, with keys whoever has one that works, for its models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import openai
import pytest

from studio.contract.serving import Key, Keys, hash_of, read_keys, write_keys
from studio.errors import BadSpec
from studio.serving.keys import KeyRing
from tests.serving.conftest import House, Start, turns, wait_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def key(token: str, **fields: object) -> Key:
    return Key.model_validate({"id": f"key-{token}", "name": token, "hash": hash_of(token), "created": NOW, **fields})


def put(house: House, *keys: Key) -> None:
    write_keys(house.folder / "keys.json", Keys(keys=keys))


def ask(house: House, token: str, model: str = "base") -> None:
    house.client(token).chat.completions.create(model=model, messages=turns(), max_tokens=2)


def test_a_first_key_is_asked_for_at_once_and_a_revoked_one_opens_nothing(start: Start) -> None:
    house = start()
    ask(house, "whatever")
    put(house, key("good"))
    ask(house, "good")
    for token in ("bad", "Good", "goo"):
        with pytest.raises(openai.AuthenticationError):
            ask(house, token)
    put(house, key("good", revoked=datetime.now(UTC)))
    with pytest.raises(openai.AuthenticationError):
        ask(house, "good")
    assert house.post("/v1/chat/completions", json={}).status_code == 401
    assert house.post("/v1/feedback", json={}).status_code == 401


def test_a_key_asks_for_its_models_only(start: Start) -> None:
    house = start()
    put(house, key("narrow", models=("run-1",)), key("late", expires=NOW + timedelta(days=1)))
    ask(house, "narrow", "run-1")
    assert [model.id for model in house.client("narrow").models.list()] == ["run-1"]
    with pytest.raises(openai.NotFoundError):
        ask(house, "narrow", "base")
    with pytest.raises(openai.AuthenticationError):
        ask(house, "late")


def test_a_key_asks_so_many_times_a_minute(start: Start) -> None:
    house = start(requests_a_minute=100)
    put(house, key("few", a_minute=2), key("many"))
    ask(house, "few")
    ask(house, "few")
    with pytest.raises(openai.RateLimitError, match="2 times a minute") as caught:
        ask(house, "few")
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 30
    ask(house, "many")
    lines = house.traffic(4)
    assert [line["status"] for line in lines] == [200, 200, 429, 200] and lines[2]["key_id"] == "key-few"


def test_nobody_rates_the_answers_of_another_key(start: Start) -> None:
    house = start()
    put(house, key("one"), key("two"))
    answer = house.client("one").completions.create(model="base", prompt="a", max_tokens=1)
    told = {"request_id": answer.id, "rating": 1}
    assert house.post("/v1/feedback", json=told, headers={"Authorization": "Bearer two"}).status_code == 404
    assert house.post("/v1/feedback", json=told, headers={"Authorization": "Bearer one"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "[::1]:9"}, 200),
    ],
)
def test_without_keys_no_web_page_asks(house: House, headers: dict[str, str], status: int) -> None:
    body = {"model": "base", "messages": turns(), "max_tokens": 1}
    assert house.post("/v1/chat/completions", json=body, headers=headers).status_code == status


def test_other_hosts_need_keys(tmp_path: Path, base_folder: Path, runs: Path) -> None:
    from studio.contract.events import EventWriter
    from studio.contract.serving import ServeSpec
    from studio.serving.running import serve

    spec = ServeSpec(models=tmp_path, runs=runs, keys=tmp_path / "keys.json", host="0.0.0.0")
    with pytest.raises(BadSpec, match="key add"):
        serve(tmp_path, spec, EventWriter(tmp_path))


def test_the_file_is_this_users_alone_and_a_damaged_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, Keys(keys=(key("good"),)))
    assert path.stat().st_mode & 0o777 == 0o600 and b"good" not in path.read_bytes().replace(b'"good"', b"").replace(
        b"key-good", b""
    )
    ring = KeyRing(path)
    assert ring.find("good") and not ring.find("bad") and ring.needed
    path.write_text("{")
    assert ring.find("good") and ring.needed
    path.unlink()
    assert ring.find("good") and ring.needed
    path.write_text("[]")
    with pytest.raises(BadSpec, match="restore"):
        read_keys(path)
    wait_for(lambda: ring.needed)
