"""One question, top to bottom: the pairs as texts, the nearest ones, then those whose gradients point the same way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from studio.contract.chat import Message
from studio.contract.events import EventWriter
from studio.contract.spec import read_train_spec
from studio.contract.why import Source, WhyReport, WhySpec, write_report
from studio.errors import BadFile
from studio.models.encoders import load_encoder
from studio.models.quiet import be_quiet, stay_offline
from studio.training.data import Row
from studio.why.gradients import Gradients
from studio.why.kept import Kept
from studio.why.pairs import Pair, file_digest, nearness, question, read_pairs, scores
from studio.why.tuned import Tuned, load_tuned, weights_folder

_SAVE_ROWS = 128
"""Gradients are written to disk so many rows at a time."""

_WHOLE = 1000
"""Parts of the whole, as events count them."""

_METHOD = 1
"""Counted up when gradients are worked out in another way: those kept before are then made anew."""


def look(job_dir: Path, spec: WhySpec, events: EventWriter) -> WhyReport:
    """Answer the question of `spec` and write the report. Raises StudioError with one sentence, OSError."""
    be_quiet()
    weights_folder(spec.run)
    snapshot = read_train_spec(spec.run).snapshot
    if not (snapshot / "train.parquet").is_file():
        raise BadFile(f"The files of this run's snapshot are gone from {snapshot}: freeze it again.")
    turns = [Message(turn.role, turn.content) for turn in spec.turns]
    pairs = read_pairs(snapshot)
    tuned = None if spec.answer and not spec.gradients else _load(spec, events)
    answer = spec.answer or (tuned.answer(turns, spec.answer_tokens) if tuned else "")
    told = _Told(events, "Reading the training pairs", 0.0, 0.2 if spec.gradients else 1.0)
    near = nearness(
        load_encoder(spec.encoder, spec.device),
        spec.encoder,
        spec.cache,
        snapshot,
        pairs,
        (question(turns), answer),
        told,
    )
    report = WhyReport(answer=answer, rows=len(pairs), nearest=_best(pairs, near, spec.shown))
    write_report(job_dir, report)
    if tuned and spec.gradients:
        report = by_gradient(job_dir, spec, tuned, pairs, near, turns, report, events)
        write_report(job_dir, report)
    return report


def by_gradient(
    job_dir: Path,
    spec: WhySpec,
    tuned: Tuned,
    pairs: Sequence[Pair],
    near: Any,
    turns: Sequence[Message],
    report: WhyReport,
    events: EventWriter,
) -> WhyReport:
    """The report with the pairs whose gradients point the way of the answer's. Raises BadInput, OSError."""
    if not report.answer.strip():
        return report.model_copy(update={"by_gradient": (), "note": "The answer is empty, so it has no gradient."})
    asked = tuned.row(job_dir, turns, report.answer)
    rows = tuned.rows()
    chosen = [pairs[at] for at in np.argsort(-near, kind="stable") if pairs[at].row in rows][: spec.candidates]
    found = np.zeros(len(chosen), np.float32)
    points = [point for point in dict.fromkeys(spec.points) if point == "end" or tuned.has_start] or ["end"]
    for number, point in enumerate(points):
        begin = 0.2 + 0.8 * number / len(points)
        told = _Told(events, "Comparing gradients", begin, begin + 0.8 / len(points))
        with tuned.at(point):
            found += _products(spec, tuned, point, asked, [rows[pair.row] for pair in chosen], told) / len(points)
    left = len(pairs) - len(chosen)
    note = f"Gradients were compared with the {len(chosen):,} nearest of {len(pairs):,} pairs." if left else ""
    best = _best(chosen, found, spec.shown)
    return report.model_copy(update={"by_gradient": best, "compared": len(chosen), "note": note})


def _products(spec: WhySpec, tuned: Tuned, point: str, asked: Row, rows: Sequence[Row], told: _Told) -> Any:
    """Cosines of the gradients of rows with that of the question, (rows,); those of rows are kept."""
    gradients = Gradients(tuned.model, tuned.ways, int(tuned.base.tokenizer.pad_token_id), spec.numbers)
    kept = Kept(
        spec.cache,
        what="gradients",
        method=[_METHOD, spec.numbers, point],
        split=file_digest(tuned.spec.snapshot),
        weights=[tuned.base.weights_hash, tuned.weights_hash],
        rendered=[tuned.spec.chat_template, tuned.spec.max_length, tuned.spec.overlong],
    )
    fill(kept, gradients, rows, spec.batch_tokens, told)
    return scores(kept, [row.number for row in rows], gradients.of([asked])[0].numpy())


def fill(kept: Kept, gradients: Gradients, rows: Sequence[Row], batch_tokens: int, told: Any) -> None:
    """Work out and keep the gradients of the rows that are not kept yet. Raises OSError when the disk is full."""
    known = kept.rows()
    missing = sorted((row for row in rows if row.number not in known), key=len)
    done, waiting, made = 0, [], []
    for batch in _batches(missing, batch_tokens):
        made.append(gradients.of(batch).numpy())
        waiting += [row.number for row in batch]
        done += len(batch)
        if len(waiting) >= _SAVE_ROWS or done == len(missing):
            kept.add(waiting, np.concatenate(made))
            waiting, made = [], []
        told(done, len(missing))


def _load(spec: WhySpec, events: EventWriter) -> Tuned:
    events.write("state", state="loading", message="Loading the fine-tuned model")
    tuned = load_tuned(spec.run, spec.device)
    stay_offline()
    events.write("state", state="evaluating", message="Reading the training pairs")
    return tuned


def _batches(rows: Sequence[Row], tokens: int) -> list[list[Row]]:
    """Rows of like length, so many that they have at most `tokens` with padding (or one row)."""
    made: list[list[Row]] = []
    for row in rows:  # each is at least as long as those before it
        if made and len(row) * (len(made[-1]) + 1) <= tokens:
            made[-1].append(row)
        else:
            made.append([row])
    return made


def _best(pairs: Sequence[Pair], found: Any, shown: int) -> tuple[Source, ...]:
    order = [int(at) for at in np.argsort(-found, kind="stable")[:shown]]
    return tuple(
        Source(
            row=pairs[at].row,
            example_id=pairs[at].example_id,
            prompt=pairs[at].prompt,
            answer=pairs[at].answer,
            score=round(float(found[at]), 4),
        )
        for at in order
        if np.isfinite(found[at])
    )


@dataclass
class _Told:
    """Says how far it is, at most twice a second; its work is the part of the whole from `begin` to `end`."""

    events: EventWriter
    message: str
    begin: float
    end: float
    last: float = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.last < 0.5 and done < total:
            return
        if self.last == float("-inf"):
            self.began, self.before = now, done
        self.last = now
        share = self.begin + (self.end - self.begin) * done / max(1, total)
        rate = (done - self.before) / max(1e-6, now - self.began)
        left = {"eta_seconds": round((total - done) / rate, 1)} if rate > 0 else {}
        words = f"{self.message}: {done:,} of {total:,}"
        self.events.write("step", step=round(share * _WHOLE), steps=_WHOLE, message=words, **left)
