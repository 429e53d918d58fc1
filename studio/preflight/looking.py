"""All checks one after the other, and what they found put into the report and its two tables.

A check that fails takes no other with it: the rest is reported, with a warning. What it leaves out: the checks.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.events import EventWriter
from studio.contract.preflight import (
    CHECKS,
    NAMED_FILE,
    NAMED_ROWS,
    PROPOSALS_FILE,
    REPORT_FILE,
    Finding,
    PreflightSpec,
    Report,
)
from studio.errors import BadModel, BadSpec
from studio.language import mark
from studio.preflight.bias import check_bias
from studio.preflight.duplicates import check_duplicates
from studio.preflight.encoding import check_encoding
from studio.preflight.flipped import check_flipped
from studio.preflight.found import Beat, Checked, Found
from studio.preflight.labels import check_labels
from studio.preflight.languages import check_languages
from studio.preflight.openings import check_openings
from studio.preflight.personal import check_personal
from studio.preflight.rows import Rows
from studio.preflight.tokens import Tokens, check_tokens, load

_PARTS = 100
_PAUSE = 1.0
_CHUNK = 50_000

Check = Callable[[Rows, PreflightSpec, Beat], Checked]

FAMILIES: dict[str, tuple[str, Check]] = {
    "duplicates": (mark("Looking for duplicates"), lambda rows, spec, beat: check_duplicates(rows, beat)),
    "labels": (mark("Counting labels"), lambda rows, spec, beat: check_labels(rows, beat)),
    "flipped": (mark("Judging labels"), lambda rows, spec, beat: check_flipped(rows, beat)),
    "languages": (mark("Telling languages apart"), lambda rows, spec, beat: check_languages(rows, beat)),
    "encoding": (mark("Looking for broken encodings"), lambda rows, spec, beat: check_encoding(rows, beat)),
    "openings": (mark("Reading how answers begin"), lambda rows, spec, beat: check_openings(rows, beat)),
    "personal": (mark("Looking for personal data and secrets"), check_personal),
    "bias": (mark("Counting identity terms"), check_bias),
}
"""The checks besides that of tokens: key, what the screen says meanwhile, and the function."""


def look(folder: Path, spec: PreflightSpec, events: EventWriter) -> Report:
    """Run every check on the rows of `folder` and write report, named rows and proposals. Raises BadFile, OSError."""
    rows = Rows(folder, spec.task)
    events.write("state", state="evaluating", message=f"Looking through {len(rows):,} rows")
    pulse, seconds = _Pulse(events, len(FAMILIES) + 1), {}
    began = time.perf_counter()
    tokens, problem = _tokens(rows, spec, pulse)
    seconds["tokens"] = round(time.perf_counter() - began, 3)
    found, figures = list(tokens.found), dict(tokens.figures)
    for key, (message, check) in FAMILIES.items():
        began = time.perf_counter()
        checked = _one(pulse, message, partial(check, rows, spec))
        seconds[key] = round(time.perf_counter() - began, 3)
        found += checked.found
        figures |= checked.figures
    order = list(CHECKS)
    found.sort(key=lambda one: order.index(one.check))
    report = Report(
        rows=len(rows),
        splits=dict(Counter(rows.splits)),
        model="" if problem else spec.base_model,
        model_problem=problem,
        lengths=tokens.lengths,
        shown=tokens.shown,
        findings=tuple(_finding(rows, one) for one in found),
        figures=figures,
        seconds=seconds,
    )
    _write(folder, rows, found, report)
    pulse.last()
    return report


class _Pulse:
    """Tells how far the whole is: one event when a check begins, then at most one a second."""

    def __init__(self, events: EventWriter, checks: int) -> None:
        self._events, self._checks = events, checks
        self._done, self._message, self._told = -1, "", 0.0

    def begin(self, message: str) -> None:
        self._done, self._message = self._done + 1, message
        self._tell(0)

    def beat(self, done: int, total: int) -> None:
        if time.monotonic() - self._told >= _PAUSE:
            self._tell(min(_PARTS, _PARTS * done // max(1, total)))

    def last(self) -> None:
        self._done, self._message = self._checks, mark("Done")
        self._tell(0)

    def warn(self, message: str) -> None:
        self._events.write("warning", message=message)

    def _tell(self, part: int) -> None:
        self._told = time.monotonic()
        self._events.write("step", step=_PARTS * self._done + part, steps=_PARTS * self._checks, message=self._message)


def _tokens(rows: Rows, spec: PreflightSpec, pulse: _Pulse) -> tuple[Tokens, str]:
    """What the model will see, or why that cannot be said."""
    message = mark("Rendering the rows as the model sees them")
    problem = ""

    def check(beat: Beat) -> Checked:
        nonlocal problem
        try:
            tokenizer = load(spec.models, spec.base_model)
        except BadModel as error:
            problem = str(error)
            return Tokens()
        return check_tokens(rows, spec, tokenizer, beat)

    checked = _one(pulse, message, check)
    if isinstance(checked, Tokens):
        return checked, problem
    return Tokens(), f"The rows could not be rendered with '{spec.base_model}': log.txt of this preflight says why."


def _one(pulse: _Pulse, message: str, check: Callable[[Beat], Checked]) -> Checked:
    pulse.begin(message)
    try:
        return check(pulse.beat)
    except OSError:
        raise
    except BadSpec as error:
        pulse.warn(str(error))
        return Checked()
    except Exception as error:
        # One broken check must not hide what the others found; the log has the traceback.
        traceback.print_exc()
        pulse.warn(f"A check failed and is not in the report ({message}): {type(error).__name__}, see log.txt.")
        return Checked()


def _finding(rows: Rows, found: Found) -> Finding:
    return Finding(
        check=found.check,
        severity=found.severity,
        text=found.text,
        count=len(found.rows),
        rows=tuple(rows.ids[row] for row in found.rows[:NAMED_ROWS]),
        repairs=found.repairs,
        details=dict(found.details),
    )


def _write(folder: Path, rows: Rows, found: Sequence[Found], report: Report) -> None:
    """The report comes last: where it is, the tables are whole."""
    named = pa.schema([("finding", pa.int32()), ("example_id", pa.string()), ("cluster", pa.int64())])
    _table(folder / NAMED_FILE, named, (line for at, one in enumerate(found) for line in _named(rows, at, one)))
    texts = [(name, pa.string()) for name in ("field", "before_hash", "after")]
    schema = pa.schema([("finding", pa.int32()), ("example_id", pa.string()), ("copy", pa.int32()), *texts])
    lines = (
        (at, rows.ids[one.row], one.copy, one.field, one.before_hash, one.after)
        for at, finding in enumerate(found)
        for one in finding.proposals
    )
    _table(folder / PROPOSALS_FILE, schema, lines)
    temporary = (folder / REPORT_FILE).with_suffix(".tmp")
    temporary.write_text(report.model_dump_json(), encoding="utf-8")
    temporary.replace(folder / REPORT_FILE)


def _named(rows: Rows, at: int, found: Found) -> Iterable[tuple[int, str, int]]:
    clusters = found.clusters or [-1] * len(found.rows)
    return ((at, rows.ids[row], cluster) for row, cluster in zip(found.rows, clusters, strict=True))


def _table(path: Path, schema: pa.Schema, lines: Iterable[tuple[Any, ...]]) -> None:
    temporary = path.with_suffix(".tmp")
    with pq.ParquetWriter(temporary, schema) as writer:
        chunk: list[tuple[Any, ...]] = []
        for line in lines:
            chunk.append(line)
            if len(chunk) == _CHUNK:
                writer.write_table(_arrow(chunk, schema))
                chunk = []
        writer.write_table(_arrow(chunk, schema))
    temporary.replace(path)


def _arrow(chunk: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*chunk, strict=True)) if chunk else [()] * len(schema)
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)], schema=schema)
