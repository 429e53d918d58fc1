"""The kernel for rows of different lengths that GPUs have, stood in for by the same sums: it is called rightly."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from studio.training import packing
from studio.training.packing import Layout, rows_attention


def varlen(query, key, value, starts, key_starts, longest, key_longest, scale, window_size, enable_gqa):
    """Row by row; [tokens, heads, width], rows begin at `starts`, causal by `window_size`."""
    assert torch.equal(starts, key_starts) and starts.dtype == torch.int32 and window_size == (-1, 0)
    assert longest == key_longest == int(starts.diff().max()) and all(
        one.is_contiguous() for one in (query, key, value)
    )
    parts = []
    for low, high in pairwise(starts.tolist()):
        q, k, v = (one[low:high].transpose(0, 1).unsqueeze(0) for one in (query, key, value))
        part = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=enable_gqa)
        parts.append(part[0].transpose(0, 1))
    return torch.cat(parts)


@pytest.mark.parametrize("key_heads", [1, 4])
def test_one_kernel_over_all_rows_is_attention_row_by_row(monkeypatch, key_heads):
    query, key, value = torch.randn(1, 4, 20, 8), torch.randn(1, key_heads, 20, 8), torch.randn(1, key_heads, 20, 8)
    rows = Layout(0, (7, 9, 4))
    apart, _ = rows_attention(None, query, key, value, None, scaling=0.3, rows=rows)
    monkeypatch.setattr(packing, "_varlen", lambda device, dtype: varlen)
    fused, _ = rows_attention(None, query, key, value, None, scaling=0.3, rows=rows)
    assert fused.shape == apart.shape == (1, 20, 4, 8) and torch.allclose(fused, apart, atol=1e-5)


def test_with_dropout_rows_still_do_not_see_each_other(monkeypatch):
    monkeypatch.setattr(packing, "_varlen", lambda device, dtype: pytest.fail)
    query, value = torch.zeros(1, 1, 6, 2), torch.zeros(1, 1, 6, 2)
    value[:, :, 3:] = 1.0
    out, _ = rows_attention(None, query, query, value, None, dropout=0.5, rows=Layout(0, (3, 3)))
    assert float(out[0, :3].abs().max()) == 0.0
