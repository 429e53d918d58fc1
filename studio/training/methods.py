"""The methods of fine-tuning: what of a model learns, how it is written, and how the base is asked beside it.

Adapters go through peft and are kept in float32; full fine-tuning trains every weight in float32. A run leaves either
`<run>/adapter` or `<run>/model`, safetensors and JSON alone. What it leaves out: choosing settings (the planner's).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from studio.contract.methods import METHODS
from studio.contract.spec import Method, TrainSpec
from studio.errors import BadModel, BadSpec
from studio.models.disk import sync
from studio.models.folders import weight_files
from studio.models.hashes import ADAPTER_WEIGHTS, file_hash
from studio.models.heads import head_names, labels_of
from studio.models.loading import LoadedBase, load_again, read_config
from studio.models.templates import write_template
from studio.training import targets

ADAPTER_FOLDER = "adapter"
MODEL_FOLDER = "model"
ADAPTER_CONFIG = "adapter_config.json"
MODEL_CONFIG = "config.json"

HEAD_RATIO = 10.0
"""Full fine-tuning: a head that begins at random learns so many times faster than the trained body under it."""

_TASKS = {"causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM", "encoder": "SEQ_CLS"}
_PISSA: Any = "pissa_niter_16"
"""A randomised decomposition of 16 passes: as good as the whole one, which takes minutes (section 4 of the paper)."""


def attach(base: LoadedBase, spec: TrainSpec) -> Any:
    """`base.model` made ready to learn by the method of `spec`; an adapter begins by changing nothing.

    PiSSA and a prompt are the exceptions: the one moves the main part of each weight into the adapter, the other reads
    its tokens from the first step. With `spec.start_from` the weights of that finished run are where it begins.
    Raises BadModel where the method cannot go on this model, BadSpec for settings that do not fit it.
    """
    if spec.start_from and base.family == "encoder":
        _check_labels(base, spec.start_from)
    if spec.method == "full":
        model = _all_weights(base.model)
        if spec.start_from:
            load(model, spec.start_from)
        return model
    from peft import get_peft_model

    model = base.model
    if spec.method == "qlora":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    config = _continued(spec) if spec.start_from else _config(base, spec)
    try:
        # autocast_adapter_dtype keeps the adapter in float32 under a bfloat16 base: small updates would round away.
        tuned: Any = get_peft_model(model, config, autocast_adapter_dtype=True)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        title = METHODS[spec.method].title
        raise BadModel(f"{title} cannot be attached to '{spec.base_model}' ({error}): choose another.") from error
    # peft puts the local folder here, which names nothing on another machine.
    config.base_model_name_or_path = spec.base_model
    if spec.start_from:
        load(tuned, spec.start_from)
    elif spec.method == "pissa":
        tuned.pissa_start = _lora_weights(tuned)
    return tuned


def check_offered(method: Method, base: LoadedBase) -> None:
    """Raise BadSpec where a method is not for this family or device."""
    about = METHODS[method]
    if base.family not in about.families:
        raise BadSpec(f"{about.title} is not for {base.family} models such as '{base.name}': choose another method.")
    if about.cuda and base.device.type != "cuda":
        raise BadSpec(f"{about.title} needs a CUDA GPU: choose another method.")


def groups(model: Any, base: LoadedBase, spec: TrainSpec) -> list[dict[str, Any]]:
    """The weights that learn, as an optimiser's groups with their own learning rate and weight decay.

    LoRA+ (Hayou et al. 2024): B learns `lora_plus_ratio` times faster than A. Full: see HEAD_RATIO. Biases and norms
    are not decayed.
    """
    fast = _fast(model, base, spec)
    made: dict[tuple[float, float], list[Tensor]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            decay = spec.weight_decay if weight.ndim > 1 else 0.0
            made.setdefault((spec.learning_rate * fast(name), decay), []).append(weight)
    return [{"params": weights, "lr": rate, "weight_decay": decay} for (rate, decay), weights in made.items()]


def is_adapter(model: Any) -> bool:
    """Whether `model` is a base with an adapter; else all of it learns."""
    return hasattr(model, "peft_config")


def packs(model: Any) -> bool:
    """Whether several rows may share a sequence: not where learnt tokens stand in front of each row."""
    return not (is_adapter(model) and model.active_peft_config.is_prompt_learning)


def write(model: Any, folder: Path) -> None:
    """Write what has learnt into `folder`, in the form that `load` puts back. Raises OSError or SafetensorError."""
    if not is_adapter(model):
        _write_model(model, folder)
        return
    # save_embedding_layers: 'auto' would ask the hub for the base's config.
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    keep = {ADAPTER_WEIGHTS, ADAPTER_CONFIG}
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()
    if model.active_peft_config.task_type == "SEQ_CLS":
        model.get_base_model().config.to_json_file(folder / MODEL_CONFIG)  # names the labels


def load(model: Any, folder: Path) -> None:
    """Put weights that `write` or `save` left in `folder` into a model of the same shape. Raises BadModel."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if is_adapter(model):
            from peft.utils import set_peft_model_state_dict

            result: Any = set_peft_model_state_dict(model, load_file(folder / ADAPTER_WEIGHTS))
            # A prompt is loaded apart from the rest and then still counts as unexpected.
            wrong = [key for key in result.unexpected_keys if key != "prompt_embeddings"]
        else:
            state = {name: tensor for file in weight_files(folder) for name, tensor in load_file(file).items()}
            wrong = list(model.load_state_dict(state, strict=False).unexpected_keys)
            model.tie_weights()
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise BadModel(f"The weights in {folder} cannot be read or do not fit this base model.") from error
    if wrong:
        raise BadModel(f"The weights in {folder} are those of another model: {len(wrong)} do not fit.")


