"""From the name of a base model to a model in memory: `resolve` finds the folder, `load_base` loads it.

Only safetensors weights, never remote code. What it leaves out: quantised loading, models spread over several devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from studio.contract.chat import PLAIN_TEMPLATE
from studio.contract.spec import STARTER
from studio.errors import BadModel
from studio.models import hub
from studio.models.devices import pick_device, pick_dtype
from studio.models.folders import check_folder, weight_files
from studio.models.hashes import adapter_hash, file_hash
from studio.models.starters import ensure_starter

__all__ = ["LoadedBase", "adapter_hash", "file_hash", "load_base", "pick_device", "pick_dtype", "resolve"]


@dataclass(frozen=True)
class LoadedBase:
    """A base model in memory. `weights_hash` is the SHA-256 of its safetensors files, `name` what was asked for."""

    model: Any
    tokenizer: Any
    folder: Path
    name: str
    weights_hash: str
    device: torch.device
    dtype: torch.dtype


def resolve(models_dir: Path, base_model: str) -> Path:
    """The folder of `starter`, of a local folder or of a Hub id, checked to hold config and safetensors weights.

    May convert the starter (20 s) or download from the hub. Raises BadModel or DiskFull with one sentence.
    """
    name = base_model.strip()
    if name == STARTER:
        return ensure_starter(models_dir)
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


def load_base(models_dir: Path, base_model: str, device: str = "auto", dtype: str = "auto") -> LoadedBase:
    """Load a causal language model and its tokenizer, in evaluation mode, weights frozen.

    The tokenizer always has a pad token and a chat template afterwards. Raises BadModel, BadSpec or DiskFull.
    """
    where = pick_device(device)
    kind = pick_dtype(dtype, where)
    folder = resolve(models_dir, base_model)
    tokenizer = load_tokenizer(folder, base_model)
    model = _load_model(folder, base_model, where, kind)
    rows = int(model.get_input_embeddings().num_embeddings)
    if len(tokenizer) > rows and max(tokenizer.get_vocab().values()) >= rows:
        raise BadModel(f"The tokenizer of '{base_model}' has more tokens than its weights ({len(tokenizer)} > {rows}).")
    weights = file_hash(weight_files(folder), cache_dir=models_dir)
    return LoadedBase(model, tokenizer, folder, base_model, weights, where, kind)


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


def _load_model(folder: Path, name: str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    loaded: Any
    try:
        config = AutoConfig.from_pretrained(folder, **safe)
        # Named, so that no config.json can choose a kernel from the hub; a few architectures (Gemma 2) have only eager.
        fast = getattr(MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None), "_supports_sdpa", False)
        options["attn_implementation"] = "sdpa" if fast else "eager"
        loaded = AutoModelForCausalLM.from_pretrained(folder, **options, **safe)
        model, missing = loaded[0].to(device), loaded[1]["missing_keys"]
    except torch.OutOfMemoryError as error:
        raise BadModel(f"'{name}' does not fit into the memory of this device: choose a smaller model.") from error
    except Exception as error:  # a foreign folder fails in many ways; the cause is kept for the log
        raise BadModel(f"'{name}' cannot be loaded as a causal language model ({_short(error)}).") from error
    if missing:
        # transformers would fill them with random numbers and go on.
        raise BadModel(f"'{name}' has no weights for {len(missing)} of its tensors, such as {min(missing)}.")
    model.requires_grad_(False)
    return model.eval()


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    first = lines[0].rstrip(".: ") if lines else ""
    return f"{type(error).__name__}: {first[:160]}" if first else type(error).__name__
