"""A model's answer as Markdown: headings, lists, tables and code, and nothing that a hostile answer could do.

HTML in the answer is shown as text, pictures are not loaded (their words stand there instead), and links open
elsewhere, only to http, https and mailto. What it leaves out: formulas, and colours in code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from studio.language import tr
from studio.ui.components.html import text

_SCHEMES = ("http", "https", "mailto")
_LONGEST = 100_000
"""Characters; longer answers are shown as text, as nested marks can take a parser long."""


def rendered(answer: str) -> str:
    """An answer as safe HTML."""
    if len(answer) > _LONGEST:
        return f'<div class="plain">{text(answer)}</div>'
    return f'<div class="markdown">{_parser().render(answer)}</div>'


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20}).enable("table")
    parser.validateLink = _may_open  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _link)
    parser.add_render_rule("image", _picture)
    parser.add_render_rule("heading_open", _heading)
    parser.add_render_rule("heading_close", _heading)
    return parser


def _may_open(url: str) -> bool:
    """Whether a link goes to where a link may go; what is refused stays as the text that was written."""
    try:
        return urlsplit(url.strip()).scheme.lower() in _SCHEMES
    except ValueError:
        return False


def _link(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    href = text(tokens[index].attrGet("href") or "")
    return f'<a href="{href}" title="{href}" target="_blank" rel="noopener noreferrer nofollow">'


def _picture(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """In place of a picture, which would tell its server that somebody reads this."""
    words = tr("picture: {words}", words=tokens[index].content or tr("without words"))
    return f'<span class="chip">{text(words)}</span>'


def _heading(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Below the headings of the page itself, whatever the answer says."""
    level = min(6, int(tokens[index].tag[1]) + 3)
    return f"</h{level}>" if tokens[index].nesting < 0 else f"<h{level}>"
