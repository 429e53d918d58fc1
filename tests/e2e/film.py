"""The README's moving picture: shots of the page, one after the other, as one GIF that needs no player."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

_WIDTH = 900
_COLOURS = 64


class Film:
    """Shots of a page of one size."""

    def __init__(self) -> None:
        self._shots: list[Image.Image] = []
        self._milliseconds: list[int] = []

    def shoot(self, page: Page, milliseconds: int) -> None:
        """What the page shows now, for so long. The same as before only lengthens that."""
        with Image.open(BytesIO(page.screenshot())) as whole:
            shot = whole.convert("RGB").resize((_WIDTH, whole.height * _WIDTH // whole.width), Image.Resampling.LANCZOS)
        if self._shots and shot.tobytes() == self._shots[-1].tobytes():
            self._milliseconds[-1] += milliseconds
            return
        self._shots.append(shot)
        self._milliseconds.append(milliseconds)

    def save(self, path: Path) -> None:
        """All shots with one palette, repeating for ever."""
        strip = Image.new("RGB", (_WIDTH, sum(shot.height for shot in self._shots)))
        top = 0
        for shot in self._shots:
            strip.paste(shot, (0, top))
            top += shot.height
        palette = strip.quantize(_COLOURS, dither=Image.Dither.NONE)
        first, *others = (shot.quantize(palette=palette, dither=Image.Dither.NONE) for shot in self._shots)
        first.save(path, save_all=True, append_images=others, duration=self._milliseconds, loop=0, optimize=True)
