"""The notebooks run from top to bottom, one after the other on one workspace, with a tiny model as their starter."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests import tiny

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
ORDER = ("loop", "reading", "own_metric", "service")


def outputs(name: str) -> str:
    """Everything that a notebook prints and shows, in its order; no cell may fail."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=place).execute()
    found = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "\n".join(out.get("text", "") or str(out.get("data", {}).get("text/plain", "")) for out in found)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each notebook shows."""
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFT_STUDIO_WORKSPACE", str(folder / "workspace"))
        patch.setenv("SFT_STUDIO_NOTEBOOK_MODEL", str(tiny.make_model(folder / "base")))
        patch.setenv("SFT_STUDIO_NOTEBOOK_STEPS", "10")
        return {name: outputs(name) for name in ORDER}


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(ORDER)


def test_the_loop_ends_with_a_verdict_and_two_answers(shown: dict[str, str]) -> None:
    assert "'done'" in shown["loop"] and "step 10: loss" in shown["loop"]
    assert "tuned: " in shown["loop"] and "chrf" in shown["loop"]


def test_the_database_is_read(shown: dict[str, str]) -> None:
    assert "run_events" in shown["reading"] and "Tideline" in shown["reading"] and "Figure" in shown["reading"]


def test_an_application_asks_the_model_in_production_and_says_what_it_thought(shown: dict[str, str]) -> None:
    assert "@production" in shown["service"] and "the first as above: True" in shown["service"]
    assert "the same as a stream: True" in shown["service"]
    assert "0 errors, 0 thumbs up, 1 down" in shown["service"] and "1 request to label" in shown["service"]


def test_a_metric_of_ones_own_stands_on_the_report(shown: dict[str, str]) -> None:
    assert "length_kept" in shown["own_metric"]
