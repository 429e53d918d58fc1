"""What the app and a preflight process say to each other: the spec, the rows, and the report, in the job's folder.

    spec.json          PreflightSpec
    rows.parquet       one row a pair, columns of ROW_COLUMNS; written by the app
    report.json        Report, the rows of a finding cut to NAMED_ROWS
    named.parquet      every row of every finding: `finding` (index in the report), `example_id`, `cluster` (rows that
                       are one group of duplicates or of a conflict have one number, from 0; -1 for none)
    proposals.parquet  what a repair would write, columns of PROPOSAL_COLUMNS

A field of an example is named "turn:0" (the turns of its prompt), "said:0" (turns of a chat's answer that differ from
the prompt's), "context", "answer", "payload:a" (and b, tools), "reason", "extra:0" and "said-extra:0" (tool calls of a
turn, JSON text); the app alone knows how to read and write them. No proposal holds the text that
it replaces, only that text's SHA-256, so that what was found need not be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.contract.spec import SPEC_FILE, STARTER
from studio.errors import BadSpec, JobFailed

ROWS_FILE = "rows.parquet"
REPORT_FILE = "report.json"
NAMED_FILE = "named.parquet"
PROPOSALS_FILE = "proposals.parquet"

NAMED_ROWS = 200
"""Rows that the report itself names of a finding; named.parquet has all."""

ROW_COLUMNS = ("example_id", "split", "label", "annotator", "messages", "rejected", "tools", "fields")
"""`split` is '' for a project; `label` the class names joined by a line break, '' where the task has none; `messages`,
`rejected` and `tools` as in a snapshot; `fields` a list of structs {name, text} as the example stores them."""

PROPOSAL_COLUMNS = ("finding", "example_id", "copy", "field", "before_hash", "after")
"""`copy`: 0 writes over the example, 1, 2 … are new examples made of it (counterfactual copies)."""

Severity = Literal["error", "warning", "note"]
Repair = Literal["drop", "redact", "edit", "back", "augment"]

CHECKS: dict[str, str] = {
    "no-target": "No target",
    "truncated": "Rows longer than the context",
    "answer-cut": "Answers cut",
    "exact-duplicates": "Exact duplicates",
    "near-duplicates": "Near-duplicates",
    "conflicts": "One input, different answers",
    "leaks": "Overlap between splits",
    "flipped-labels": "Labels likely wrong",
    "imbalance": "Label imbalance",
    "short-answers": "Empty or one-word answers",
    "languages": "Mixed languages",
    "encoding": "Broken encoding",
    "refusals": "Refusals",
    "boilerplate": "Boilerplate openings",
    "personal-data": "Personal data",
    "secrets": "Secrets",
    "bias": "Identity terms",
}
"""The checks: key and the words that a screen shows, in the order of the report."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class PreflightSpec(_Frozen):
    """One preflight. `terms` is the word list of identity terms, '' for the built-in one; `allowed` are texts that are
    never reported as personal data (the firm's own address); `seed` picks the rows that are shown rendered."""

    models: Path
    base_model: str = Field(STARTER, min_length=1, max_length=500)
    max_length: int = Field(1024, ge=8, le=1_000_000, description="tokens a row, prompt and answer together")
    task: str = "instruction"
    terms: str = ""
    allowed: tuple[str, ...] = ()
    shown: int = Field(24, ge=0, le=500, description="rows whose tokens are shown")
    seed: int = Field(0, ge=0, le=2**31 - 1)


class Finding(_Frozen):
    """What one check found. `text` is one sentence with its count; `rows` are example ids, at most NAMED_ROWS of
    `count`; `repairs` what can be done about them, the advisable one first; `details` figures by name."""

    check: str
    severity: Severity
    text: str
    count: int
    rows: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ()
    details: Mapping[str, Any] = {}


class Lengths(_Frozen):
    """Tokens a row as a histogram: `counts[i]` rows have `edges[i]` ≤ tokens < `edges[i + 1]`."""

    limit: int
    edges: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    median: int = 0
    p95: int = 0
    longest: int = 0
    tokens: int = 0
    target_tokens: int = 0


class ShownRow(_Frozen):
    """A row as the model sees it: pieces of text, each with whether it carries loss; `cut` tokens fall away behind the
    context length."""

    example_id: str
    why: str
    pieces: tuple[tuple[str, bool], ...]
    tokens: int
    cut: int = 0


class Report(_Frozen):
    """Everything that a preflight found. `model` is '' where no model could be read (then `model_problem` says why and
    nothing about tokens was checked). `figures` are tables that a screen shows besides, each a list of objects:

        languages      {"side": "input" | "answer", "language" (ISO 639-1), "rows", "share"} labels         {"label",
        "rows", "share"}, the most frequent first personal-data  {"kind" (as in the placeholder, "EMAIL"), "name"
        ("E-mail address"), "rows", "found"} secrets        the same bias           {"kind", "group", "rows", "share",
        "tone", "tone_rest", "tone_low", "tone_high", "labels"}: `tone` the mean tone (-1 to 1) of rows with the group's
        terms, then of the rest, and the 95 % interval of the difference; `labels` a list of {"label", "share", "rest",
        "low", "high", "effect"}, the largest differences of shares first, with 95 % interval and Cohen's h"""

    rows: int
    splits: Mapping[str, int]
    model: str
    model_problem: str = ""
    lengths: Lengths | None = None
    shown: tuple[ShownRow, ...] = ()
    findings: tuple[Finding, ...] = ()
    figures: Mapping[str, Any] = {}
    seconds: Mapping[str, float] = {}


def read_preflight_spec(run_dir: Path) -> PreflightSpec:
    """Raises BadSpec when it is missing or damaged."""
    try:
        return PreflightSpec.model_validate_json((run_dir / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BadSpec(f"The spec in {run_dir} cannot be read: start the preflight again.") from error


def read_report(run_dir: Path) -> Report:
    """Raises JobFailed when it is missing or damaged."""
    try:
        return Report.model_validate_json((run_dir / REPORT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise JobFailed("The preflight's report cannot be read: run the preflight again.") from error
