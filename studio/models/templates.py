"""A user's own chat template: tried before anything is trained with it, and kept beside the weights it was used for.

Templates run in transformers' sandbox alone. What it leaves out: a base model's own, which comes with its tokenizer.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

from studio.contract.chat import Message, render
from studio.errors import BadModel, BadSpec

TEMPLATE_FILE = "chat_template.jinja"
MOST_BYTES = 200_000

_PROBE = [Message("user", "How far is it?"), Message("assistant", "Two miles.")]


def use_template(tokenizer: Any, template: str) -> None:
    """Let `tokenizer` render by `template` from here on; '' leaves its own. Raises BadSpec with the line at fault."""
    if not template.strip():
        return
    own, tokenizer.chat_template = tokenizer.chat_template, template
    try:
        render(tokenizer, _PROBE)
    except Exception as error:  # a template can fail in any way that Python can
        tokenizer.chat_template = own
        raise BadSpec(f"The chat template cannot be used{_line(error)}: {_reason(error)}: correct it.") from None


def read_template(folder: Path) -> str:
    """The template that lies beside an adapter or model; '' for none. Raises BadModel."""
    path = folder / TEMPLATE_FILE
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError
        return content.decode("utf-8")
    except (OSError, ValueError):
        raise BadModel(f"{path} cannot be read as a chat template: train the run again.") from None


def write_template(folder: Path, template: str) -> None:
    """Keep a template of a user's beside the weights in `folder`; nothing for ''. Raises OSError."""
    if template.strip():
        (folder / TEMPLATE_FILE).write_text(template, encoding="utf-8")


def _line(error: Exception) -> str:
    """Where in the template it went wrong, as far as it is known."""
    number = getattr(error, "lineno", None)  # of a jinja2.TemplateSyntaxError
    if number is None:
        # jinja2 names the lines of a template in the traceback, in a file of this name.
        frames = traceback.extract_tb(error.__traceback__)
        number = next(
            (frame.lineno for frame in reversed(frames) if frame.filename in ("<template>", "<unknown>")), None
        )
    return f" (line {number})" if number else ""


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError) and "template" in str(error):
        return "it does not show the answer as it was given"
    text = re.sub(r"\s+", " ", str(error)).strip().rstrip(".:")
    return text[:200] or type(error).__name__
