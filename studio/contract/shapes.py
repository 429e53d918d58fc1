"""The size of a base model and its family, told from its config.json alone: no torch, no weights read.

Left out: models of several parts (vision, audio), of which only the text part is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from studio.contract.spec import Family

_ENCODERS = frozenset({
    "albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "esm",
    "flaubert", "ibert", "mobilebert", "modernbert", "mpnet", "nystromformer", "roberta",
    "roberta-prelayernorm", "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl", "xlnet",
})  # fmt: skip
_SEQ2SEQ = frozenset({
    "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "encoder-decoder", "led", "longt5", "m2m_100",
    "marian", "mbart", "mt5", "mvp", "nllb-moe", "pegasus", "pegasus_x", "plbart", "prophetnet",
    "switch_transformers", "t5", "t5gemma", "umt5", "xlm-prophetnet",
})  # fmt: skip
_TWO_MATRICES = frozenset({
    "bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "opt", "phi",
    "starcoder2",
})  # fmt: skip
_DROPS = {
    "gpt2": ("attn_pdrop", 0.1),
    "gpt_bigcode": ("attn_pdrop", 0.1),
    "t5": ("dropout_rate", 0.1),
    "mt5": ("dropout_rate", 0.1),
    "umt5": ("dropout_rate", 0.1),
    "bert": ("attention_probs_dropout_prob", 0.1),
    "roberta": ("attention_probs_dropout_prob", 0.1),
    "xlm-roberta": ("attention_probs_dropout_prob", 0.1),
    "electra": ("attention_probs_dropout_prob", 0.1),
    "mpnet": ("attention_probs_dropout_prob", 0.1),
    "albert": ("attention_probs_dropout_prob", 0.0),
    "distilbert": ("attention_dropout", 0.1),
}
"""The setting for dropout on attention scores, and what a config without it means."""


@dataclass(frozen=True)
class Shape:
    """Size of a base model: parameters, and what memory depends on. Widths are numbers of floats.

    `layers` counts the encoder's of a seq2seq model, `decoder_layers` its decoder's. `key_value`: width of keys, 0 =
    hidden. `attention_dropout`: whether training drops attention scores, which then are kept. `window`: positions that
    it has, 0 = not told.
    """

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    family: Family = "causal"
    architecture: str = "llama"
    decoder_layers: int = 0
    heads: int = 1
    key_value: int = 0
    gated: bool = True
    attention_dropout: bool = False
    window: int = 0

    @property
    def keys(self) -> int:
        """Width of the keys (and of the values)."""
        return self.key_value or self.hidden


def family_of_config(config: Mapping[str, object]) -> Family:
    """The family of a model by its config: what `family="auto"` means."""
    kind = str(config.get("model_type", "")).lower()
    if config.get("is_encoder_decoder") is True or kind in _SEQ2SEQ:
        return "seq2seq"
    return "encoder" if kind in _ENCODERS else "causal"


def shape_of_config(config: Mapping[str, object], parameters: int) -> Shape:
    """The shape that a config describes. Raises ValueError, which names a setting that is no number."""
    text = config.get("text_config")
    config = text if isinstance(text, Mapping) else config
    kind = str(config.get("model_type", "")).lower()
    family = family_of_config(config)
    hidden = _number(config, "hidden_size", "n_embd", "d_model", "dim")
    heads = _number(config, "num_attention_heads", "n_head", "num_heads", "encoder_attention_heads", "n_heads") or 1
    layers = _number(config, "num_hidden_layers", "n_layer", "num_layers", "encoder_layers", "n_layers")
    head = _number(config, "head_dim") or hidden // heads
    dropout, default = _DROPS.get(kind, ("attention_dropout", 0.0))
    return Shape(
        parameters=parameters,
        layers=_number(config, "num_layers", "encoder_layers") or layers if family == "seq2seq" else layers,
        hidden=hidden,
        intermediate=_number(config, "intermediate_size", "n_inner", "d_ff", "encoder_ffn_dim", "hidden_dim", "ffn_dim")
        or 4 * hidden,
        vocabulary=_number(config, "vocab_size"),
        family=family,
        architecture=kind or "llama",
        decoder_layers=(_number(config, "num_decoder_layers", "decoder_layers") or layers)
        if family == "seq2seq"
        else 0,
        heads=heads,
        key_value=head * (_number(config, "num_key_value_heads") or heads),
        gated=_gated(config, kind, family),
        attention_dropout=_share(config, dropout, default) > 0,
        window=_number(config, "max_position_embeddings", "n_positions"),
    )


def _decoder(config: Mapping[str, object], otherwise: int) -> int:
    return _number(config, "num_decoder_layers", "decoder_layers") or otherwise


def _gated(config: Mapping[str, object], kind: str, family: Family) -> bool:
    if kind in ("t5", "mt5", "umt5"):
        return str(config.get("feed_forward_proj", "relu")).startswith("gated")
    return family == "causal" and kind not in _TWO_MATRICES


def _number(config: Mapping[str, object], *names: str) -> int:
    """The first of these settings that the config has, 0 without any."""
    name = next((name for name in names if config.get(name) is not None), "")
    value = config[name] if name else 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"no usable {names[0]}: {str(value)[:50]}")
    return value


def _share(config: Mapping[str, object], name: str, default: float) -> float:
    value = config.get(name, default)
    return float(value) if isinstance(value, (int, float)) else default
