"""One place that keeps the model libraries from chatting and from calling home."""

from __future__ import annotations

import os
import warnings


def be_quiet() -> None:
    """No progress bars, warnings only when something breaks, no telemetry. Call it before the first model is loaded."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # Advice from the libraries to each other; a user's log is for what went wrong.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False", module="peft")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def stay_offline() -> None:
    """From here on no library asks the hub for anything: the model is on the disk."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
