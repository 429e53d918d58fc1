"""How many bytes a training step takes at its peak: weights, gradients, optimiser, activations, logits.

Plain arithmetic, so that the planner (which knows no torch) and the training process reckon alike. The numbers of
floats that a layer keeps for its backward pass were read off torch's saved tensors for random models of several widths,
where they come out as whole multiples (tests/bench/bench_plan.py measures the sum against real processes). Left out:
compiled graphs, models spread over several devices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from studio.contract.shapes import Shape
from studio.contract.spec import Method

PROCESS_BYTES = {"cpu": 640_000_000, "mps": 640_000_000, "cuda": 600_000_000}
"""Python with the torch stack, before any weights; on CUDA the context and the libraries' workspaces on the device."""

ADAPTERS: tuple[Method, ...] = ("lora", "rslora", "dora", "pissa", "lora-plus", "vera", "ia3", "prompt", "qlora")
_LOW_RANK = ("lora", "rslora", "dora", "pissa", "lora-plus", "qlora")
_NORMED_HEADS = ("qwen3", "gemma3", "gemma3_text", "olmo2", "smollm3_norm")
_EAGER = ("gemma2", "t5", "mt5", "umt5")
"""Architectures whose attention keeps its scores: they have no fused kernel in transformers."""
_CAPPED = ("gemma2", "cohere", "granite")
"""Architectures that do more to their logits than a linear layer, which then are made in one piece."""
_CHUNK_BYTES = 2**26


@dataclass(frozen=True)
class Batch:
    """A forward pass: rows, tokens of the longest of them (all are padded to it), and of those the answers' tokens.

    Of a seq2seq model `tokens` are the prompt's, `answer_tokens` the answer's longest; `targets`: answer tokens of all
    rows together, where logits are computed.
    """

    rows: int
    tokens: int
    answer_tokens: int
    targets: int

    def of(self, rows: int) -> Batch:
        """The same rows, but so many of them."""
        return replace(self, rows=rows, targets=max(1, round(self.targets * rows / max(self.rows, 1))))


@dataclass(frozen=True)
class Footprint:
    """Peak bytes by what they are for; `total` is what the device must have. `outside`: the peak outside of steps,
    while losses are measured."""

    process: int
    weights: int
    gradients: int
    optimiser: int
    activations: int
    logits: int
    outside: int

    @property
    def total(self) -> int:
        """Bytes at the peak. In full training the gradients grow while the activations go: the larger counts."""
        fixed = self.process + self.weights + self.optimiser
        return max(fixed + max(self.gradients, self.activations + self.logits), self.outside)

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """The parts that make up the total, in words."""
        passing = max(self.gradients, self.activations + self.logits)
        named = (
            ("process", self.process),
            ("weights", self.weights),
            ("optimiser", self.optimiser),
            ("gradients and activations", passing),
        )
        return tuple((name, size) for name, size in named if size)


def footprint(
    shape: Shape,
    method: Method,
    rank: int,
    batch: Batch,
    device: str,
    half: bool = False,
    checkpointing: bool = False,
    accumulating: bool = False,
    prompt_tokens: int = 0,
    whole_logits: bool = False,
) -> Footprint:
    """The peak of a training step with AdamW. `half`: frozen weights and activations of two bytes (bfloat16).

    `accumulating`: several forward passes a step, so that gradients lie there while activations are at their peak.
    `whole_logits`: for steps that make all logits at once (those of preferences).
    """
    full = method == "full"
    width = 2 if half and not full else 4
    trained = trainable(shape, method, rank, prompt_tokens)
    weights = 0.56 * shape.parameters if method == "qlora" else shape.parameters * width
    if method == "prompt":
        batch = replace(batch, tokens=batch.tokens + prompt_tokens)
    activations = width * _floats(shape, method, rank, batch, checkpointing)
    gradients = 4 * trained
    process = PROCESS_BYTES.get(device, PROCESS_BYTES["cpu"])
    if accumulating or not full:
        activations, gradients = activations + gradients, gradients
    return Footprint(
        process=process,
        weights=int(weights + (0 if full else 4 * trained)),
        gradients=int(gradients + _largest(shape) * 4 * (2 if full else 0)),
        optimiser=8 * trained,
        activations=int(activations),
        logits=_logits(shape, batch, full, whole_logits, method == "prompt"),
        outside=int(process + weights + 12 * trained + _measuring(shape, batch)),
    )


def trainable(shape: Shape, method: Method, rank: int, prompt_tokens: int = 0) -> int:
    """How many numbers a method trains."""
    if method == "full":
        return shape.parameters
    if method == "prompt":
        return prompt_tokens * shape.hidden
    pairs = [pair for layer in _linears(shape) for pair in layer]
    if method == "ia3":
        return sum(2 * shape.keys + shape.intermediate for _ in range(shape.layers + shape.decoder_layers))
    if method == "vera":
        return sum(rank + into for _, into in pairs)
    extra = sum(into for _, into in pairs) if method == "dora" else 0
    return sum(rank * (out + into) for out, into in pairs) + extra


