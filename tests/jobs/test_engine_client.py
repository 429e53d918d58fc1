"""The inference process as the app sees it: a real one over a tiny random model, asked, exchanged and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from studio.contract.chat import Message
from studio.errors import BadInput, BadModel, JobFailed, NotFound
from studio.jobs import engine as client
from studio.jobs.comparison import Panes, stream_pair
from studio.jobs.engine import Answer, Engine, Engines, Question, Sampling, open_engine, start_engine
from studio.settings import Workspace
from tests.inference.conftest import make_adapter, make_model, make_tokenizer
from tests.jobs.conftest import wait_until

SHORT = Sampling(max_tokens=8)


@pytest.fixture(scope="module", autouse=True)
def quiet_threads() -> Iterator[None]:
    """One thread for the engines: the machine is shared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with two bases beside it, and runs `zero` (adapter without effect) and `one` of the first."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    for name, seed in (("base", 7), ("other", 8)):
        make_tokenizer().save_pretrained(workspace.root / name)
        make_model(seed).save_pretrained(workspace.root / name)
    make_adapter(workspace.runs, "zero", workspace.root / "base", scale=0.0)
    make_adapter(workspace.runs, "one", workspace.root / "base", scale=0.5, seed=1)
    return workspace


@pytest.fixture(scope="module")
def engine(home: Workspace) -> Iterator[Engine]:
    """An engine over the first base, for the questions of this module."""
    with open_engine(home, str(home.root / "base"), "cpu") as running:
        yield running


def ask(text: str, adapter: str | None = None, sampling: Sampling = SHORT) -> Question:
    """A one-turn question."""
    return Question((Message("user", text),), adapter, sampling)


async def everything(engine: Engine, question: Question) -> list[str | Answer]:
    """All that a stream gives."""
    return [piece async for piece in engine.stream(question)]


def test_the_adapter_answers_otherwise_and_says_who_it_is(engine: Engine) -> None:
    base, tuned, zero = (engine.answer(ask("Hello", name)) for name in (None, "one", "zero"))
    assert base.text == zero.text != tuned.text
    assert base.weights.adapter is None and base.weights.adapter_hash is None
    assert (tuned.weights.adapter, tuned.weights.base_hash) == ("one", base.weights.base_hash)
    assert len(tuned.weights.adapter_hash or "") == 64 and tuned.weights.adapter_hash != zero.weights.adapter_hash


def test_an_answer_tells_its_length_and_why_it_ended(engine: Engine) -> None:
    answer = engine.answer(ask("Hello"))
    assert (answer.finish, answer.tokens) == ("length", 8)
    assert answer.seconds > 0


def test_many_answers_come_in_the_order_of_the_questions(engine: Engine) -> None:
    questions = [ask(f"Question {n}", (None, "one", "zero")[n % 3]) for n in range(20)]
    together = engine.answer_many(questions)
    assert [answer.weights.adapter for answer in together] == [question.adapter for question in questions]
    assert [answer.text for answer in together[:3]] == [engine.answer(question).text for question in questions[:3]]
    assert engine.answer_many([]) == []


def test_a_stream_gives_the_pieces_and_then_the_whole(engine: Engine) -> None:
    *pieces, whole = asyncio.run(everything(engine, ask("Hello", "one")))
    assert isinstance(whole, Answer) and all(isinstance(piece, str) for piece in pieces)
    assert len(pieces) > 1
    assert "".join(map(str, pieces)) == whole.text == engine.answer(ask("Hello", "one")).text
    assert whole.weights.adapter == "one" and whole.tokens == 8


def test_a_stream_that_is_left_ends_and_the_engine_goes_on(engine: Engine) -> None:
    async def leave() -> None:
        stream = engine.stream(ask("Hello", sampling=Sampling(max_tokens=200)))
        assert isinstance(await anext(stream), str)
        await stream.aclose()

    asyncio.run(leave())
    assert engine.answer(ask("Hello")).tokens == 8


