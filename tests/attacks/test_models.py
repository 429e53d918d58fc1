"""Weights and code of somebody else: read as numbers, by paths that lead nowhere else, and never run.

Folders with pickles, with code beside the weights and with shards elsewhere are tried in tests/models/test_loading.py,
a base's attention from the Hub too; here is what holds for every line of the sources, and for names of runs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.errors import StudioError
from studio.inference.places import find

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([ROOT / "app.py", *(ROOT / "studio").rglob("*.py"), *(ROOT / "storage").rglob("*.py")])
RUNS_CODE = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "jsonpickle"}
LOADERS = {"from_pretrained", "snapshot_download", "hf_hub_download"}
SAFE = ("**safe", "**_SAFE", "**options")
"""Names under which {trust_remote_code: False, local_files_only: True} is handed on."""


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """File, dotted name and node of each call in the sources."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield file.name, ast.unparse(node.func), node


def test_nothing_imports_what_runs_code_out_of_data() -> None:
    found = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {(file.name, name) for name in names if name.split(".")[0] in RUNS_CODE}
    assert found == set()


def test_no_call_unpickles_evaluates_or_asks_a_shell() -> None:
    bad = []
    for file, name, node in calls():
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name in ("eval", "exec", "os.system", "os.popen", "torch.load", "yaml.load", "yaml.unsafe_load"):
            bad.append((file, name))
        if given.get("shell") == "True" or given.get("allow_pickle") == "True" or given.get("weights_only") == "False":
            bad.append((file, name))
        if given.get("trust_remote_code", "False") != "False":
            bad.append((file, name))
    assert bad == []


def test_every_model_is_loaded_without_its_code_and_without_the_network() -> None:
    loose, loads = [], 0
    for file, name, node in calls():
        if name.rsplit(".", 1)[-1] != "from_pretrained":
            continue
        loads += 1
        text = ast.unparse(node)
        offline = "local_files_only=True" in text or any(mark in text for mark in SAFE)
        own = name.startswith(("PeftModel", "peft.", "PeftConfig"))  # has no such settings: an adapter of our own
        if not (offline or own):
            loose.append((file, name))
    assert loads > 8 and loose == []


@pytest.mark.parametrize(
    "run", ["../x", "..", "/etc", "run-1/../../x", "run-1\0", "", ".", "run 1", "~", "a/b", "%2e%2e"]
)
def test_a_run_is_named_by_no_path(tmp_path: Path, run: str) -> None:
    outside = tmp_path / "x" / "adapter"
    outside.mkdir(parents=True)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (outside / name).write_text("{}", encoding="utf-8")
    (tmp_path / "runs").mkdir()
    with pytest.raises(StudioError):
        find(tmp_path / "runs", run)


def test_a_run_with_a_link_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "runs" / "run-1" / "adapter"
    home.mkdir(parents=True)
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    (home / "adapter_config.json").write_text("{}", encoding="utf-8")
    (home / "adapter_model.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(StudioError, match="outside of its own folder"):
        find(tmp_path / "runs", "run-1")
