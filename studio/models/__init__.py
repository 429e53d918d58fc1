"""Base models for training, inference and evaluation: found, checked, loaded (the torch stack; no storage)."""
