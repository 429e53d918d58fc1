"""Sweeps in a process of its own: `python -m studio.sweeping SWEEP_DIR` (contract and optuna; no torch, no storage)."""