def save(model: Any, base: LoadedBase, run_dir: Path, template: str = "") -> Path:
    """Put what a run has learnt at `<run_dir>/adapter` or `<run_dir>/model`, whole or not at all; the folder.

    `template`: the user's own chat template that it was trained with, kept beside it."""
    name = ADAPTER_FOLDER if is_adapter(model) else MODEL_FOLDER
    temporary, folder = run_dir / f".{name}.tmp", run_dir / name
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        write(model, temporary)
        if getattr(model, "pissa_start", None):
            _as_plain_lora(model.pissa_start, temporary)
        if not is_adapter(model):
            base.tokenizer.save_pretrained(temporary)
        write_template(temporary, template)
        sync(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def result_hash(folder: Path) -> str:
    """SHA-256 (hex) of the weights in a run's `adapter` or `model`. Raises OSError."""
    return file_hash(weight_files(folder))


class Untuned:
    """The base model beside the tuned one: `with untuned() as model:` gives a model that answers as the base.

    An adapter is taken off for the while; after full fine-tuning the base is loaded a second time, once.
    """

    def __init__(self, model: Any, base: LoadedBase) -> None:
        self._model, self._base = model, base
        self._again: Any = None

    @contextmanager
    def __call__(self) -> Iterator[Any]:
        model = self._model
        if not is_adapter(model):
            self._again = self._again or load_again(self._base)
            yield self._again
        elif model.active_peft_config.is_prompt_learning:
            with _own_heads(model):
                yield model.get_base_model()
        elif getattr(model, "pissa_start", None):
            with _weights_for_a_while(model, model.pissa_start), _own_heads(model):
                yield model
        else:
            with model.disable_adapter():
                yield model


def _all_weights(model: Any) -> Any:
    model.float().requires_grad_(True)
    return model


def _config(base: LoadedBase, spec: TrainSpec) -> Any:
    """The peft config of a fresh adapter. Raises BadSpec."""
    import peft

    heads = [name.rsplit(".", 1)[-1] for name in dict.fromkeys([*head_names(base.model), *base.fresh])]
    common: dict[str, Any] = {"task_type": _TASKS[base.family]}
    if base.family == "encoder":
        common["modules_to_save"] = heads
    if spec.method == "prompt":
        if base.family == "seq2seq":
            common["num_transformer_submodules"] = 1  # in front of the encoder's input alone
        # Vectors of real words: a random prompt lies far from anything that the model has read.
        return peft.PromptTuningConfig(
            num_virtual_tokens=spec.prompt_tokens, prompt_tuning_init="SAMPLE_VOCAB", **common
        )
    if spec.method == "ia3":
        chosen, inside = targets.for_ia3(base, spec)
        return peft.IA3Config(target_modules=chosen, feedforward_modules=inside, **common)
    common["target_modules"] = targets.for_lora(base, spec)
    if spec.method == "vera":
        # The shared random projections are saved too, so that the file means the same on every machine.
        return peft.VeraConfig(
            r=spec.lora_rank,
            vera_dropout=spec.lora_dropout,
            projection_prng_key=spec.seed,
            save_projection=True,
            **common,
        )
    return peft.LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha,  # type: ignore[arg-type]  # peft only divides it by r
        lora_dropout=spec.lora_dropout,
        bias="none",
        use_rslora=spec.method == "rslora",
        use_dora=spec.method == "dora",
        init_lora_weights=_PISSA if spec.method == "pissa" else True,
        **common,
    )


