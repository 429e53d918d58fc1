"""A stand-in for studio.evaluation, its contract in milliseconds: `python -m tests.deploy.fake_evaluation FOLDER`.

$FAKE_SCORES is a JSON object from run id to the share of held-out rows that it gets right ("*": any other run);
$FAKE_EVALUATION: `quick`, `crash` (no done), `check` (a check of the regression suite fails).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.evaluation import (
    REPORT_FILE,
    ROWS_FILE,
    CaseReport,
    EvalReport,
    EvalSpec,
    MetricReport,
    RegressionReport,
    VerdictReport,
    read_eval_spec,
)
from studio.contract.events import EventWriter


def main(folder: Path) -> int:
    mode, spec, events = os.environ.get("FAKE_EVALUATION", "quick"), read_eval_spec(folder), EventWriter(folder)
    events.write("state", state="evaluating", message="Answering")
    if mode == "crash":
        print("the kettle exploded", file=sys.stderr)
        return 3
    scores = json.loads(os.environ["FAKE_SCORES"])
    share = scores.get(spec.run, scores["*"])
    ids = pq.read_table(spec.snapshot / f"{spec.split}.parquet")["example_id"].to_pylist()
    tuned = [1.0 if at < round(share * len(ids)) else 0.0 for at in range(len(ids))]
    table = {"row": list(range(len(ids))), "example_id": ids, "tuned_score": tuned}
    pq.write_table(pa.table(table), folder / ROWS_FILE)
    report = made(spec, len(ids), share, mode != "check")
    (folder / REPORT_FILE).write_text(report.model_dump_json(), encoding="utf-8")
    events.write("done", state="done")
    return 0


def made(spec: EvalSpec, rows: int, share: float, passes: bool) -> EvalReport:
    figures: dict[str, Any] = {"base": 0.5, "tuned": share, "difference": 0.0, "low": None, "high": None, "p": None}
    case = CaseReport(name="greets", base=True, tuned=passes)
    return EvalReport(
        run=spec.run,
        snapshot=spec.snapshot.name,
        split=spec.split,
        held_out=f"rows of {spec.snapshot.name}",
        rows=rows,
        metrics={"accuracy": MetricReport(title="accuracy", rows=rows, **figures)},
        verdict=VerdictReport(
            metric="accuracy", kind="better" if share > 0.5 else "unshown", sentence="A sentence.", rows=rows
        ),
        regression=RegressionReport(sentence="", cases=(case,)) if spec.suite else None,
    )


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
