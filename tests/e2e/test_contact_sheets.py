"""The contact sheets, from pictures made here."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.e2e.contact_sheets import SIZES, sheets

COLOURS = {"empty": (200, 0, 0), "filled": (0, 200, 0), "error": (0, 0, 200)}


def test_a_sheet_has_each_state_at_each_size_and_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    for size in SIZES:
        for state, colour in COLOURS.items():
            if (size, state) != ("390-dark", "error"):
                Image.new("RGB", (int(size.split("-")[0]), 900), colour).save(tmp_path / f"train-{size}-{state}.png")
    Image.new("RGB", (1280, 5000), (9, 9, 9)).save(tmp_path / "team-1280-light-empty.png")
    found = sheets(tmp_path, ["train", "team", "label"])
    assert (len(found["train"]), found["team"], found["label"]) == (11, ["team-1280-light-empty"], [])
    with Image.open(tmp_path / "sheets" / "train.png") as made:
        counted = {colour: number for number, colour in made.getcolors(100_000) or []}
        areas = [counted[colour] // (450 * 5) for colour in COLOURS.values()]
    assert areas == [2 * (640 + 195) // 5, 2 * (640 + 195) // 5, (2 * 640 + 195) // 5]
    with Image.open(tmp_path / "sheets" / "team.png") as made:
        assert made.height < 900
    assert not (tmp_path / "sheets" / "label.png").exists()
