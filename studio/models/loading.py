"""From the name of a base model to a model in memory: `resolve` finds the folder, `load_base` loads it.

Only safetensors weights, never remote code. What it leaves out: models spread over several devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch

from studio.contract.chat import PLAIN_TEMPLATE
from studio.contract.spec import BASE_ENCODER, STARTER, Family
from studio.errors import BadModel, BadSpec
from studio.models import hub
from studio.models.devices import pick_device, pick_dtype
from studio.models.encoders import encoder_folder
from studio.models.folders import check_folder, weight_files
from studio.models.hashes import adapter_hash, file_hash
from studio.models.heads import LabelSet, head_names, labels_of, make_fresh, name_labels
from studio.models.starters import ensure_starter

__all__ = ["LoadedBase", "adapter_hash", "file_hash", "load_base", "pick_device", "pick_dtype", "resolve"]


@dataclass(frozen=True)
class LoadedBase:
    """A base model in memory. `weights_hash` is the SHA-256 of its safetensors files, `name` what was asked for.

    `labels`: of an encoder, the texts of its classes in the order of its logits; `several`: whether a text has any
    number of them instead of one; `fresh`: the names of modules that are not in the folder and were made by `seed`.
    """

    model: Any
    tokenizer: Any
    folder: Path
    name: str
    weights_hash: str
    device: torch.device
    dtype: torch.dtype
    family: Family = "causal"
    labels: tuple[str, ...] = ()
    several: bool = False
    fresh: tuple[str, ...] = ()
    seed: int = 0


def resolve(models_dir: Path, base_model: str) -> Path:
    """The folder of a starter, of a local folder or of a Hub id, checked to hold config and safetensors weights.

    May convert the starter (20 s) or download from the hub. Raises BadModel or DiskFull with one sentence.
    """
    name = base_model.strip()
    if name == STARTER:
        return ensure_starter(models_dir)
    if name == BASE_ENCODER:
        return encoder_folder()
    try:
        folder = Path(name).expanduser()
        if folder.is_dir():
            check_folder(folder, name)
            return folder.resolve()
    except (OSError, ValueError, RuntimeError):
        raise BadModel(f"The base model '{name}' is no usable path: give 'starter', a folder or a Hub id.") from None
    if not hub.is_hub_id(name):
        raise BadModel(f"There is no model folder '{name}': give 'starter', a folder or a Hub id such as owner/name.")
    return _from_hub(name)


def load_base(
    models_dir: Path,
    base_model: str,
    device: str = "auto",
    dtype: str = "auto",
    family: str = "auto",
    labels: Callable[[], LabelSet] | None = None,
    seed: int = 0,
    four_bit: bool = False,
) -> LoadedBase:
    """Load a model and its tokenizer, in evaluation mode, weights frozen.

    `family` "auto": as its config says. `labels`: asked, of an encoder alone, for the classes of its head; without it
    the head is the one in the folder. A head whose labels are other ones is made anew, at random by `seed`.
    `four_bit`: weights as NF4 (bitsandbytes; CUDA only). The tokenizer always has a pad token and a chat template
    afterwards. Raises BadModel, BadSpec or DiskFull.
    """
    where = pick_device(device)
    kind = pick_dtype(dtype, where)
    folder = resolve(models_dir, base_model)
    tokenizer = load_tokenizer(folder, base_model)
    config = read_config(folder, base_model)
    told = pick_family(config) if family == "auto" else cast(Family, family)
    wanted = labels() if labels and told == "encoder" else None
    model, fresh = _load_model(folder, base_model, config, told, where, kind, wanted, seed, four_bit)
    rows = int(model.get_input_embeddings().num_embeddings)
    if len(tokenizer) > rows and max(tokenizer.get_vocab().values()) >= rows:
        raise BadModel(f"The tokenizer of '{base_model}' has more tokens than its weights ({len(tokenizer)} > {rows}).")
    weights = file_hash(weight_files(folder), cache_dir=models_dir)
    known = (labels_of(model.config) if told == "encoder" else None) or LabelSet(())
    return LoadedBase(
        model, tokenizer, folder, base_model, weights, where, kind, told, known.names, known.several, fresh, seed
    )


def load_again(base: LoadedBase) -> Any:
    """The model of a base as it was loaded, a second time: for whoever has changed the weights of the first."""
    labels = LabelSet(base.labels, base.several) if base.labels else None
    config = read_config(base.folder, base.name)
    return _load_model(base.folder, base.name, config, base.family, base.device, base.dtype, labels, base.seed)[0]


def pick_family(config: Any) -> Family:
    """The family of an architecture, by its config alone."""
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    )

    kind, named = type(config), [str(name) for name in getattr(config, "architectures", None) or ()]
    if any(name.endswith("ForSequenceClassification") for name in named):
        return "encoder"
    if getattr(config, "is_encoder_decoder", False):
        return "seq2seq"
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in named):
        return "causal"
    classifies = kind in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    # BERT and its like can be made decoders, but nobody means that who does not say so.
    writes = kind in MODEL_FOR_CAUSAL_LM_MAPPING and (
        kind not in MODEL_FOR_MASKED_LM_MAPPING or getattr(config, "is_decoder", False)
    )
    return "encoder" if classifies and not writes else "causal"


def load_tokenizer(folder: Path, name: str) -> Any:
    """The tokenizer of a model folder, with pad token and chat template. Raises BadModel."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception for a damaged file
        raise BadModel(f"The tokenizer of '{name}' cannot be read ({_short(error)}).") from error
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token is None:
        spare = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
        if spare is None:
            raise BadModel(f"The tokenizer of '{name}' has no tokens.")
        tokenizer.pad_token = spare
    return tokenizer


