"""The colours of the studio: one palette, light and dark, for its screens and for pages that leave it.

Status colours (good, warn, bad) only for status; each text colour stands on its ground with a contrast of 4.5 or more.
What it leaves out: type, spacing and radii (studio.ui.theme).
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "ink": "#1b2733", "ink-2": "#51606e", "line": "#dde2e7", "surface": "#ffffff", "sunken": "#f0f3f5",
    "accent": "#13736d", "accent-soft": "#e3f4f1", "on-accent": "#ffffff", "button": "#13736d",
    "body": "#f7f8f9", "side-fill": "#eef1f3", "hover": "#e4e9ec", "sunken-2": "#dde3e8", "line-2": "#b3bec8",
    "good": "#1c7a3f", "good-soft": "#e5f5ea", "warn": "#8a5a00", "warn-soft": "#fdf3dc",
    "bad": "#b3261e", "bad-soft": "#fdeceb", "on-bad": "#ffffff",
}  # fmt: skip
"""By the name of the CSS variable, without its dashes."""

DARK: Mapping[str, str] = {
    "ink": "#e6ecf1", "ink-2": "#a3b1bd", "line": "#2a333d", "surface": "#151c23", "sunken": "#1b242d",
    "accent": "#5cc5ba", "accent-soft": "#12312f", "on-accent": "#062423", "button": "#13736d",
    "body": "#0e1318", "side-fill": "#11181e", "hover": "#1b242d", "sunken-2": "#27323c", "line-2": "#4a5865",
    "good": "#6fd08c", "good-soft": "#12301d", "warn": "#e7b84c", "warn-soft": "#33280e",
    "bad": "#ff8f87", "bad-soft": "#3a1816", "on-bad": "#2a0b09",
}  # fmt: skip


def rule(selector: str, colours: Mapping[str, str]) -> str:
    """A CSS rule that gives a selector these colours as variables."""
    return f"{selector} {{ {' '.join(f'--{name}: {value};' for name, value in colours.items())} }}"
