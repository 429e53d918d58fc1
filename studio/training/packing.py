"""Several rows in one sequence that never see each other: no padding, and what all of them begin with computed once.

A micro-batch comes padded, as every family's does, and is laid end to end here, just before the model. Positions
restart with each row and attention is computed row by row, so no mask over the whole sequence is ever made. The tokens
that all rows begin with (a chat template's head, a system prompt, an instruction) stand there once and every row
attends to them: causal attention makes their hidden states the same in all rows. Whether a model can be trained this
way is tried on the model itself. What it leaves out: filling a sequence up to a length (a micro-batch is one sequence)
and models whose attention is not plain softmax; those keep their padded batches of like length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from studio.contract.spec import TrainSpec
from studio.training.data import IGNORED

ATTENTION = "studio_rows"
"""Name of our attention among those of transformers."""

CHUNK = 256
"""Tokens of neighbouring short rows whose attention is one masked product: fewer calls, little waste."""

SHARED_LEAST, SHARED_MOST = 4, 1024
"""A common beginning shorter than this is not worth a mask; rows longer than this want attention without one."""

_laying = [False]


@dataclass(frozen=True)
class Layout:
    """How rows lie in a sequence: `prefix` tokens of all, then each row's own, `lengths`."""

    prefix: int
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Laid:
    """A packed micro-batch: `ids` and `positions` [1, tokens]; the hidden state at `sources[i]` has to foretell
    `targets[i]` (row after row; a place in the shared beginning may come several times)."""

    ids: Tensor
    positions: Tensor
    sources: Tensor
    targets: Tensor
    layout: Layout


@dataclass(frozen=True)
class Packing:
    """How a model's batches are packed: `share` the common beginning of rows (not under dropout)."""

    share: bool = True


def prepare(model: Any, spec: TrainSpec, longest: int) -> bool:
    """Make `answer_loss` pack the batches of `model` from now on, if the spec wants it and it is right for this model.

    `longest`: tokens of the longest row. Returns whether it will. NEFTune's noise is scaled by the length of a
    sequence, which packing would change, so with it rows stay apart.
    """
    base = _base(model)
    if spec.packing == "off" or spec.neftune or not packable(model, longest):
        return False
    # Shared tokens would share their dropout too: still learning, but no longer the same as apart.
    base.studio_packing = Packing(share=not (spec.lora_dropout or _drops(base)))
    return True


def packing_of(model: Any) -> Packing | None:
    """How `prepare` decided for this model."""
    found: Packing | None = getattr(_base(model), "studio_packing", None)
    return found


def packable(model: Any, longest: int) -> bool:
    """Whether `model` gives rows of up to `longest` tokens the same hidden states packed as alone, found by trying."""
    base = _base(model)
    body = getattr(base, base.base_model_prefix, None)
    peft = getattr(model, "active_peft_config", None)
    if body is None or body is base or getattr(peft, "is_prompt_learning", False) or not _plain(base.config, longest):
        return False
    if base.config._attn_implementation == "sdpa":
        _register()
        base.set_attn_implementation(ATTENTION)
    if base.config._attn_implementation == ATTENTION and _agrees(base, body):
        return True
    if base.config._attn_implementation == ATTENTION:
        base.set_attn_implementation("sdpa")
    return False


def lay(ids: Tensor, mask: Tensor, labels: Tensor, share: bool) -> Laid:
    """Lay right-padded rows ([rows, tokens] each) end to end; `share`: what all begin with only once."""
    lengths = mask.sum(1).tolist()
    prefix = _shared(ids, lengths) if share else 0
    own = mask.bool()
    own[:, :prefix] = False
    columns = torch.arange(ids.shape[1], device=ids.device)
    place = columns.repeat(len(ids), 1)
    place[own] = torch.arange(prefix, prefix + sum(lengths) - prefix * len(lengths), device=ids.device)
    chosen = labels[:, 1:] != IGNORED
    return Laid(
        ids=torch.cat([ids[0, :prefix], ids[own]]).unsqueeze(0),
        positions=torch.cat([columns[:prefix], columns.expand_as(ids)[own]]).unsqueeze(0),
        sources=place[:, :-1][chosen],
        targets=labels[:, 1:][chosen],
        layout=Layout(prefix, tuple(length - prefix for length in lengths)),
    )


def hidden_states(body: Any, laid: Laid) -> Tensor:
    """The last hidden states of a packed sequence, [tokens, width]."""
    with _no_mask():
        out = body(input_ids=laid.ids, position_ids=laid.positions, use_cache=False, rows=laid.layout)
    return out.last_hidden_state[0]


@lru_cache(maxsize=8)
def chunks(layout: Layout, dtype: torch.dtype, device: torch.device) -> list[tuple[int, Tensor | None]]:
    """Neighbouring rows whose attention is one product: tokens of each chunk, and what it may attend to.

    That is added to the scores, [chunk, prefix + chunk]; None for plain causal attention. The same for all layers.
    """
    prefix = layout.prefix
    groups: list[list[int]] = []
    for length in layout.lengths:
        if groups and sum(groups[-1]) + length <= CHUNK:
            groups[-1].append(length)
        else:
            groups.append([length])
    return [(sum(group), _chunk_mask(prefix, group, dtype, device)) for group in groups]