def _from_hub(hub_id: str) -> Path:
    folder = hub.cached(hub_id)
    if folder is not None:
        try:
            check_folder(folder, hub_id)
            return folder
        except BadModel:
            pass  # an interrupted download: fetch the rest
    folder = hub.download(hub_id)
    check_folder(folder, hub_id)
    return folder


def read_config(folder: Path, name: str) -> Any:
    """The transformers config of a model folder. Raises BadModel."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # unknown architectures and damaged values fail in many ways
        raise BadModel(f"'{name}' cannot be loaded as a language model ({_short(error)}).") from error


def _load_model(
    folder: Path,
    name: str,
    config: Any,
    family: Family,
    device: torch.device,
    dtype: torch.dtype,
    labels: LabelSet | None = None,
    seed: int = 0,
    four_bit: bool = False,
) -> tuple[Any, tuple[str, ...]]:
    """The model, and the names of its modules that are not in the folder and were made at random."""
    loader, mapping = _loader(family)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    # Named, so that no config.json can choose a kernel from the hub; a few architectures (Gemma 2) have only eager.
    fast = getattr(mapping.get(type(config), None), "_supports_sdpa", False)
    options["attn_implementation"] = "sdpa" if fast else "eager"
    if four_bit:
        options |= _four_bit(device, dtype)
    new_head = family == "encoder" and labels is not None and not _same(labels_of(config), labels)
    if new_head and labels is not None:
        name_labels(config, labels)
        options["ignore_mismatched_sizes"] = True
    loaded: Any
    try:
        loaded = loader.from_pretrained(folder, config=config, **options, **safe)
        model, missing = (loaded[0] if four_bit else loaded[0].to(device)), loaded[1]["missing_keys"]
    except torch.OutOfMemoryError as error:
        raise BadModel(f"'{name}' does not fit into the memory of this device: choose a smaller model.") from error
    except Exception as error:  # a foreign folder fails in many ways; the cause is kept for the log
        raise BadModel(f"'{name}' cannot be loaded as {_KINDS[family]} ({_short(error)}).") from error
    fresh = _fresh(model, missing, new_head) if family == "encoder" else ()
    missing = [key for key in missing if not any(key.startswith(f"{module}.") for module in fresh)]
    if missing:
        # transformers would fill them with random numbers and go on.
        raise BadModel(f"'{name}' has no weights for {len(missing)} of its tensors, such as {min(missing)}.")
    make_fresh(model, fresh, seed)
    model.requires_grad_(False)
    return model.eval(), fresh


_KINDS: dict[Family, str] = {
    "causal": "a causal language model",
    "seq2seq": "a seq2seq model",
    "encoder": "an encoder that classifies",
}


def _loader(family: Family) -> tuple[Any, Any]:
    """The class that loads a family, and its mapping of configs to models."""
    import transformers as hf

    if family == "seq2seq":
        return hf.AutoModelForSeq2SeqLM, hf.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    if family == "encoder":
        return hf.AutoModelForSequenceClassification, hf.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    return hf.AutoModelForCausalLM, hf.MODEL_FOR_CAUSAL_LM_MAPPING


def _four_bit(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Options that load weights as NF4 with double quantisation (Dettmers et al. 2023). Raises BadSpec."""
    if device.type != "cuda":
        raise BadSpec("QLoRA needs a CUDA GPU: choose method lora, or full on a small model.")
    if find_spec("bitsandbytes") is None:
        raise BadSpec("QLoRA needs the package bitsandbytes: install it (`pip install bitsandbytes`) or choose lora.")
    from transformers import BitsAndBytesConfig

    made = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": made, "device_map": {"": device.index or 0}}


def _same(had: LabelSet | None, wanted: LabelSet) -> bool:
    return had is not None and had.several == wanted.several and set(had.names) == set(wanted.names)


def _fresh(model: Any, missing: Sequence[str], new_head: bool) -> tuple[str, ...]:
    """Head, and pooler before it, where the folder has none or one for other labels."""
    absent = [name for name in head_names(model) if new_head or any(key.startswith(f"{name}.") for key in missing)]
    pooler = f"{model.base_model_prefix}.pooler"
    return (*absent, *([pooler] if any(key.startswith(f"{pooler}.") for key in missing) else []))


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    first = lines[0].rstrip(".: ") if lines else ""
    return f"{type(error).__name__}: {first[:160]}" if first else type(error).__name__
