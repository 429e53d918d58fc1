"""What is known here of the models that vLLM holds: the base's tokenizer and names, and each run's adapter, checked.

vLLM is given a copy of an adapter under a name of its own, with none of the settings that a stranger may have written
into it; other weights of a run have another name, so what is being written goes on with those that it began with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import TemplateError
from peft import LoraConfig

from studio.contract.chat import prompt_ids
from studio.contract.serving import ServeSpec
from studio.errors import BadInput
from studio.inference.adapters import read_weights
from studio.inference.configs import read_adapter_config
from studio.inference.places import Place, Stamp, check_base, find
from studio.inference.reading import tokenizer_of
from studio.inference.request import GenerationRequest, PromptRefused
from studio.models.answers import stop_ids
from studio.models.folders import weight_files
from studio.models.hashes import ADAPTER_WEIGHTS, file_hash
from studio.models.loading import load_tokenizer, pick_family, read_config, resolve
from studio.serving.vllm_process import BASE_MODEL

_OWN_ENGINE = "start the server with --engine studio"


@dataclass(frozen=True)
class Base:
    """A base model without its weights, which vLLM has: names, tokenizer, `ends` in its generation settings."""

    name: str
    folder: Path
    weights_hash: str
    tokenizer: Any = field(repr=False)
    generation: Any = field(repr=False)
    vocabulary: int
    device: str = "cuda"


@dataclass(frozen=True)
class Voice:
    """Who answers: vLLM's name of it, the run and the SHA-256 of its weights (None: the base), and how it is read."""

    model: str
    tokenizer: Any = field(repr=False)
    ends: frozenset[int]
    run: str | None = None
    hash: str | None = None
    stamp: Stamp = field(default=(), repr=False)


def read_base(spec: ServeSpec) -> Base:
    """The base of a spec. Raises BadModel, BadInput where vLLM cannot serve such a model, DiskFull."""
    from transformers import GenerationConfig

    folder = resolve(spec.models, spec.base_model)
    config = read_config(folder, spec.base_model)
    if pick_family(config) != "causal":
        raise BadInput(f"'{spec.base_model}' is no causal language model, as vLLM needs it: {_OWN_ENGINE}.")
    try:
        generation = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:  # a folder need not have one
        generation = GenerationConfig.from_model_config(config)
    digest = file_hash(weight_files(folder), cache_dir=spec.models)
    size = int(config.get_text_config(decoder=True).vocab_size)
    return Base(spec.base_model, folder, digest, load_tokenizer(folder, spec.base_model), generation, size)


def base_voice(base: Base) -> Voice:
    """The bare base."""
    return Voice(BASE_MODEL, base.tokenizer, _ends(base, base.tokenizer))


def plain_lora(place: Place) -> LoraConfig:
    """The settings of a run's adapter. Raises BadInput for what vLLM does not serve beside a base: all but plain LoRA
    of one rank and strength."""
    config = None if place.whole else read_adapter_config(place, "causal")
    if not isinstance(config, LoraConfig):
        kind = "a whole model" if config is None else f"a {str(config.peft_type).rsplit('.', 1)[-1]} adapter"
    elif config.use_dora:
        kind = "a DoRA adapter"
    elif config.rank_pattern or config.alpha_pattern:
        kind = "an adapter of several ranks"
    else:
        return config
    raise BadInput(f"Run '{place.run}' is {kind}, and vLLM serves plain LoRA alone: {_OWN_ENGINE}.")


def run_voice(base: Base, runs: Path, run: str, copies: Path, most_rank: int) -> Voice:
    """The adapter of a run, copied for vLLM. Raises NotFound, BadInput; takes a moment for a large one."""
    place = find(runs, run)
    stamp, config = place.stamp(), plain_lora(place)
    check_base(place, base.name, base.weights_hash)
    if config.r > most_rank:
        raise BadInput(
            f"Run '{run}' has LoRA rank {config.r}, and this server was started for {most_rank} at most: start it anew."
        )
    tokenizer = tokenizer_of(place, base.tokenizer)
    content, digest = read_weights(place)
    name = f"{run}-{digest[:12]}"
    if not (copies / name).is_dir():
        half = copies / f".{name}"
        config.save_pretrained(str(half))
        (half / ADAPTER_WEIGHTS).write_bytes(content)
        half.rename(copies / name)
    return Voice(name, tokenizer, _ends(base, tokenizer), run, digest, stamp)


def read_ids(base: Base, voice: Voice, request: GenerationRequest) -> list[int]:
    """Token ids of a prompt: what the model is asked with is rendered here, as everywhere. Raises PromptRefused."""
    try:
        if request.prompt is None:
            ids = prompt_ids(voice.tokenizer, request.messages)
        elif isinstance(request.prompt, str):
            ids = list(voice.tokenizer(request.prompt)["input_ids"])
        else:
            ids = list(request.prompt)
    except (TemplateError, ValueError) as error:
        raise PromptRefused(f"The chat template of this model refuses these messages: {error}.") from None
    if any(not 0 <= token < base.vocabulary for token in ids):
        raise PromptRefused(f"No prompt: a token id is not below {base.vocabulary}.")
    if not ids:
        raise PromptRefused("The prompt is empty: write a message.")
    return ids


def _ends(base: Base, tokenizer: Any) -> frozenset[int]:
    return frozenset(stop_ids(SimpleNamespace(generation_config=base.generation), tokenizer))