def _chunk_mask(prefix: int, group: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor | None:
    if not prefix and len(group) == 1:
        return None
    size = sum(group)
    row = torch.repeat_interleave(torch.arange(len(group)), torch.tensor(group))
    seen = torch.ones(size, size, dtype=torch.bool).tril() & (row[:, None] == row[None])
    seen = torch.cat([torch.ones(size, prefix, dtype=torch.bool), seen], dim=1)
    return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min).to(device)


@torch.compiler.disable
def rows_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    rows: Layout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of a packed sequence, [1, heads, tokens, width] to [1, tokens, heads, width]; without `rows` SDPA's."""
    if rows is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    varlen = _varlen(query.device, query.dtype)
    if varlen is not None and not rows.prefix and not dropout:
        return _fused(varlen, query, key, value, rows, scaling), None
    several = [(rows.prefix, None)] * bool(rows.prefix) + chunks(rows, query.dtype, query.device)
    sizes = [size for size, _ in several]
    heads = zip(query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), strict=True)
    parts: list[Tensor] = []
    first: tuple[Tensor, Tensor] | None = None
    for (_, masked), (q, k, v) in zip(several, heads, strict=True):
        if first is not None:
            k, v = torch.cat([first[0], k], 2), torch.cat([first[1], v], 2)
        elif rows.prefix:
            first = (k, v)
        part = functional.scaled_dot_product_attention(
            q, k, v, masked, dropout, is_causal=masked is None, scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
        )
        parts.append(part)
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def _fused(
    varlen: Callable[..., Any], query: Tensor, key: Tensor, value: Tensor, rows: Layout, scaling: float | None
) -> Tensor:
    """One kernel over all rows (CUDA, half precision): [1, heads, tokens, width] to [1, tokens, heads, width]."""
    flat = [one[0].transpose(0, 1).contiguous() for one in (query, key, value)]
    ends, longest = _ends(rows.lengths, query.device), max(rows.lengths)
    out: Tensor = varlen(
        *flat, ends, ends, longest, longest, scale=scaling, window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    return out.unsqueeze(0)


@lru_cache(maxsize=8)
def _ends(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


@lru_cache(maxsize=8)
def _varlen(device: torch.device, dtype: torch.dtype) -> Callable[..., Any] | None:
    """torch's attention over rows of different lengths, where it runs: Ampere and newer, half precision."""
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return None
    if find_spec("torch.nn.attention.varlen") is None or torch.cuda.get_device_capability(device)[0] < 8:
        return None
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn


def _shared(ids: Tensor, lengths: list[int]) -> int:
    """How many tokens all rows begin with; each row keeps a token of its own. None of it on a GPU: see `_fused`."""
    if len(lengths) < 2 or ids.device.type == "cuda" or max(lengths) > SHARED_MOST:
        return 0
    most = min(lengths) - 1
    same = (ids[:, :most] == ids[:1, :most]).all(0)
    count = int(same.long().cumprod(0).sum())
    return count if count >= SHARED_LEAST else 0


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _plain(config: Any, longest: int) -> bool:
    """No soft cap on attention, and no window that a row would outgrow."""
    own = config.get_text_config()
    windows = [getattr(own, name, None) for name in ("sliding_window", "attention_chunk_size")]
    if getattr(own, "use_sliding_window", True) is False:
        windows = []
    narrow = any(isinstance(window, int) and 0 < window < longest for window in windows)
    return not narrow and getattr(own, "attn_logit_softcapping", None) is None


def _drops(base: Any) -> bool:
    if getattr(base.config.get_text_config(), "attention_dropout", 0.0):
        return True
    return any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in base.modules())


@contextmanager
def _no_mask() -> Iterator[None]:
    """The model would make a mask of tokens times tokens for us, which `rows_attention` has no use for."""
    _laying[0] = True
    try:
        yield
    finally:
        _laying[0] = False


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    def rows_mask(*args: Any, **kwargs: Any) -> Tensor | None:
        return None if _laying[0] else sdpa_mask(*args, **kwargs)

    AttentionInterface.register(ATTENTION, rows_attention)
    AttentionMaskInterface.register(ATTENTION, rows_mask)


@torch.no_grad()
def _agrees(base: Any, body: Any) -> bool:
    """Three short rows, alone and packed. A row that saw another, or a wrong position, would be far off."""
    device, dtype = next(base.parameters()).device, base.dtype
    size = int(base.get_input_embeddings().num_embeddings)
    lengths = torch.tensor([9, 7, 8])
    ids = torch.arange(27).reshape(3, 9) * 7 % size
    ids[:, :5] = ids[0, :5]
    mask = (torch.arange(9)[None] < lengths[:, None]).long()
    ids, mask = ids.to(device), mask.to(device)
    was_training = base.training
    base.eval()
    try:
        alone = torch.cat([body(input_ids=ids[n : n + 1, :m], use_cache=False)[0][0] for n, m in enumerate(lengths)])
        for share in (True, False):
            laid = lay(ids, mask, ids.masked_fill(mask == 0, IGNORED), share)
            packed = hidden_states(body, laid)
            if laid.layout.prefix:
                rows = packed[laid.layout.prefix :].split(laid.layout.lengths)
                packed = torch.cat([part for row in rows for part in (packed[: laid.layout.prefix], row)])
            off = (packed.float() - alone.float()).abs().max() / alone.float().abs().max()
            if not float(off) < (1e-3 if dtype == torch.float32 else 0.05):
                return False
        return True
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return False
    finally:
        base.train(was_training)
