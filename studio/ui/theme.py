"""The look of the screens: type, spacing, radii, a Gradio theme and one stylesheet beside it.

System fonts only: nothing is fetched. One accent colour (a deep teal); status colours only for status. The colours
that a page outside of the studio shares are in studio.contract.colours.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from studio.contract.colours import DARK, LIGHT, rule
from studio.ui.guide import guide_head
from studio.ui.sidebar import sidebar_head
from studio.ui.translated import words_head

_FOLDER = Path(__file__).parent
_SYSTEM = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

ACCENT = gr.themes.Color(
    name="tide",
    c50="#eefaf8",
    c100="#d3f1ec",
    c200="#a8e2da",
    c300="#72cbc1",
    c400="#3fada3",
    c500="#1f8f87",
    c600="#13736d",
    c700="#125c58",
    c800="#134a47",
    c900="#143e3c",
    c950="#062423",
)

THEME = gr.themes.Base(
    primary_hue=ACCENT,
    secondary_hue=ACCENT,
    neutral_hue=gr.themes.colors.slate,
    font=_SYSTEM,
    font_mono=_MONO,
    radius_size=gr.themes.sizes.radius_md,
    spacing_size=gr.themes.sizes.spacing_md,
    text_size=gr.themes.sizes.text_md,
).set(
    body_background_fill="#f7f8f9",
    body_background_fill_dark="#0e1318",
    block_background_fill="transparent",
    block_background_fill_dark="transparent",
    block_border_width="0px",
    block_border_width_dark="0px",
    block_shadow="none",
    block_shadow_dark="none",
    block_label_background_fill="transparent",
    block_label_background_fill_dark="transparent",
    block_padding="0px",
    block_title_text_weight="560",
    block_title_text_size="*text_sm",
    block_title_text_color="*neutral_700",
    block_title_text_color_dark="*neutral_300",
    border_color_primary="#dde2e7",
    border_color_primary_dark="#2a333d",
    input_background_fill="#ffffff",
    input_background_fill_dark="#151c23",
    input_border_color="#cbd3da",
    input_border_color_dark="#34404c",
    input_border_width="1px",
    input_shadow="none",
    input_shadow_focus="0 0 0 3px rgba(31,143,135,.25)",
    input_border_color_focus="*primary_500",
    input_border_color_focus_dark="*primary_400",
    panel_background_fill="transparent",
    panel_background_fill_dark="transparent",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_hover_dark="*primary_500",
    button_primary_text_color="#ffffff",
    button_primary_text_color_dark="#ffffff",
    button_secondary_background_fill="#ffffff",
    button_secondary_background_fill_dark="#1b242d",
    button_secondary_border_color="#cbd3da",
    button_secondary_border_color_dark="#34404c",
    button_border_width="1px",
    button_border_width_dark="1px",
    button_large_text_weight="560",
    button_large_padding="9px 18px",
    button_large_radius="8px",
    button_large_text_size="*text_md",
)

STYLESHEET = f"{rule(':root', LIGHT)}\n{rule('.dark', DARK)}\n" + "\n".join(
    (_FOLDER / path).read_text(encoding="utf-8")
    for path in (
        "studio.css",
        "components/home.css",
        "components/guide.css",
        "components/label_desk.css",
        "components/find_list.css",
        "components/review_desk.css",
        "components/team.css",
        "components/datasets.css",
        "components/preflight.css",
        "components/evaluate.css",
        "components/sweep.css",
        "components/queue.css",
        "components/learning_curve.css",
        "components/why.css",
        "components/compare.css",
        "components/monitor.css",
        "components/deploy.css",
    )
)

# Times are written in UTC and shown in the reader's own zone.
_TIMES = """<script>
(() => {
  const own = new Intl.DateTimeFormat([], { dateStyle: 'medium', timeStyle: 'short' });
  const known = new WeakMap();
  const local = (node) => {
    const given = node.getAttribute('datetime'), before = known.get(node);
    if (before?.given === given && before.shown === node.textContent) return;
    const when = new Date(given);
    const shown = isNaN(when) ? node.textContent : own.format(when);
    known.set(node, { given, shown });
    if (node.textContent !== shown) node.textContent = shown;
  };
  new MutationObserver(() => document.querySelectorAll('time[datetime]').forEach(local))
    .observe(document.documentElement, { childList: true, subtree: true, characterData: true });
})();
</script>"""

HEAD = words_head() + _TIMES + sidebar_head() + guide_head()
"""What the page's head has besides Gradio's own."""
