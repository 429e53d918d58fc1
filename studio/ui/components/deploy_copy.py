"""A piece of text to be copied whole: a key, an address, a snippet, each with its button."""

from __future__ import annotations

import gradio as gr

from studio.ui.components.html import text

# Without a secure context (plain HTTP from another machine) there is no clipboard: the text is selected instead.
_COPY = """
element.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const code = button.closest('.copied').querySelector('code');
  let said = 'Copied';
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch (error) {
    getSelection().selectAllChildren(code);
    said = 'Selected: press Ctrl+C';
  }
  const before = button.dataset.copy;
  button.textContent = said;
  setTimeout(() => { button.textContent = before; }, 2000);
});
"""


def copies() -> gr.HTML:
    """A place for pieces of `copied`."""
    return gr.HTML("", html_template="${value}", js_on_load=_COPY)


def copied(label: str, content: str, button: str = "Copy") -> str:
    """A text under its label, as it stands, with a button that copies it."""
    return (
        f'<div class="copied"><div class="over"><span>{text(label)}</span>'
        f'<button type="button" data-copy="{text(button)}" aria-label="{text(button)}: {text(label)}">{text(button)}'
        f'</button></div><pre tabindex="0"><code>{text(content)}</code></pre></div>'
    )
