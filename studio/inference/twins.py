"""Models that share the base's weights but not its layers: one for each adapter that cannot share the base's batch.

A twin costs the few layers that its adapter puts in, so VeRA, IA³ and DoRA, which peft applies to whole batches only,
each get one; and so does every classifier, whose head is its own. The base itself is never touched.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from peft import PeftConfig, PromptTuningConfig, get_peft_model
from peft.utils import set_peft_model_state_dict

from studio.errors import BadInput
from studio.inference.adapters import misfit, tensors, virtual_tokens
from studio.inference.configs import read_labels
from studio.inference.places import Place
from studio.inference.reading import tokenizer_of
from studio.inference.served import Served, serve
from studio.models.heads import MULTI, LabelSet, name_labels
from studio.models.loading import LoadedBase

_SHARED = (".vera_A.default", ".vera_B.default")


def twin(model: Any) -> Any:
    """A model with modules of its own and the very tensors of `model`."""
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return copy.deepcopy(model, shared)


def tuned_twin(base: LoadedBase, skeleton: Any, place: Place, config: PeftConfig, content: bytes) -> Served:
    """The base with an adapter, beside the base. `skeleton` is a twin that no adapter has touched, `content` the
    adapter's file. Raises BadInput when adapter and base do not belong together."""
    state = tensors(place, content, base.device)
    refusal = misfit(place, base)
    labels = None
    if base.family == "encoder":
        fields, names = read_labels(place)
        labels = LabelSet(names, fields.get("problem_type") == MULTI)
        model = _with_head(base, skeleton, labels, state, refusal)
    else:
        model = twin(skeleton)
    prefix = None
    if isinstance(config, PromptTuningConfig):
        prefix = virtual_tokens(state, config, model, refusal)
    else:
        _attach(model, config, state, refusal)
    model.eval().requires_grad_(False)
    return serve(base, model, tokenizer_of(place, base.tokenizer), labels, prefix)


def _attach(model: Any, config: PeftConfig, state: dict[str, torch.Tensor], refusal: BadInput) -> None:
    try:
        tuned = get_peft_model(model, config, autocast_adapter_dtype=False)
        result: Any = set_peft_model_state_dict(tuned, state)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise refusal from error
    # VeRA's layers only refer to the one pair of projections, which stands in the file by itself.
    missing = [key for key in result.missing_keys if ".default" in key and not key.endswith(_SHARED)]
    if missing or result.unexpected_keys:
        raise refusal


def _with_head(
    base: LoadedBase, skeleton: Any, labels: LabelSet, state: dict[str, torch.Tensor], refusal: BadInput
) -> Any:
    """A classifier of these labels over the base's body. What is not in the base's folder must be in the adapter."""
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(skeleton.config)
    name_labels(config, labels)
    attention = skeleton.config._attn_implementation
    with torch.device("meta"):
        model: Any = AutoModelForSequenceClassification.from_config(
            config, dtype=base.dtype, attn_implementation=attention
        )
    known = dict(skeleton.named_parameters()) | dict(skeleton.named_buffers())
    made_up = tuple(f"{module}." for module in base.fresh)
    for name, empty in [*model.named_parameters(), *model.named_buffers()]:
        tensor = _of_adapter(name, empty, state, base.dtype)
        if tensor is None and not name.startswith(made_up):
            tensor = known.get(name)
        if tensor is None or tensor.shape != empty.shape:
            raise refusal
        _put(model, name, tensor, isinstance(empty, torch.nn.Parameter))
    return model


def _of_adapter(
    name: str, empty: torch.Tensor, state: dict[str, torch.Tensor], dtype: torch.dtype
) -> torch.Tensor | None:
    """A tensor of the model that the adapter's file has whole, under the names that peft gives it."""
    found = (state.get(key) for key in (f"base_model.model.{name}", f"base_model.{name}"))
    tensor = next((each for each in found if each is not None and each.shape == empty.shape), None)
    return None if tensor is None else tensor.to(dtype)


def _put(model: Any, name: str, tensor: torch.Tensor, trained: bool) -> None:
    path, _, last = name.rpartition(".")
    module = model.get_submodule(path)
    if trained:
        module._parameters[last] = torch.nn.Parameter(tensor.detach(), requires_grad=False)
    else:
        module._buffers[last] = tensor
