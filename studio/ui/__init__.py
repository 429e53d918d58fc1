"""The only room that knows gradio: one file a tab, layout then wiring."""
