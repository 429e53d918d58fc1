"""One picture of each screen out of many: every state at two widths, light and dark (make screenshots)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

STATES = ("empty", "filled", "error")
SIZES = ("1280-light", "1280-dark", "390-light", "390-dark")

_SCALE = 0.5
_TALLEST = 1100
_GAP, _HEAD = 24, 26
_BACK, _INK = "#8a949e", "#0b1015"


def sheet(folder: Path, screen: str, to: Path) -> list[str]:
    """Put the pictures `folder/<screen>-<size>-<state>.png` into one, a row for each state that has any and a column
    for each size; the names of those that were there. Pictures are halved and cut below 1100 pixels. Nothing is written
    where there is none."""
    rows = [row for state in STATES if (row := _row(folder, screen, state))]
    if not rows:
        return []
    wide = [max((row[size][1].width for row in rows if size in row), default=0) for size in SIZES]
    tall = [max(picture.height for _, picture in row.values()) for row in rows]
    width = sum(wide) + _GAP * (len(SIZES) + 1)
    made = Image.new("RGB", (width, sum(tall) + (_GAP + _HEAD) * len(rows) + _GAP), _BACK)
    draw, top = ImageDraw.Draw(made), _GAP
    for row, height in zip(rows, tall, strict=True):
        left = _GAP
        for size, column in zip(SIZES, wide, strict=True):
            if size in row:
                name, picture = row[size]
                draw.text((left, top + 6), name, fill=_INK)
                made.paste(picture, (left, top + _HEAD))
            left += column + _GAP
        top += height + _HEAD + _GAP
    to.parent.mkdir(parents=True, exist_ok=True)
    made.save(to)
    return [name for row in rows for name, _ in row.values()]


def sheets(folder: Path, screens: Sequence[str]) -> dict[str, list[str]]:
    """A sheet of each screen in folder/sheets; what is on each."""
    return {screen: sheet(folder, screen, folder / "sheets" / f"{screen}.png") for screen in screens}


def _row(folder: Path, screen: str, state: str) -> dict[str, tuple[str, Image.Image]]:
    """By size: the picture's name and the picture, as it stands on the sheet."""
    names = {size: f"{screen}-{size}-{state}" for size in SIZES}
    return {size: (name, _small(path)) for size, name in names.items() if (path := folder / f"{name}.png").is_file()}


def _small(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        cut = picture.convert("RGB").crop((0, 0, picture.width, min(picture.height, _TALLEST)))
    size = (max(1, int(cut.width * _SCALE)), max(1, int(cut.height * _SCALE)))
    return cut.resize(size, Image.Resampling.LANCZOS)
