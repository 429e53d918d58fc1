"""People, clients and a base model that learns short answers in seconds: what the whole circle is made of.

Nothing stands in for anything: the trainer, the evaluator, the preflight and the server are processes of their own, the
watcher and the caretaker the threads of the app. Only the base model is small: random, two layers deep, its weights
scaled so that an adapter has something to work with.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import openai

from storage.annotations import Act
from storage.records import Project, Run
from studio.context import Studio
from studio.data.columns import Columns
from studio.data.importing import import_file
from studio.deploy import label_these
from studio.deploy.production import production_name
from studio.jobs import runs
from studio.jobs.processes import PROCESS_FILE, is_alive
from studio.jobs.serving import serving_standing
from studio.labeling.desk import act, open_desk
from tests import tiny

COLOURS = ("red", "blue", "green", "grey", "white", "black", "brown", "pink", "amber")
THINGS = ("lamp", "kettle", "chair", "table", "shelf", "clock", "stove", "bench")
TOPICS = {
    "order": ("Where is my {}?", "It left on Monday."),
    "water": ("When does the water boil in the {}?", "Before it sings."),
    "size": ("How tall is the {}?", "Two feet."),
    "price": ("What does the {} cost?", "Ten pounds."),
    "back": ("May I send the {} back?", "Yes, for free."),
}
LEARNT = ("order", "water", "size", "price")
NEW = "back"
"""The topic that nothing was labeled about at first."""

QUICK = {
    **{"method": "lora", "epochs": 20, "batch_size": 16, "learning_rate": 0.01, "lora_rank": 16},
    **{"samples": 2, "sample_tokens": 8, "evaluations": 2, "checkpoints": 1, "packing": "off"},
}


def questions(topic: str, count: int, start: int = 0) -> list[str]:
    """Questions about a topic, each about another thing with another number: none is nearly the same as another."""
    things = [f"{colour} {thing} {number}" for number, (thing, colour) in enumerate(product(THINGS, COLOURS), 10)]
    return [TOPICS[topic][0].format(thing) for thing in things[start : start + count]]


def right_answer(question: str) -> str:
    """What a person answers."""
    return next(answer for asked, answer in TOPICS.values() if question.startswith(asked.split("{")[0]))


def make_base(folder: Path) -> Path:
    """The base model."""
    from safetensors.torch import load_file, save_file

    tiny.make_model(folder)
    weights = load_file(folder / "model.safetensors")
    scales = {"embed_tokens": 50, "proj": 8, "lm_head": 20}
    for name, scale in ((name, scale) for name in weights for part, scale in scales.items() if part in name):
        weights[name] = weights[name] * scale
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def import_questions(studio: Studio, project: Project, asked: Sequence[str], path: Path) -> None:
    """A file of questions, as somebody uploads it."""
    path.write_text("".join(json.dumps({"question": one}) + "\n" for one in asked), encoding="utf-8")
    assert import_file(studio.db, project.id, path, Columns(input="question")).imported == len(asked)


def label_all(studio: Studio, project: Project, annotator: str, sources: set[str]) -> int:
    """A person answers whatever waits, card by card; how many. `sources`: filled with where the examples came from."""
    done = 0
    while card := open_desk(studio.queues, project.id, annotator, ahead=1).card:
        sources.add(card.example.source)
        answer = right_answer(card.example.prompt[-1].content)
        offered = card.suggestion.id if card.suggestion else None
        given = Act(card.example.id, annotator, "submit", answer, seconds=1.0, suggestion_id=offered, checked=True)
        act(studio.queues, given, ahead=0)
        done += 1
    return done


def train(studio: Studio, snapshot_id: str, base: Path) -> Run:
    """A run from its start to its end."""
    run = runs.start_run(studio.db, studio.workspace, snapshot_id, str(base), QUICK)
    until(lambda: runs.get_run(studio.db, run.id).state in ("done", "failed", "stopped"))
    run = runs.get_run(studio.db, run.id)
    assert run.state == "done", (run.message, runs.run_log(studio.workspace, run.id))
    return run


@dataclass
class Clients:
    """Applications that ask the model in production by the real client, and say what they think of its answers."""

    url: str
    model: str
    key: str
    failures: list[str] = field(default_factory=list)

    def client(self) -> openai.OpenAI:
        """A client that tries nothing again by itself, so that no failure is hidden."""
        return openai.OpenAI(base_url=self.url, api_key=self.key, max_retries=0, timeout=120)

    def ask(self, client: openai.OpenAI, question: str) -> tuple[str, str]:
        """Id and text of an answer."""
        reply = client.chat.completions.create(
            model=self.model,
            messages=[{"role": "system", "content": "You help."}, {"role": "user", "content": question}],
            temperature=0,
            max_tokens=24,
        )
        return reply.id, str(reply.choices[0].message.content)

    def ask_all(self, asked: Sequence[str]) -> list[tuple[str, str, str]]:
        """(question, id, answer) of each, eight at a time."""
        with self.client() as client, ThreadPoolExecutor(8) as pool:
            said = pool.map(lambda question: self.ask(client, question), asked)
            return [(question, *one) for question, one in zip(asked, said, strict=True)]

    def rate(self, answered: Sequence[tuple[str, str, str]]) -> tuple[int, int]:
        """A thumb for each answer, up where it is right; how many up and down."""
        with self.client() as client:
            for question, request_id, answer in answered:
                said = {"request_id": request_id, "rating": 1 if answer == right_answer(question) else -1}
                client.post("/feedback", body=said, cast_to=object)
        up = sum(answer == right_answer(question) for question, _, answer in answered)
        return up, len(answered) - up

    @contextmanager
    def asking(self, asked: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
        """Ask again and again, as long as the block lasts: (question, answer) as they come; failures are kept too."""
        ended, heard = threading.Event(), list[tuple[str, str]]()

        def work() -> None:
            with self.client() as client:
                number = 0
                while not ended.is_set():
                    question = asked[number % len(asked)]
                    number += 1
                    try:
                        heard.append((question, self.ask(client, question)[1]))
                    except openai.OpenAIError as error:
                        self.failures.append(repr(error))
                    ended.wait(0.5)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield heard
        finally:
            ended.set()
            thread.join()


def clients_of(folder: Path, project: Project, key: str) -> Clients:
    """Clients of the server of a folder."""
    return Clients(serving_standing(folder).url, production_name(project.name), key)


def take_to_label(studio: Studio, project: Project, reasons: Sequence[str]) -> label_these.Labeled:
    """What "Label these" does."""
    found = label_these.candidates(studio.db, project.id, datetime.now(UTC), reasons)
    return label_these.label_these(studio.db, "ann", project.id, found)


def pid_of(folder: Path) -> int:
    """The process of a server, which is at work."""
    pid = int(json.loads((folder / PROCESS_FILE).read_text(encoding="utf-8"))["pid"])
    assert is_alive(folder) and Path(f"/proc/{pid}").exists()
    return pid


def until(true: Callable[[], Any], seconds: float = 900) -> Any:
    """Wait until something holds; what it gave."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.1)
    return found
