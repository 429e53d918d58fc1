"""The annotator's desk: what is next, and the acts on it. No torch, no gradio."""