def test_a_seed_makes_drawing_repeatable(engine: Engine) -> None:
    first, again, other = (
        engine.answer(ask("Hello", sampling=Sampling(temperature=1.5, max_tokens=16, seed=seed))).text
        for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("adapter", ["run-unknown", "../one"])
def test_a_run_without_an_adapter_is_not_found(engine: Engine, adapter: str) -> None:
    with pytest.raises(NotFound) as refused:
        engine.answer(ask("Hello", adapter))
    assert str(refused.value).endswith(".") and "Traceback" not in str(refused.value)
    with pytest.raises(NotFound):
        asyncio.run(everything(engine, ask("Hello", adapter)))


@pytest.mark.parametrize(
    "question",
    [ask("x" * 10_000), ask("Hello", sampling=Sampling(max_tokens=0)), ask("Hello", sampling=Sampling(temperature=-1))],
    ids=["too long", "no tokens", "negative temperature"],
)
def test_what_cannot_be_answered_is_one_sentence(engine: Engine, question: Question) -> None:
    with pytest.raises(BadInput) as refused:
        engine.answer(question)
    assert "\n" not in str(refused.value)
    assert engine.answer(ask("Hello")).tokens == 8


def test_its_token_is_asked_for(engine: Engine) -> None:
    import httpx

    answer = httpx.post(engine._url, json={"model": "base", "messages": []}, trust_env=False)
    assert answer.status_code in (401, 403)
    assert (engine.run_dir / "spec.json").stat().st_mode & 0o077 == 0


async def pair(engine: Engine, run_id: str, max_tokens: int = 8) -> list[Panes]:
    """All that a comparison gives."""
    messages = [Message("user", "Hello")]
    return [panes async for panes in stream_pair(engine, messages, run_id, Sampling(max_tokens=max_tokens))]


def test_a_pair_differs_for_an_adapter_and_is_the_same_without_its_effect(engine: Engine) -> None:
    tuned, zero = (asyncio.run(pair(engine, run_id))[-1] for run_id in ("one", "zero"))
    assert tuned.base.text != tuned.tuned.text
    assert zero.base.text == zero.tuned.text == tuned.base.text
    assert tuned.base.answer is not None and tuned.tuned.answer is not None
    assert tuned.base.answer.weights.adapter is None and tuned.tuned.answer.weights.adapter == "one"
    assert tuned.base.text == engine.answer(ask("Hello")).text


def test_a_pair_grows_and_both_sides_are_whole_at_the_end(engine: Engine) -> None:
    seen = asyncio.run(pair(engine, "one", 100))
    for side in ("base", "tuned"):
        texts = [getattr(panes, side).text for panes in seen]
        assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
        assert getattr(seen[-1], side).done


def test_a_side_that_cannot_answer_says_so_and_the_other_still_does(engine: Engine) -> None:
    last = asyncio.run(pair(engine, "run-unknown"))[-1]
    assert last.base.answer is not None and last.base.error is None
    assert last.tuned.answer is None and last.tuned.error and last.tuned.done


def test_a_pair_that_is_left_leaves_no_task(engine: Engine) -> None:
    async def leave() -> int:
        stream = stream_pair(engine, [Message("user", "Hello")], "one", Sampling(max_tokens=200))
        await anext(stream)
        await stream.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1


def test_an_engine_is_kept_exchanged_replaced_when_killed_and_closed_without_a_trace(home: Workspace) -> None:
    engines = Engines(home)
    base, other = str(home.root / "base"), str(home.root / "other")
    first = engines.get(base)
    assert engines.get(base) is first
    text = first.answer(ask("Hello")).text
    second = engines.get(other)
    assert not first.alive and not first.run_dir.exists()
    assert second.answer(ask("Hello")).text != text
    for child in children_of(second):
        child.kill()
    wait_until(lambda: not second.alive)
    for broken in (lambda: second.answer(ask("Hello")), lambda: asyncio.run(everything(second, ask("Hello")))):
        with pytest.raises(JobFailed, match="ask again"):
            broken()
    third = engines.get(other)
    assert third.answer(ask("Hello")).tokens == 8
    engines.close()
    assert not any(one.alive or one.run_dir.exists() or children_of(one) for one in (first, second, third))


def children_of(engine: Engine) -> list[psutil.Process]:
    """The living processes of an engine's folder."""
    return [one for one in psutil.Process().children() if engine.run_dir.name in " ".join(one.cmdline())]


def test_a_model_that_cannot_be_loaded_is_one_sentence_and_leaves_nothing(home: Workspace, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    make_model(1).save_pretrained(broken)
    (broken / "config.json").write_text('{"model_type": "no-such-type"}')
    before = set(home.engines.iterdir()) if home.engines.exists() else set()
    with pytest.raises(JobFailed) as failed:
        start_engine(home, str(broken), "cpu")
    assert "\n" not in str(failed.value) and "Traceback" not in str(failed.value)
    assert set(home.engines.iterdir()) == before
    with pytest.raises(BadModel, match="There is no folder"):
        start_engine(home, str(tmp_path / "gone"))


def test_a_process_that_dies_while_it_loads_is_told_with_its_last_words(
    home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ENGINE_MODULE", "tests.jobs.no_such_module")
    with pytest.raises(JobFailed, match=r"ended while it loaded.*no_such_module"):
        start_engine(home, str(home.root / "base"))