def _linears(shape: Shape) -> list[list[tuple[int, int]]]:
    """(inputs, outputs) of the linear layers of each block."""
    hidden, keys, inner = shape.hidden, shape.keys, shape.intermediate
    attention = [(hidden, hidden), (hidden, keys), (hidden, keys), (hidden, hidden)]
    if shape.architecture == "gpt2":
        attention = [(hidden, 3 * hidden), (hidden, hidden)]
    inner_pairs = [(hidden, inner), (inner, hidden)] + ([(hidden, inner)] if shape.gated else [])
    plain = [attention + inner_pairs] * shape.layers
    return plain + [attention * 2 + inner_pairs] * shape.decoder_layers


def _largest(shape: Shape) -> int:
    """Numbers in the largest weight: the optimiser makes copies of one weight at a time."""
    return max(shape.vocabulary * shape.hidden, shape.hidden * shape.intermediate)


def _floats(shape: Shape, method: Method, rank: int, batch: Batch, checkpointing: bool) -> float:
    """Numbers kept for the backward pass, and those that one layer makes while it goes."""
    tokens, answer = batch.rows * batch.tokens, batch.rows * batch.answer_tokens
    layer = tokens * _layer_floats(shape, method, rank, batch.tokens, False)
    decoder = 0.0
    if shape.decoder_layers:
        crossed = answer * shape.heads * batch.tokens * _scores(shape) + 2 * tokens * shape.hidden
        decoder = answer * _layer_floats(shape, method, rank, batch.answer_tokens, True) + crossed
    going = max(layer, decoder) / 2  # gradients of the layer that is being gone through
    if checkpointing:
        kept = tokens * shape.hidden * shape.layers + answer * shape.hidden * shape.decoder_layers
        return kept + 2 * max(layer, decoder) + going  # made again, while what it passes back is there too
    return layer * shape.layers + decoder * shape.decoder_layers + going


def _layer_floats(shape: Shape, method: Method, rank: int, length: int, crossing: bool) -> float:
    """Numbers that one block keeps for each token."""
    bare = method == "prompt"
    hidden, inner = _block(shape, "bare" if bare else "full" if method == "full" else "adapter")
    floats = hidden * shape.hidden + inner * shape.intermediate
    if crossing:
        floats += (3 if bare else 5) * shape.hidden
    if method in _LOW_RANK or method == "vera":
        floats += rank * (len(_linears(shape)[-1 if crossing else 0]) if _linears(shape) else 0)
    if method == "dora":  # the answers of base and adapter of each linear layer, before they are weighed
        floats += 16 * shape.hidden + 7 * shape.intermediate
    if method == "vera":  # 3 and 1 are kept; its many small steps leave the rest in the allocator
        floats += 5 * shape.hidden + 2 * shape.intermediate
    return floats + shape.heads * length * _scores(shape)


def _block(shape: Shape, kind: str) -> tuple[float, float]:
    """How many times the hidden and the intermediate width a block keeps for a token, by architecture."""
    step = {"bare": 0, "adapter": 1, "full": 2}[kind]
    ratio = shape.keys / max(shape.hidden, 1)
    if shape.architecture in ("t5", "mt5", "umt5"):
        return (7.0, 10.0, 12.0)[step], ((5.0, 8.0, 8.0) if shape.gated else (2.0, 3.0, 3.0))[step]
    if shape.family == "encoder" or shape.architecture in ("bart", "mbart"):
        dropped = 0.0 if shape.attention_dropout or shape.family != "encoder" else -2.0
        return (7.0, 10.0 + dropped, 10.0 + dropped)[step], (1.0, 2.0, 2.0)[step]
    if not shape.gated:
        dropped = 0.0 if shape.attention_dropout else -2.0
        return (7.0, 10.0 + dropped, 10.0 + dropped)[step], (4.0, 5.0, 5.0)[step]
    normed = (1 + ratio) * (1, 1, 2)[step] if shape.architecture in _NORMED_HEADS else 0.0
    doubled = (1.0, 2.0, 4.0)[step] if shape.architecture.startswith(("gemma2", "gemma3")) else 0.0
    return (4.0, 6.0, 8.0)[step] + 2 * ratio + normed + doubled, (3.0, 4.0, 4.0)[step]


def _scores(shape: Shape) -> float:
    """How many numbers are kept for each pair of tokens and head: none where a fused kernel does attention."""
    if shape.attention_dropout:
        return 3.0
    return 2.0 if shape.architecture in _EAGER else 0.0


def _logits(shape: Shape, batch: Batch, full: bool, whole: bool, everywhere: bool) -> int:
    """Bytes of the output layer in a step. Chunk by chunk (studio.training.head_loss): a chunk twice, the gradients of
    the states that it reads, and its own where it learns. `whole`: logits, their logarithms and the gradients of both;
    `everywhere`: logits of prompts too, as a model's own forward makes them, and the same again going back.
    """
    if shape.family == "encoder":
        return 0
    if shape.family == "seq2seq":  # of every place of the padded answers
        return 12 * batch.rows * batch.answer_tokens * shape.vocabulary
    entire = 12 * batch.targets * shape.vocabulary
    if everywhere:
        return entire + 8 * batch.rows * batch.tokens * shape.vocabulary
    if whole or shape.architecture in _CAPPED:
        return entire
    learns = 4 * shape.vocabulary * shape.hidden if full else 0
    return min(entire, 2 * _CHUNK_BYTES) + 4 * batch.targets * shape.hidden + learns


def _measuring(shape: Shape, batch: Batch) -> int:
    """Bytes of the output layer when losses are measured, row by row and without gradients."""
    return 0 if shape.family == "encoder" else 8 * batch.targets * shape.vocabulary
