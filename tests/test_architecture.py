"""Who may know whom, how long a file may be, and that the README's tree is the tree: read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([ROOT / "app.py", *(ROOT / "storage").rglob("*.py"), *(ROOT / "studio").rglob("*.py")])

EVERYWHERE = {"studio.errors", "studio.settings", "studio.language"}
"""Leaves that every room of studio/ may import, beside the standard library."""

TORCH_STACK = {"torch", "transformers", "peft", "accelerate", "safetensors", "huggingface_hub", "tokenizers", "gguf"}
TORCH_STACK |= {"llguidance"}
NAMED = TORCH_STACK | {"gradio", "duckdb", "datasets", "evaluate", "trl"}
"""Third-party libraries that a room may import only where its row says so."""

_FIGURES = ("judge", "votes", "curves", "matching", "forms", "verdict", "intervals", "regression", "scoring")
FIGURES = {f"studio.evaluation.{name}" for name in _FIGURES}
"""Pure functions over numbers and texts, which the rooms of the app may use as well."""

ROOMS: dict[str, set[str]] = {
    "storage": {"storage", "duckdb", "studio.errors"},
    "contract": {"studio.contract"},
    "models": {"studio.models", "studio.contract"} | TORCH_STACK,
    "training": {"studio.training", "studio.models", "studio.contract", "datasets", "evaluate", "trl"} | TORCH_STACK,
    "evaluation": {"studio.evaluation", "studio.inference", "studio.models", "studio.contract", "datasets", "evaluate"}
    | TORCH_STACK,
    "inference": {"studio.inference", "studio.models", "studio.contract"} | TORCH_STACK,
    "serving": {"studio.serving", "studio.inference", "studio.models", "studio.contract", "studio.preflight.personal"}
    | TORCH_STACK,
    "export": {"studio.export", "studio.inference", "studio.models", "studio.contract", "studio.__version__"}
    | TORCH_STACK,
    "why": {"studio.why", "studio.training", "studio.models", "studio.contract"} | TORCH_STACK,
    "preflight": {"studio.preflight", "studio.models", "studio.contract"} | TORCH_STACK,
    "sweeping": {"studio.sweeping", "studio.contract"},
    "data": {"studio.data", "storage", "studio.contract", "studio.models.hub", "studio.__version__"}
    | {"datasets", "huggingface_hub"},
    "labeling": {"studio.labeling", "storage", "studio.contract"} | FIGURES,
    "jobs": {"studio.jobs", "studio.labeling", "storage", "studio.contract", "studio.__version__"} | FIGURES,
    "deploy": {"studio.deploy", "studio.jobs", "studio.labeling", "studio.data", "storage", "studio.contract"}
    | FIGURES,
    "people": {"studio.people", "storage"},
    "context": {"studio.context", "studio.people", "studio.data", "studio.labeling", "studio.jobs", "studio.deploy"}
    | {"storage"},
    "ui": {
        "studio.ui",
        "studio.context",
        "studio.people",
        "studio.data",
        "studio.labeling",
        "studio.jobs",
        "studio.deploy",
        "storage.records",
        "storage.serving_records",
    }
    | {"studio.contract", "gradio"},
    "web": {
        "studio.web",
        "studio.ui",
        "studio.context",
        "studio.people",
        "studio.data",
        "studio.labeling",
        "studio.jobs",
        "studio.deploy",
        "storage",
    }
    | {"studio.contract", "gradio"},
    "cli": {"studio.data", "studio.labeling", "studio.jobs", "studio.deploy", "storage", "studio.contract"}
    | {"studio.context", "studio.people"}
    | {"studio.cli", "studio.commands", "studio.checkup", "studio.__version__"},
    "app": {"studio.web", "studio.data", "studio.labeling", "studio.jobs", "studio.deploy", "storage"}
    | {"studio.contract"},
    "leaf": set(),
}
"""What a room may import: a name allows what lies under it too."""

THIRD_PARTY: dict[str, set[str]] = {
    "storage": {"pyarrow"},
    "contract": {"pydantic", "pydantic_core"},
    "leaf": {"babel"},
    "app": set(),
}
"""Rooms whose other libraries are named one by one; the rest may take any that is not in NAMED."""

LEAVES = {"studio/__init__.py", "studio/errors.py", "studio/settings.py", "studio/language.py"}
COMMAND_LINE = {"studio/__main__.py", "studio/cli.py", "studio/checkup.py"}


def room_of(file: Path) -> str:
    """The room a file stands in."""
    path = file.relative_to(ROOT).as_posix()
    if path == "app.py":
        return "app"
    if path in LEAVES:
        return "leaf"
    if path in COMMAND_LINE or path.startswith("studio/commands"):
        return "cli"
    if path == "studio/context.py":
        return "context"
    parts = path.split("/")
    return parts[0] if parts[0] == "storage" else parts[1]


def imports_of(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, inside functions too; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for name in node.names:
                yield node.lineno, f"{base}.{name.name}"
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "importlib.import_module", "__import__"):
            first = node.args[0] if node.args else None
            yield node.lineno, first.value if isinstance(first, ast.Constant) else "<computed>"


def called(node: ast.Call) -> str:
    """The dotted name that a call calls, or ''."""
    try:
        return ast.unparse(node.func)
    except ValueError:
        return ""


def allowed(room: str, name: str) -> bool:
    """Whether a room may import a name."""
    if name == "<computed>":
        return False
    top = name.split(".")[0]
    if top in sys.stdlib_module_names:
        return True
    lists = ROOMS[room] | (EVERYWHERE if room not in ("storage", "contract") else {"studio.errors"})
    if any(name == entry or name.startswith(f"{entry}.") for entry in lists):
        return True
    if top in ("studio", "storage", "app", "tests") or top in NAMED:
        return False
    return room not in THIRD_PARTY or top in THIRD_PARTY[room]


def parsed(file: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def breaches(file: Path) -> list[str]:
    """Imports of a file that its room may not have, as file:line lines."""
    package = ".".join(file.relative_to(ROOT).parent.parts)
    path, room = file.relative_to(ROOT).as_posix(), room_of(file)
    return [f"{path}:{line} {name}" for line, name in imports_of(parsed(file), package) if not allowed(room, name)]


def test_every_file_stands_in_a_known_room() -> None:
    assert {room_of(file) for file in FILES} <= set(ROOMS)
    assert len(FILES) > 80


def test_no_room_imports_what_it_may_not() -> None:
    assert [breach for file in FILES for breach in breaches(file)] == []


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("jobs", "torch"),
        ("data", "transformers.AutoTokenizer"),
        ("labeling", "studio.data.columns.Columns"),
        ("ui", "duckdb"),
        ("ui", "storage.projects.list_projects"),
        ("training", "storage.records.Run"),
        ("inference", "gradio"),
        ("storage", "studio.settings.USER"),
        ("contract", "numpy"),
        ("web", "studio.training.recipe.train"),
        ("app", "gradio"),
        ("jobs", "<computed>"),
    ],
)
def test_the_check_can_fail(room: str, name: str) -> None:
    assert not allowed(room, name)


def test_imports_inside_functions_and_relative_ones_are_seen() -> None:
    tree = ast.parse("def f():\n    from ..data import rows\n    import torch\n    __import__(x)\n")
    assert [name for _, name in imports_of(tree, "studio.jobs")] == ["studio.data.rows", "torch", "<computed>"]


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {file.relative_to(ROOT).as_posix(): len(file.read_text("utf-8").splitlines()) for file in FILES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of what product code never does: run text as code, unpickle, hand text to a shell."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        if name in ("eval", "exec", "compile", "os.system", "os.popen", "builtins.eval", "builtins.exec"):
            yield node.lineno, name
        if name in ("torch.load", "joblib.load", "yaml.load", "marshal.loads"):
            yield node.lineno, name
        if name in ("numpy.load", "np.load") and "allow_pickle" not in {keyword.arg for keyword in node.keywords}:
            yield node.lineno, name
        for keyword in node.keywords:
            safe = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            if keyword.arg in ("shell", "trust_remote_code", "allow_pickle") and not safe:
                yield node.lineno, f"{keyword.arg}="
    for line, name in imports_of(tree, ""):
        if name.split(".")[0] in ("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"):
            yield line, name


def test_no_product_code_runs_text_or_unpickles() -> None:
    found = [(file.relative_to(ROOT).as_posix(), *danger) for file in FILES for danger in dangers(parsed(file))]
    assert found == []


@pytest.mark.parametrize(
    "code",
    ["eval(x)", "import pickle", "from_pretrained(m, trust_remote_code=True)", "run(c, shell=flag)", "torch.load(f)"],
)
def test_the_danger_check_can_fail(code: str) -> None:
    assert list(dangers(ast.parse(code)))
    assert not list(dangers(ast.parse("model.eval(); run(c, shell=False); re.compile(x)")))


def tree_of(readme: str) -> set[str]:
    """Paths of the .py files in the fenced block under "## The tree"; two spaces a level, or whole paths."""
    block = readme.split("## The tree", 1)[1].split("```", 2)[1]
    folders: list[str] = []
    found: set[str] = set()
    for line in block.splitlines()[1:]:
        words = line.split("#", 1)[0].split()
        depth = (len(line) - len(line.lstrip(" "))) // 2
        del folders[depth:]
        for word in words[:1] if words and words[0].endswith("/") else words:
            if word.endswith("/"):
                folders.append(word)
            elif word.endswith(".py"):
                found.add("".join(folders) + word)
            else:
                break
    return found


def test_the_tree_in_the_readme_is_the_tree() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("README.md is not written yet: its tree cannot be compared with the files")
    ours = {path for path in tree_of(readme.read_text("utf-8")) if path.startswith(("storage/", "studio/"))}
    real = {file.relative_to(ROOT).as_posix() for file in FILES if file.name != "app.py" or file.parent != ROOT}
    real = {path for path in real if not (path.endswith("__init__.py") and path not in ours)}
    assert (sorted(ours - real), sorted(real - ours)) == ([], [])


def test_the_tree_is_read_by_its_indentation() -> None:
    lines = ["app.py   # door", "studio/   # rooms", "  jobs/", "    runs.py  # runs.py", "  cli.py  the same"]
    block = "\n".join([*lines, "storage/records.py # rows"])
    assert tree_of(f"# X\n## The tree\n```\n{block}\n```\n```\nother.py\n```\n") == {
        "app.py",
        "studio/jobs/runs.py",
        "studio/cli.py",
        "storage/records.py",
    }
