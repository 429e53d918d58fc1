"""One evaluation, top to bottom: rows, base and tuned answers, metrics, the other ways to ask the base, the report.

The details live next door: held_rows.py, kept.py (answers), report.py (figures), ways.py. What it leaves out: starting
and stopping it (studio.jobs.evaluating), and judging by another model.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from studio.contract.chat import Message
from studio.contract.evaluation import REPORT_FILE, EvalReport, EvalSpec, WayReport
from studio.contract.events import EventWriter, newest
from studio.errors import BadFile, StudioError
from studio.evaluation import report
from studio.evaluation.answering import Asked
from studio.evaluation.further import look_further
from studio.evaluation.held_rows import HeldRow, belongings, digest_of, label_set, read_rows, spread
from studio.evaluation.kept import Kept, answered
from studio.evaluation.scoring import MEASURES, scored
from studio.evaluation.ways import WAY_ROWS, Way, advice, nearest, prompted, reported, shown
from studio.inference.engine import Engine
from studio.inference.request import GenerationRequest
from studio.inference.served import NoClassifier
from studio.models.devices import device_name
from studio.models.loading import load_base
from studio.models.quiet import be_quiet, stay_offline

_TRAIN_POOL = 5_000
"""Training rows among which the nearest ones are looked for; more are thinned evenly."""

_TELL_SECONDS = 1.0


@dataclass(frozen=True)
class Bench:
    """What answers, under which names, and where it is told."""

    spec: EvalSpec
    engine: Engine
    base: str
    tuned: str
    told: Told

    def ask(self, weights: str, run: str | None, questions: Sequence[tuple[Message, ...]], tokens: int) -> list[Kept]:
        """Greedy answers of the base (`run` None) or of the run."""
        asked = [Asked(messages, run, tokens) for messages in questions]
        return answered(
            self.engine, self.spec.answers, weights, asked, self.spec.batch_rows, self.told.part(len(asked))
        )


class Told:
    """Says how far it is, at most once a second."""

    def __init__(self, events: EventWriter, total: int) -> None:
        self._events, self._total, self._before, self._at = events, total, 0, 0.0

    def part(self, count: int) -> Callable[[int], None]:
        """What to tell the progress of the next `count` answers."""
        start, self._before = self._before, self._before + count

        def tell(done: int) -> None:
            if time.monotonic() - self._at < _TELL_SECONDS and done < count:
                return
            self._at = time.monotonic()
            words = f"{start + done:,} of {self._total:,} answers"
            self._events.write("step", step=start + done, steps=self._total, message=words)

        return tell


def evaluate(folder: Path, spec: EvalSpec, events: EventWriter) -> None:
    """Evaluate the run of `spec` and write report.json and rows.parquet into `folder`.

    Raises StudioError with one sentence, and OSError when the disk is full.
    """
    began = time.monotonic()
    be_quiet()
    every, left_out = read_rows(spec.snapshot, spec.split)
    if not every:
        raise BadFile(f"The snapshot has no {spec.split} rows: freeze one that holds some rows out, and train on it.")
    rows, labels = spread(every, spec.most_rows), label_set(spec)
    engine = Engine(load_base(spec.models, spec.base_model, spec.device, spec.dtype), spec.runs, spec.models)
    own = report.own_metrics(spec)
    stay_offline()
    tuned_hash = str(engine.prepare(GenerationRequest(rows[0].question, spec.run)).hash)
    few = rows if len(rows) <= WAY_ROWS else spread(rows, WAY_ROWS)
    asked_ways = _wanted_ways(spec, engine)
    told = Told(events, 2 * len(rows) + len(asked_ways) * len(few))
    bench = Bench(spec, engine, engine.base.weights_hash, f"{engine.base.weights_hash} {tuned_hash}", told)
    _tell(events, f"Answering {len(rows):,} held-out rows")

    tokens = _limit(engine, rows, spec.most_tokens)
    tuned = bench.ask(bench.tuned, spec.run, [row.question for row in rows], tokens)
    base, base_is = _base_answers(bench, rows, tokens)
    notes = [*_told_of(base, "base"), *_told_of(tuned, "fine-tuned")]

    sides = report.Sides(rows, [one.text for one in base], [one.text for one in tuned], labels)
    pairs = report.measured(spec, sides)
    for name, metric in own.items():
        try:
            pairs[name] = report.measured_by(sides, name, metric)
        except StudioError as error:
            _warn(events, str(error))
            notes.append(str(error))
    lead = next(iter(pairs))
    more, by_row = report.losses(spec)
    classes, confusion, unmatched = report.class_reports(sides, spec.task)
    report.write_rows(folder, sides, pairs[lead], by_row)
    ways, said = _ways(bench, asked_ways, few, rows, base, tuned, lead, labels, tokens, events)
    further = look_further(engine, spec, partial(_tell, events), partial(_warn, events))
    made = EvalReport(
        run=spec.run,
        snapshot=spec.snapshot.name,
        split=spec.split,
        held_out=digest_of(rows),
        rows=len(rows),
        left_out=left_out,
        task=spec.task,
        base_is=base_is,
        base_hash=engine.base.weights_hash,
        adapter_hash=tuned_hash,
        device=device_name(engine.base.device),
        most_tokens=tokens,
        metrics=report.metric_reports(pairs | more, spec.seed),
        verdict=report.verdict_report(lead, pairs[lead], spec.seed),
        slices=report.slice_reports(pairs[lead], belongings(folder, spec, rows, labels), spec.seed),
        classes=classes,
        confusion=confusion,
        unmatched=unmatched,
        ways=ways,
        advice=said,
        regression=further.regression,
        general=further.general,
        memorised=further.memorised,
        notes=tuple(notes),
        seconds=round(time.monotonic() - began, 1),
    )
    whole = folder / f"{REPORT_FILE}.tmp"
    whole.write_text(made.model_dump_json(), encoding="utf-8")
    whole.replace(folder / REPORT_FILE)


def _tell(events: EventWriter, words: str) -> None:
    events.write("state", state="evaluating", message=words)


def _warn(events: EventWriter, words: str) -> None:
    events.write("warning", message=words)


def _limit(engine: Engine, rows: Sequence[HeldRow], most: int) -> int:
    """Tokens an answer may have: half as many again as the longest reference has, so that rambling is cut but no right
    answer is."""
    tokenizer = engine.base.tokenizer
    longest = max(len(tokenizer(row.reference, add_special_tokens=False)["input_ids"]) for row in rows)
    return min(most, math.ceil(1.5 * longest) + 8)


def _base_answers(
    bench: Bench, rows: Sequence[HeldRow], tokens: int
) -> tuple[list[Kept], Literal["model", "majority"]]:
    """The base's answers. An encoder that was never trained on the labels has none: the most frequent label of the
    training rows stands in its place, which is what a model without any skill would say."""
    try:
        return bench.ask(bench.base, None, [row.question for row in rows], tokens), "model"
    except NoClassifier:
        train, _ = read_rows(bench.spec.snapshot, "train")
        ((label, _),) = Counter(row.reference for row in train).most_common(1)
        return [Kept(label, 0, 0, 0.0, "stop")] * len(rows), "majority"


def _told_of(answers: Sequence[Kept], name: str) -> list[str]:
    cut, unasked = (sum(one.finish == finish for one in answers) for finish in ("length", "unasked"))
    found = []
    if cut:
        found.append(f"{cut:,} answers of the {name} model were cut at the limit of tokens.")
    if unasked:
        found.append(f"{unasked:,} prompts are too long for the {name} model and count as unanswered.")
    return found


_Question = Callable[[HeldRow], tuple[Message, ...]]


def _wanted_ways(spec: EvalSpec, engine: Engine) -> list[str]:
    if not spec.ways or engine.shared.family != "causal":
        return []
    return [*(["prompt"] if spec.instructions.strip() else []), *(["examples"] if spec.shots else [])]


def _ways(
    bench: Bench,
    wanted: Sequence[str],
    few: Sequence[HeldRow],
    rows: Sequence[HeldRow],
    base: Sequence[Kept],
    tuned: Sequence[Kept],
    lead: str,
    labels: Sequence[str],
    tokens: int,
    events: EventWriter,
) -> tuple[tuple[WayReport, ...], str]:
    """What each way of asking is worth on the same few rows, and which to use. One that fails is told and left out."""
    if not wanted:
        return (), ""
    spec, at = bench.spec, {row.number: place for place, row in enumerate(rows)}
    places = [at[row.number] for row in few]

    def way(name: str, words: str, answers: Sequence[Kept], minutes: float | None = None) -> Way:
        found = scored(lead, [one.text for one in answers], [row.reference for row in few], labels)
        return Way(name, words, found, answers, minutes)

    made = [way("base", "the base model as it is", [base[place] for place in places])]
    for name in wanted:
        try:
            question, words = _question(spec, name, few)
            answers = bench.ask(bench.base, None, [question(row) for row in few], tokens)
            made.append(way(name, words, answers))
        except StudioError as error:
            _warn(events, f"The base model {name} could not be tried: {error}")
    made.append(way("tuned", "the fine-tuned model", [tuned[place] for place in places], _minutes(spec)))
    higher = MEASURES[lead].higher
    said = advice(made, MEASURES[lead].title, higher, spec.seed)
    return tuple(reported(one, spec.seed) for one in made), said


def _question(spec: EvalSpec, name: str, few: Sequence[HeldRow]) -> tuple[_Question, str]:
    """How a row is asked in a way, and the way's name in words."""
    if name == "prompt":
        return lambda row: prompted(row, spec.instructions), "the base model with the project's prompt"
    from studio.models.encoders import load_encoder

    train = spread(read_rows(spec.snapshot, "train")[0], _TRAIN_POOL)
    near = nearest(load_encoder(device=spec.device).encode, train, few, spec.shots)
    examples = {row.number: found for row, found in zip(few, near, strict=True)}
    words = f"the base model with {spec.shots} examples in its prompt"
    return lambda row: shown(row, examples[row.number], spec.instructions), words


def _minutes(spec: EvalSpec) -> float | None:
    """Minutes that the training took, as its last event says."""
    seconds = newest(spec.runs / spec.run, "seconds")
    return round(float(seconds) / 60, 2) if isinstance(seconds, int | float) else None
