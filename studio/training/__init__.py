"""Fine-tuning in a process of its own: `python -m studio.training RUN_DIR` (contract and torch; no storage)."""
