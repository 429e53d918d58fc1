"""README's reliability section says what the drills have saved, and the drills save what it needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import drill_inputs
from tests.bench.reliability import HEAD, PAGES, figures_of, table

ROOT = Path(__file__).parents[2]


def test_the_readme_has_the_table_that_the_saved_results_make() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert table() in text, "run `python tests/bench/reliability.py` and put what it prints into README's reliability"


def test_each_page_of_a_drill_has_its_row_in_it() -> None:
    found = [page for page in PAGES if figures_of(ROOT / f"tests/bench/results/{page}.md")]
    assert found
    for page in found:
        text = (ROOT / f"tests/bench/results/{page}.md").read_text(encoding="utf-8")
        assert all(row in text for row in PAGES[page](figures_of(ROOT / f"tests/bench/results/{page}.md")))


def test_a_loss_is_said_and_what_was_not_saved_is_left_out(tmp_path: Path) -> None:
    assert table(tmp_path) == "\n".join(HEAD)
    figures = {"runs": 100, "kills": 3, "done": 99, "lost": 1, "doubled": 0, "told_wrong": 2, "overlaps": 0}
    (tmp_path / "queue-cpu.md").write_text(f"# drill_queue\n\n```\nfor people\n{json.dumps(figures)}\n```\n")
    row = table(tmp_path).splitlines()[-1]
    assert row.startswith("| kill -9 of the app while runs wait | 3 | 0 | 1 of 100 runs |") and "2 told wrong" in row


def test_a_page_without_figures_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "soak-cpu.md").write_text("# drill_soak\n")
    with pytest.raises(ValueError, match="has no figures"):
        table(tmp_path)


def test_the_inputs_of_properties_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "test_made.py"
    file.write_text(
        "import os\nfrom hypothesis import given, settings, strategies as st\n"
        "some = settings(max_examples=int(os.environ['SFT_STUDIO_EXAMPLES']), database=None)\n"
        "@some\n@given(st.integers())\ndef test_fine(n): pass\n"
        "@some\n@given(st.integers())\ndef test_other(n): assert n < 7\n"
    )
    found = drill_inputs.main([str(file), "--examples", "20"])
    assert found.tests == 2 and found.inputs > 20 and found.failing > 0 and not found.passed
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["inputs"] == found.inputs
