"""A stand-in for studio.preflight, its contract in milliseconds: `python -m tests.jobs.fake_preflight JOB_DIR`.

$FAKE_PREFLIGHT tells what it does: `quick` (a small report of each kind of finding), `clean` (a report without any),
`slow` (steps until it is stopped), `crash` (last words on stderr, no done), `deaf` (slow, and ignores SIGTERM).
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.events import EventWriter
from studio.contract.preflight import (
    NAMED_FILE,
    PROPOSALS_FILE,
    REPORT_FILE,
    ROWS_FILE,
    Finding,
    Lengths,
    PreflightSpec,
    Report,
    ShownRow,
    read_preflight_spec,
)

EMAIL = re.compile(r"[\w.]+@[\w.]+")


def main(folder: Path) -> int:
    mode = os.environ.get("FAKE_PREFLIGHT", "quick")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else stop)
    spec, events = read_preflight_spec(folder), EventWriter(folder)
    try:
        events.write("state", state="loading", message="Reading the rows")
        step = 0
        while mode in ("slow", "deaf"):
            events.write("step", step=(step := step + 1), steps=1000, message="Looking for duplicates")
            time.sleep(0.02)
        if mode == "crash":
            print("no tokenizer in sight", file=sys.stderr)
            os._exit(3)
        events.write("step", step=1, steps=2, message="Looking for personal data")
        write(folder, spec, clean=mode == "clean")
        events.write("done", state="done")
    except InterruptedError:
        events.write("done", state="stopped")
    return 0


def stop(number: int, frame: object) -> None:
    raise InterruptedError


def write(folder: Path, spec: PreflightSpec, clean: bool) -> None:
    rows = pq.read_table(folder / ROWS_FILE).to_pylist()
    found = [] if clean else [one for one in find(rows, spec) if one[1]]
    findings, named, proposals = [], [], []
    for number, (base, ids, clusters, proposed) in enumerate(found):
        findings.append(Finding(**{**base, "count": len(ids), "rows": tuple(ids[:200])}))
        named += [(number, key, clusters.get(key, -1)) for key in ids]
        proposals += [(number, *one) for one in proposed]
    splits: dict[str, int] = defaultdict(int)
    for row in rows:
        splits[row["split"]] += 1
    counts = [0] * 8
    for row in rows:
        counts[min(7, len(str(row["messages"])) // 60)] += 1
    report = Report(
        rows=len(rows),
        splits=splits,
        model=spec.base_model,
        lengths=Lengths(
            limit=300, edges=tuple(range(0, 513, 64))[:9], counts=tuple(counts), median=90, p95=210, longest=470,
            tokens=9000, target_tokens=2100,
        ),
        shown=tuple(shown(row) for row in rows[: spec.shown]),
        findings=tuple(findings),
        figures={} if clean else figures(rows),
    )  # fmt: skip
    table(folder / NAMED_FILE, ("finding", "example_id", "cluster"), named)
    table(folder / PROPOSALS_FILE, ("finding", "example_id", "copy", "field", "before_hash", "after"), proposals)
    (folder / REPORT_FILE).write_text(report.model_dump_json(), encoding="utf-8")


def find(rows: list[dict[str, Any]], spec: PreflightSpec) -> list[Any]:
    """(finding, ids, clusters, proposals) of each check."""
    by_prompt, fixes = defaultdict(list), []
    for row in rows:
        by_prompt[row["messages"][-2]["content"]].append(row)
        for field in row["fields"]:
            if EMAIL.search(said := field["text"]) and said not in spec.allowed:
                fixes.append((row["example_id"], 0, field["name"], sha(said), EMAIL.sub("[EMAIL_1]", said)))
    groups = [group for group in by_prompt.values() if len({row["messages"][-1]["content"] for row in group}) > 1]
    clusters = {row["example_id"]: at for at, group in enumerate(groups) for row in group}
    short = [row["example_id"] for row in rows if len(row["messages"][-1]["content"].split()) < 2]
    swaps = [
        (row["example_id"], 1, field["name"], sha(field["text"]), field["text"].replace(" he ", " she "))
        for row in rows
        for field in row["fields"]
        if " he " in field["text"]
    ]
    seen = list(dict.fromkeys(fix[0] for fix in fixes))
    bias = list(dict.fromkeys(swap[0] for swap in swaps))
    mail = f"{len(seen)} of {len(rows)} rows hold e-mail addresses."
    return [
        (head("personal-data", "error", mail, "redact", "drop", "back"), seen, {}, fixes),
        (head("conflicts", "warning", "Inputs have different answers.", "back", "drop"), list(clusters), clusters, []),
        (head("short-answers", "warning", "Answers of one word.", "edit", "drop", "back"), short, {}, []),
        (head("bias", "note", f"{len(bias)} rows name a man.", "augment"), bias, {}, swaps),
    ]


def head(check: str, severity: str, text: str, *repairs: str) -> dict[str, Any]:
    return {"check": check, "severity": severity, "text": text, "repairs": repairs}


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    labels = [{"label": "good", "share": 0.6, "rest": 0.4, "low": 0.05, "high": 0.35, "effect": 0.4}]
    return {
        "languages": [{"side": "input", "language": "en", "rows": len(rows), "share": 1.0}],
        "labels": [{"label": "good", "rows": 3, "share": 0.75}, {"label": "<b>bad</b>", "rows": 1, "share": 0.25}],
        "personal-data": [{"kind": "EMAIL", "name": "E-mail address", "rows": 2, "found": 3}],
        "bias": [
            {"kind": "gender", "group": "male", "rows": 3, "share": 0.3, "tone": 0.2, "tone_rest": -0.1,
             "tone_low": 0.05, "tone_high": 0.5, "labels": labels},
        ],
    }  # fmt: skip


def shown(row: dict[str, Any]) -> ShownRow:
    *asked, answer = row["messages"]
    head = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in asked)
    pieces = ((head + "<|im_start|>assistant\n", False), *((word + " ", True) for word in answer["content"].split()))
    return ShownRow(example_id=row["example_id"], why="drawn", pieces=pieces, tokens=40, cut=3)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def table(path: Path, names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    columns = list(zip(*rows, strict=True)) or [() for _ in names]
    kinds = {"finding": pa.int64(), "cluster": pa.int64(), "copy": pa.int64()}
    data = {name: pa.array(column, kinds.get(name, pa.string())) for name, column in zip(names, columns, strict=True)}
    pq.write_table(pa.table(data), path)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
