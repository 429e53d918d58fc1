"""Make the fixture of a schema version with that version's own code; run once a version, kept in released/.

    git archive COMMIT | tar -x -C /tmp/old
    cd /tmp/old && python /work/main/tests/storage/make_released.py OUT.tar.gz

It makes a project of 12 labeled and 8 unlabeled rows, some of them answered, skipped, flagged and undone by hand, a
draft, a snapshot, and (from schema 2 on) accounts, and notes in expected.json what that version read back. What it
leaves out: everything that needs a model.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

PEOPLE_SQL = "INSERT INTO users (name, role, password_hash, created_at) VALUES ('ann', 'admin', 'x', now()::TIMESTAMP)"


def main(out: Path) -> None:
    """Make the workspace and pack it."""
    sys.path.insert(0, str(Path.cwd()))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        rows = Path(folder) / "rows.csv"
        lines = [f"Where is parcel {n}?,{f'On its way {n}.' if n < 12 else ''}" for n in range(20)]
        rows.write_text("input,output\n" + "\n".join(lines) + "\n")
        command("--workspace", str(root), "project", "create", "Kept", "--system-prompt", "Be brief.")
        command("--workspace", str(root), "import", "Kept", str(rows), "--input", "input", "--output", "output")
        by_hand(root)
        command("--workspace", str(root), "snapshot", "Kept")
        (root / "expected.json").write_text(json.dumps(read_back(root), indent=1, default=str))
        with tarfile.open(out, "w:gz") as archive:
            for path in sorted(root.rglob("*")):
                if path.is_file() and path.suffix in (".duckdb", ".parquet", ".json"):
                    archive.add(path, path.relative_to(root).as_posix())


def command(*words: str) -> None:
    """One command of the old studio."""
    subprocess.run([sys.executable, "-m", "studio", *words], check=True, stdout=subprocess.DEVNULL)


def by_hand(root: Path) -> None:
    """Acts of one annotator, as the old storage writes them."""
    from storage import annotations
    from storage.database import connect

    db = connect(root / "studio.duckdb", root / "backups")
    todo = [row[0] for row in db.query("SELECT id FROM examples WHERE status = 'todo' ORDER BY position")]
    for number, action in enumerate(("submit", "skip", "flag", "submit")):
        text = f"By hand {number}." if action == "submit" else ""
        annotations.annotate(db, todo[number], "me", action, text)
    with db.write() as cursor:
        columns = "example_id, annotator, response, updated_at"
        cursor.execute(f"INSERT INTO drafts ({columns}) VALUES (?, 'me', 'Half a', now()::TIMESTAMP)", [todo[5]])
        if cursor.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'users'").fetchone()[0]:
            cursor.execute(PEOPLE_SQL)
    db.close()


def read_back(root: Path) -> dict[str, Any]:
    """What is to be found after the update, whatever the columns are called then."""
    from storage.database import connect, schema_version

    db = connect(root / "studio.duckdb", root / "backups")
    try:
        return {
            "schema": schema_version(db),
            "examples": db.query("SELECT id, prompt, context, status, annotation_id FROM examples ORDER BY position"),
            "annotations": db.query(
                "SELECT id, example_id, annotator, action, response FROM annotations ORDER BY number"
            ),
            "drafts": db.query("SELECT example_id, annotator, response FROM drafts"),
            "snapshots": db.query("SELECT id, train_rows, validation_rows, test_rows FROM snapshots"),
        }
    finally:
        db.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
