"""The list of examples that were found, and the panel with one example's story. Keys and clicks are in find_list.js.

Events of the list, each with what its button carries: `open` {id}, `story` {id}, `similar` {id}, `turn` {page},
`clear` {field}, `act` {what, ids, priority}.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_SCRIPT = Path(__file__).with_name("find_list.js").read_text(encoding="utf-8")

_STORY = """
let opener = null;
const close = () => { if (element.querySelector('.story')) { props.value = ''; opener?.focus(); } };
element.addEventListener('click', (event) => { if (event.target.closest('[data-close]')) close(); });
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && element.offsetParent !== null) close();
});
watch('value', () => {
  const heading = element.querySelector('.story h2');
  if (!heading) return;
  if (!element.contains(document.activeElement)) opener = document.activeElement;
  heading.focus();
});
"""


def find_list() -> gr.HTML:
    """The list; its value is the HTML of studio.ui.find_views.listing_html."""
    return gr.HTML("", html_template="${value}", js_on_load=_SCRIPT, elem_id="find-list")


def story_panel(elem_id: str = "find-story") -> gr.HTML:
    """A panel at the side, open while it has a value; Escape and its button close it."""
    return gr.HTML("", html_template="${value}", js_on_load=_STORY, elem_id=elem_id)
