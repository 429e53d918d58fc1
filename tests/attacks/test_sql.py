"""SQL is put together of constants of storage/ alone; every value goes beside it, bound."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.audit import record, search_audit
from storage.database import Database
from storage.projects import create_project, find_project, list_projects
from studio.errors import NotFound
from tests.web.conftest import Town

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "storage").rglob("*.py"))
_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|CREATE|ALTER|DROP|ORDER BY|WITH|COPY|ATTACH|PRAGMA)\b")

PUT_TOGETHER: dict[str, set[str]] = {
    "annotations.py": {"again", "columns", "marks"},
    "audit.py": {"' AND '.join(where)"},
    "consistency.py": {"_STATES.replace('ORDER BY e.position', '')"},
    "deriving.py": {"chosen"},
    "examples.py": {"_KEYS[order]", "marks", "qualified('e', EXAMPLE_COLUMNS)"},
    "imports.py": {"columns", "name"},
    "leases.py": {"marks"},
    "lineage.py": {"table"},
    "mirror.py": {
        "', '.join((f'{word} UBIGINT' for word in WORDS))",
        "_DERIVED.format(acts=mirror.acts, where='…')",
        "derived",
        "mended",
        "mirror",
        "mirror.acts",
        "mirror.codes",
        "mirror.rows",
        "mirror.state",
        "mirror.suggested",
        "old",
        "undone",
        "which",
        "words",
    },
    "opening.py": {"name"},
    "origins.py": {"'TRUE' if snapshot_id else 'e.annotation_id = a.id'", "member"},
    "priorities.py": {"marks"},
    "projects.py": {"where"},
    "queued.py": {"assignments"},
    "relabeling.py": {
        "_HAS.replace('?', '$4')",
        "_STANDING.replace('?', '$1')",
        "_STANDING.replace('?', '$3')",
        "emptied",
        "has",
        "left",
        "name",
        "table",
        "where",
    },
    "repairs.py": {
        "_STAMPS.format(rows='chosen')",
        "_STAMPS.format(rows='touched_rows')",
        "before",
        "f', {texts}' if repair.kind in ('redact', 'edit') else ''",
        "fits",
        "name",
    },
    "review_queue.py": {
        "_ACTED_ON if annotator else ''",
        "_DIFFERING.format(only='…')",
        "f'AND a.example_id IN ({marks})'",
        "f'…'",
        "sql",
    },
    "reviews.py": {"marks", "marks or 'NULL'"},
    "runs.py": {"assignments"},
    "search.py": {
        "' AND '.join(query.conditions)",
        "Mirror(project_id).rows",
        "_ORDER[sort]",
        "_marks([*ids]) or 'NULL'",
        "_marks(wanted)",
        "distance",
        "keys",
        "mirror.acts",
        "mirror.suggested",
        "order",
        "source",
        "where",
    },
    "suggestions.py": {"columns", "marks"},
    "usage.py": {"sql"},
    "vectors.py": {"column"},
}
"""What is put into a piece of SQL besides constants (names in capitals): each was looked at, and is made of constants
too, of question marks, or of a name that a regular expression or a set of columns let through."""


def sql_holes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and source of what is put into a piece of SQL: by an f-string, + or % or format."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            if _SQL.search(text):
                for part in node.values:
                    if isinstance(part, ast.FormattedValue):
                        yield node.lineno, _short(part.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            for given in [*node.args, *(keyword.value for keyword in node.keywords)]:
                yield node.lineno, _short(given)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.Add)):
            left = node.left
            if isinstance(left, ast.Constant) and isinstance(left.value, str) and _SQL.search(left.value):
                yield node.lineno, _short(node.right)


def _short(node: ast.AST) -> str:
    """Its source; a constant text in it has no words, as it is one of storage's own."""
    source = ast.unparse(node)
    return source if len(source) < 60 else re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", source)


def is_constant(source: str) -> bool:
    """A name in capitals, or such names taken apart and joined."""
    looped = re.findall(r"\bfor (\w+) in\b", source)
    bare = re.sub(r"'[^']*'", "", source)
    words = set(re.findall(r"\b[a-z_][a-z_0-9]*\b", bare)) - {*looped, "join", "split", "for", "in"}
    return not words


def test_what_is_put_into_sql_was_looked_at() -> None:
    found: dict[str, set[str]] = {}
    for file in FILES:
        for _, source in sql_holes(ast.parse(file.read_text(encoding="utf-8"))):
            if not is_constant(source):
                found.setdefault(file.name, set()).add(source)
    new = {name: holes - PUT_TOGETHER.get(name, set()) for name, holes in found.items()}
    assert {name: holes for name, holes in new.items() if holes} == {}


def test_no_value_can_look_like_a_constant() -> None:
    holes = [source for _, source in sql_holes(ast.parse('db.query(f"SELECT {_COLUMNS} FROM x WHERE a = {name}")'))]
    assert [is_constant(source) for source in holes] == [True, False]
    assert list(sql_holes(ast.parse("q = \"SELECT a FROM b WHERE c = '%s'\" % given")))
    assert list(sql_holes(ast.parse('q = "SELECT a FROM b WHERE c = " + given')))


def test_nobody_but_storage_writes_sql() -> None:
    """Statements of studio.labeling.setup and studio.deploy.acts are constants, asked within their transactions."""
    found = []
    for file in sorted((ROOT / "studio").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "execute":
                found.append((file.name, isinstance(node.args[0], ast.Constant)))
    assert set(found) <= {("setup.py", True), ("acts.py", False)}


HOSTILE = ["'; DROP TABLE projects; --", "%' OR 1=1 --", "\\'); DELETE FROM users; --", "${1} $1 ? ?1 :x", '"x" OR "x"']


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_words_are_words_wherever_they_are_looked_for(db: Database, evil: str) -> None:
    before = db.query("SELECT table_name FROM duckdb_tables() ORDER BY ALL")
    project = create_project(db, evil, "instruction", evil, evil)
    record(db, evil, evil, project.id, subject=evil, why=evil)
    assert find_project(db, evil).id == project.id
    with pytest.raises(NotFound):
        find_project(db, "' OR 1=1 --")
    assert [line.subject for line in search_audit(db, text=evil)] == [evil]
    assert [found.name for found in list_projects(db)] == [evil]
    assert db.query("SELECT table_name FROM duckdb_tables() ORDER BY ALL") == before


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_words_in_a_request_are_words(town: Town, evil: str) -> None:
    for path in ("/api/label/desk", "/api/review/desk", "/api/label/bulk", "/api/review/overview"):
        query = {"project": evil, "example": evil, "kind": evil, "annotator": evil, "similar": evil}
        assert town.ask("ann", "GET", path, params=query).status_code in (400, 404, 422)
    body = {"example": evil, "action": "submit", "response": evil, "value": evil, "base": evil, "suggestion": evil}
    assert town.ask("bob", "POST", "/api/label/act", json=body).status_code in (400, 404, 422)
    assert town.ask("bob", "POST", "/api/label/undo", json={"project": evil}).status_code in (400, 404)
    assert len(town.studio.db.query("SELECT * FROM users")) == 3
