"""How do data in and out grow? Import, near-duplicates, snapshot, diff and export at 10 k, 100 k and 1 M rows.

    python tests/bench/bench_data.py [--rows 10000,100000,1000000] [--parts import,again,near,snapshot,diff,export]
                                     [--kinds csv,jsonl,parquet] [--folder /tmp/sft-bench-data]

Each figure is of a process of its own: seconds of the work alone (no start, no imports of libraries), the peak of its
memory over what it had when the work began, the ratio to `datasets.load_dataset` + `to_parquet` of the same file in the
same run (import only; each is measured `--repeat` times, the best counts), and the exponent of growth from the fewest
to the most rows (1: twice the rows take twice as long). The rows are those of Banking77 with a number behind each text,
or made-up ones where ../shared/data is not there.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

BANKING = ROOT.parent / "shared" / "data" / "banking77_train.csv"
KINDS = ("csv", "jsonl", "parquet")
PARTS = ("import", "again", "near", "snapshot", "diff", "export")
LIMITS = {"ratio": 2.0, "exponent": 1.1, "peak": 1024}
_WORDS = ("card", "account", "transfer", "money", "refund", "pin", "top", "up", "cash", "fee", "rate", "why", "how")
Work = Callable[[], object]


@dataclass(frozen=True)
class Measured:
    """One piece of work: `seconds`, and the peak of memory over the start in MiB."""

    part: str
    rows: int
    seconds: float
    peak: int


def main(arguments: list[str] | None = None) -> list[Measured]:
    """Measure and print; what was measured, in the order of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/sft-bench-data"))
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes, kinds, parts = [int(rows) for rows in options.rows.split(",")], options.kinds.split(","), options.parts
    if options.one:
        print(json.dumps(asdict(_measure(options.one, options.folder, sizes[0]))))
        return []
    found: list[Measured] = []
    print("| work | rows | seconds | MiB over the start | times datasets |\n|---|---:|---:|---:|---:|")
    for rows in sizes:
        write_files(options.folder, rows)
        for part in _works(parts.split(","), kinds):
            best = min((_in_process(part, options.folder, rows) for _ in range(options.repeat)), key=_seconds)
            found.append(best)
            print(_line(best, found), flush=True)
        shutil.rmtree(_workspace(options.folder, rows), ignore_errors=True)
    _print_growth(found)
    return found


