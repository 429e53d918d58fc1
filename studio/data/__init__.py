"""Files to examples and back, and frozen snapshots between. No torch, no gradio."""
