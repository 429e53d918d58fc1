"""The decode loop of an encoder-decoder (T5, BART): the prompt is read once, the answer grows in the decoder.

What it leaves out: beam search, and penalties that a model's generation_config asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from studio.errors import BadInput
from studio.inference.decode import Decoder, DecodeRow, Through, padded


class Seq2SeqDecoder(Decoder):
    """A batch of an encoder-decoder. Prompts are padded on the right: BART counts its positions from the left."""

    def __init__(self, through: Through, rows: Sequence[DecodeRow]) -> None:
        super().__init__(through, rows)
        self._prompt, self._mask, self._embeds = padded(through, rows, left=False)
        start, self._forced = _start_token(through.served.model), _forced_token(through.served.model)
        self._input = self._mask.new_full((len(rows), 1), start)
        self._hidden: torch.Tensor | None = None

    @torch.inference_mode()
    def logits(self) -> torch.Tensor:
        """See Decoder."""
        inputs: dict[str, Any] = {
            "attention_mask": self._mask,
            "decoder_input_ids": self._input,
            "use_cache": True,
            "past_key_values": self._cache,
        }
        inputs |= self._read()
        output = self._through.forward(self._adapters, inputs)
        self._cache, self._hidden = output.past_key_values, output.encoder_last_hidden_state
        scores: torch.Tensor = output.logits[:, -1].float()
        if self._forced is not None:
            ruled = torch.full_like(scores, -torch.inf)
            ruled[:, self._forced] = 0.0
            return ruled
        return scores

    def _read(self) -> dict[str, Any]:
        """What the encoder makes of the prompts, or at first the prompts themselves."""
        from transformers.modeling_outputs import BaseModelOutput

        if self._hidden is not None:
            return {"encoder_outputs": BaseModelOutput(last_hidden_state=self._hidden)}
        return {"input_ids": self._prompt} if self._embeds is None else {"inputs_embeds": self._embeds}

    def _go_on(self, tokens: torch.Tensor) -> None:
        self._input, self._forced = tokens[:, None], None

    def _select(self, chosen: torch.Tensor) -> None:
        self._input, self._mask = self._input[chosen], self._mask[chosen]
        if self._cache is not None:
            self._cache.batch_select_indices(chosen)
        if self._hidden is not None:
            self._hidden = self._hidden[chosen]


def _start_token(model: Any) -> int:
    for config in (model.generation_config, model.config):
        for name in ("decoder_start_token_id", "bos_token_id"):
            token = getattr(config, name, None)
            if isinstance(token, int):
                return token
    raise BadInput("The config of this model has no decoder_start_token_id: set the token that an answer begins with.")


def _forced_token(model: Any) -> int | None:
    """The first token of every answer, where the model has such a one (the language of a multilingual BART)."""
    token = getattr(model.generation_config, "forced_bos_token_id", None)
    return int(token) if isinstance(token, int) else None