def write_files(folder: Path, rows: int) -> None:
    """The same rows as CSV, JSONL and Parquet, made once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    if _file(folder, rows, "parquet").exists():
        return
    pairs = list(_pairs(rows))
    with _file(folder, rows, "csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("input", "output"), *pairs])
    with _file(folder, rows, "jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"input": text, "output": answer}) + "\n" for text, answer in pairs)
    inputs, outputs = (list(column) for column in zip(*pairs, strict=True))
    pq.write_table(pa.table({"input": inputs, "output": outputs}), _file(folder, rows, "parquet"))


def _pairs(rows: int) -> Iterator[tuple[str, str]]:
    chance = random.Random(0)
    if BANKING.exists():
        with BANKING.open(encoding="utf-8", newline="") as file:
            known = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    else:
        known = [(" ".join(chance.choices(_WORDS, k=12)), f"intent_{chance.randrange(77)}") for _ in range(10_000)]
    for number in range(rows):
        text, answer = chance.choice(known)
        yield f"{text} (case {number})", answer


def _works(parts: list[str], kinds: list[str]) -> Iterator[str]:
    for part in parts:
        yield from (
            [f"{who} {kind}" for kind in kinds for who in ("datasets", "import")] if part == "import" else [part]
        )


def _in_process(part: str, folder: Path, rows: int) -> Measured:
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--one",
        part,
        "--rows",
        str(rows),
        "--folder",
        str(folder),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{part} at {rows:,} rows failed:\n{done.stderr[-2000:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _measure(part: str, folder: Path, rows: int) -> Measured:
    """Make ready, then measure the work alone."""
    name, _, kind = part.partition(" ")
    with ExitStack() as stack:
        work = _READY[name](stack, folder, rows, kind)
        start = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here on
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        return Measured(part, rows, seconds, max(0, _memory("VmHWM") - start))


def _datasets(stack: ExitStack, folder: Path, rows: int, kind: str) -> Work:
    import datasets

    datasets.disable_progress_bars()
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    file, loader = str(_file(folder, rows, kind)), "json" if kind == "jsonl" else kind

    def work() -> None:
        found = datasets.load_dataset(loader, data_files=file, split="train", cache_dir=str(cache))
        found.to_parquet(str(folder / "out.parquet"))

    return work


def _import(stack: ExitStack, folder: Path, rows: int, kind: str) -> Work:
    from storage.database import connect
    from storage.projects import create_project
    from studio.data.importing import import_file
    from studio.settings import open_workspace

    shutil.rmtree(_workspace(folder, rows), ignore_errors=True)
    workspace = open_workspace(_workspace(folder, rows))
    db = connect(workspace.database, workspace.backups)
    stack.callback(db.close)
    project, file = create_project(db, "Bench"), _file(folder, rows, kind)
    _warm_up()

    def work() -> None:
        report = import_file(db, project.id, file)
        assert report.imported == rows and not report.rejected_count

    return work


def _again(stack: ExitStack, folder: Path, rows: int, kind: str) -> Work:
    from studio.data.importing import import_file

    db, _, project_id = _opened(stack, folder, rows)
    _warm_up()

    def work() -> None:
        report = import_file(db, project_id, _file(folder, rows, "csv"))
        assert (report.imported, report.duplicates) == (0, rows)

    return work


def _near(stack: ExitStack, folder: Path, rows: int, kind: str) -> Work:
    from studio.contract.nearness import normal
    from studio.preflight.near import near_clusters

    texts = list(dict.fromkeys(normal(text) for text, _ in _pairs(rows)))
    return lambda: near_clusters(texts)


def _snapshot(stack: ExitStack, folder: Path, rows: int, kind: str) -> Work:
    from studio.data.snapshots import freeze

    db, workspace, project_id = _opened(stack, folder, rows)
    return lambda: freeze(db, workspace, project_id)


def _diff(stack: ExitStack, folder: Path, rows: int, kind: str) -> Work:
    from storage.snapshots import list_snapshots
    from studio.data.diff import diff_snapshots
    from studio.data.snapshots import freeze

    db, workspace, project_id = _opened(stack, folder, rows)
    with db.write() as cursor:  # one answer in twenty changes, one example in fifty goes
        cursor.execute("UPDATE annotations SET response = 'other' WHERE number % 20 = 0")
        cursor.execute("UPDATE examples SET status = 'skipped' WHERE position % 50 = 0")
        db.touch(project_id)
    freeze(db, workspace, project_id, seed=1)
    one, other = (snapshot.id for snapshot in list_snapshots(db, project_id)[:2])
    return lambda: diff_snapshots(workspace, db, one, other)


def _export(stack: ExitStack, folder: Path, rows: int, kind: str) -> Work:
    from studio.data.exporting import export_project

    db, _, project_id = _opened(stack, folder, rows)
    out = folder / "out.jsonl"
    out.unlink(missing_ok=True)
    return lambda: export_project(db, project_id, out)


def _opened(stack: ExitStack, folder: Path, rows: int):  # type: ignore[no-untyped-def]
    """The workspace that the last import left: database, folders, the project's id. Makes it where there is none."""
    from storage.database import connect
    from storage.projects import list_projects
    from studio.settings import open_workspace

    if not (_workspace(folder, rows) / "studio.duckdb").exists():
        _in_process("import csv", folder, rows)
    workspace = open_workspace(_workspace(folder, rows))
    db = connect(workspace.database, workspace.backups)
    stack.callback(db.close)
    return db, workspace, list_projects(db)[0].id


_READY: dict[str, Callable[[ExitStack, Path, int, str], Work]] = {
    **{"datasets": _datasets, "import": _import, "again": _again, "near": _near, "snapshot": _snapshot},
    **{"diff": _diff, "export": _export},
}
"""What makes a piece of work ready, by its name."""


def _warm_up() -> None:
    """Load the libraries that an import loads when it needs them, as `datasets` has when it is imported."""
    import numpy  # noqa: F401
    import orjson  # noqa: F401
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401


def _line(one: Measured, found: list[Measured]) -> str:
    name, _, kind = one.part.partition(" ")
    theirs = [other for other in found if other.part == f"datasets {kind}" and other.rows == one.rows]
    ratio = f"{one.seconds / theirs[-1].seconds:.1f}" if name == "import" and theirs else ""
    return f"| {one.part} | {one.rows:,} | {one.seconds:.2f} | {one.peak:,} | {ratio} |"


def _print_growth(found: list[Measured]) -> None:
    """The exponent of growth of each work between the fewest and the most rows."""
    for part in dict.fromkeys(one.part for one in found):
        same = sorted((one for one in found if one.part == part), key=lambda one: one.rows)
        first, last = same[0], same[-1]
        if first.rows < last.rows:
            exponent = math.log(last.seconds / first.seconds) / math.log(last.rows / first.rows)
            print(f"growth of {part}: exponent {exponent:.2f} (limit {LIMITS['exponent']})")


def _seconds(one: Measured) -> float:
    return one.seconds


def _memory(field: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) >> 10


def _file(folder: Path, rows: int, kind: str) -> Path:
    return folder / f"rows-{rows}.{kind}"


def _workspace(folder: Path, rows: int) -> Path:
    return folder / f"workspace-{rows}"


if __name__ == "__main__":
    main()