def _continued(spec: TrainSpec) -> Any:
    """The peft config of the run that this one goes on from. Raises BadModel, BadSpec."""
    from peft import PeftConfig

    folder = spec.start_from
    assert folder is not None
    try:
        config = PeftConfig.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadModel(f"{folder} holds no adapter that can be gone on from: choose another run.") from error
    kinds = {"vera": "VERA", "ia3": "IA3", "prompt": "PROMPT_TUNING"}
    if config.peft_type != kinds.get(spec.method, "LORA"):
        raise BadSpec(f"The run to go on from was not trained by {METHODS[spec.method].title}: choose its own method.")
    config.inference_mode = False
    return config


def _check_labels(base: LoadedBase, start_from: Path) -> None:
    """Raise BadSpec where the run to go on from knows other labels, or knows them in another order."""
    had = labels_of(read_config(start_from, str(start_from)))
    if had is None or (had.names, had.several) != (base.labels, base.several):
        raise BadSpec("The run to go on from knows other labels than this snapshot has: start from the base model.")


def _fast(model: Any, base: LoadedBase, spec: TrainSpec) -> Any:
    """How many times faster than the learning rate a weight of a given name learns."""
    if spec.method == "lora-plus":
        return lambda name: spec.lora_plus_ratio if re.search(r"\.lora_(embedding_)?B\.", name) else 1.0
    if spec.method == "full" and base.fresh and not spec.start_from:
        heads = tuple(f"{name}." for name in base.fresh)
        return lambda name: HEAD_RATIO if name.startswith(heads) else 1.0
    return lambda name: 1.0


def _write_model(model: Any, folder: Path) -> None:
    model.save_pretrained(str(folder), safe_serialization=True)


def _lora_weights(model: Any) -> dict[str, Tensor]:
    """Copies of A and B of each layer, by the names that the adapter file has."""
    return {name: weight.detach().clone() for name, weight in _lora_parameters(model)}


def _lora_parameters(model: Any) -> Iterator[tuple[str, Tensor]]:
    middle = f".{model.active_adapter}."
    for name, weight in model.named_parameters():
        if ".lora_" in name and middle in name:
            yield name.replace(middle, "."), weight


@contextmanager
def _weights_for_a_while(model: Any, weights: dict[str, Tensor]) -> Iterator[None]:
    before = _lora_weights(model)
    for name, weight in _lora_parameters(model):
        weight.data.copy_(weights[name])
    try:
        yield
    finally:
        for name, weight in _lora_parameters(model):
            weight.data.copy_(before[name])


@contextmanager
def _own_heads(model: Any) -> Iterator[None]:
    """The heads of the base in the place of those that learn beside an adapter."""
    from peft.utils import ModulesToSaveWrapper

    heads = [module for module in model.modules() if isinstance(module, ModulesToSaveWrapper)]
    for head in heads:
        head.enable_adapters(False)
    try:
        yield
    finally:
        for head in heads:
            head.enable_adapters(True)


def _as_plain_lora(start: dict[str, Tensor], folder: Path) -> None:
    """Rewrite a PiSSA adapter as plain LoRA on the base as it is: W + AB - A0B0, of twice the rank (Meng et al. 2024,
    appendix C)."""
    from safetensors.torch import load_file, save_file

    state = load_file(folder / ADAPTER_WEIGHTS)
    for name, tensor in state.items():
        if name in start:
            first = start[name].to(tensor)
            is_b = ".lora_B." in name
            state[name] = torch.cat([tensor, -first] if is_b else [tensor, first], dim=1 if is_b else 0).contiguous()
    save_file(state, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config |= {"r": 2 * config["r"], "lora_alpha": 2 * config["lora_alpha"], "init_lora_weights": True}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
