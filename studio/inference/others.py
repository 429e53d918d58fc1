"""What answers beside the base: twins of it with an adapter of their own, and whole models of full fine-tuning.

A whole model takes as much memory as the base, so it is loaded when first asked for and only where there is room; the
least used one makes way, and one that nobody asks for is dropped after some minutes.
"""

from __future__ import annotations

import gc
import json
import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from peft import PeftConfig

from studio.errors import BadInput, BadModel
from studio.inference.adapters import read_weights
from studio.inference.configs import labels_of
from studio.inference.places import Place, Stamp, check_base
from studio.inference.served import Served, serve
from studio.inference.skinny import speed_up
from studio.inference.twins import tuned_twin, twin
from studio.models.loading import LoadedBase, load_base

IDLE_SECONDS = 600.0
_SPARE = 1.25
"""Memory wanted over a model's weights: for the tokens of answers, and for what loading needs on the way."""
_HEADER_LIMIT = 100 << 20
_MOST_LAYERS = 2000
_TIED, _BUFFERS = 2, 10_000_000
"""How many times the numbers of its files a model may have (weights used twice are stored once), and tables beside."""


@dataclass
class _Kept:
    """A model in memory. `used` in monotonic seconds; `size` in bytes, 0 for a twin."""

    served: Served
    hash: str
    stamp: Stamp
    whole: bool
    used: float


class Others:
    """Models beside `base`; make it before any adapter has touched the base. Not for use by several threads at once.

    `free` tells the bytes of memory left on the base's device; `models` is the studio's folder of models.
    """

    def __init__(
        self,
        base: LoadedBase,
        models: Path,
        free: Callable[[], int] | None = None,
        keep: int = 16,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._base = base
        self._skeleton = twin(base.model)
        self._models = models
        self._free = free or (lambda: free_bytes(base.device))
        self._keep = keep
        self._idle_seconds = idle_seconds
        self._kept: dict[str, _Kept] = {}
        self._batch: set[str] = set()

    @property
    def loaded(self) -> list[tuple[str, str]]:
        """Run id and hash of each, the one used last at the end."""
        return [(run, kept.hash) for run, kept in self._kept.items()]

    def take(self, place: Place, stamp: Stamp, config: PeftConfig | None = None) -> tuple[Served, str]:
        """The model of a run and the hash of its weights, loaded now if it is not in memory or has changed.

        `config` is that of its adapter. Raises BadInput, NotFound.
        """
        kept = self._kept.pop(place.run, None)
        if kept is None or kept.stamp != stamp:
            del kept  # its memory may be needed
            check_base(place, self._base.name, self._base.weights_hash)
            kept = self._whole(place, stamp) if config is None else self._twin(place, stamp, config)
        kept.used = time.monotonic()
        self._kept[place.run] = kept
        self._batch.add(place.run)
        return kept.served, kept.hash

    def knows(self, place: Place, stamp: Stamp) -> bool:
        """Whether these very weights are in memory."""
        kept = self._kept.get(place.run)
        return kept is not None and kept.stamp == stamp

    def trim(self) -> None:
        """Drop the least used of too many, and whole models that were idle for long. Call it between batches only."""
        self._batch.clear()
        now = time.monotonic()
        idle = [run for run, kept in self._kept.items() if kept.whole and now - kept.used > self._idle_seconds]
        for run in [*idle, *list(self._kept)[: max(0, len(self._kept) - len(idle) - self._keep)]]:
            self._drop(run)

    def _twin(self, place: Place, stamp: Stamp, config: PeftConfig) -> _Kept:
        content, digest = read_weights(place)
        return _Kept(tuned_twin(self._base, self._skeleton, place, config, content), digest, stamp, False, 0.0)

    def _whole(self, place: Place, stamp: Stamp) -> _Kept:
        need = _checked_bytes(place, self._base.dtype)
        self._make_room(place, need)
        try:
            loaded = load_base(self._models, str(place.folder), self._base.device.type, _name(self._base.dtype))
        except BadModel as error:
            raise BadInput(str(error).replace(f"'{place.folder}'", f"The model of run '{place.run}'")) from error
        if place.stamp() != stamp:
            raise BadInput(f"The model of run '{place.run}' was replaced while it was read: ask again.")
        speed_up(loaded.model)
        return _Kept(serve(loaded), loaded.weights_hash, stamp, True, 0.0)

    def _make_room(self, place: Place, need: int) -> None:
        """Drop whole models, the least used first, until `need` bytes are free. Raises BadInput when they never are."""
        idle = [run for run, kept in self._kept.items() if kept.whole and run not in self._batch]
        while self._free() < need * _SPARE:
            if not idle:
                raise BadInput(
                    f"Run '{place.run}' is a whole model of {need / 1e9:.2g} GB, and beside its base model there is "
                    "no room for it now: ask it alone, or end what else uses the memory."
                )
            self._drop(idle.pop(0))

    def _drop(self, run: str) -> None:
        self._kept.pop(run, None)
        gc.collect()
        if self._base.device.type == "cuda":
            torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Bytes of memory left for a model on `device`."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _checked_bytes(place: Place, dtype: torch.dtype) -> int:
    """Bytes of a whole model's weights once loaded, from the files' headers.

    Raises BadInput for settings that do not go with the weights: transformers would make up, and find memory for, all
    that config.json asks for.
    """
    try:
        numbers = sum(math.prod(shape) for path in place.weights for shape in _shapes(path))
        asked = _asked_numbers(place)
    except BadInput:
        raise
    except Exception as error:  # foreign settings fail in many ways; the cause is kept for the log
        raise BadInput(f"The model of run '{place.run}' is damaged: train the run again or restore it.") from error
    if asked > _TIED * numbers + _BUFFERS:
        raise BadInput(f"The model of run '{place.run}' is damaged: its config.json asks for more than its weights.")
    return numbers * dtype.itemsize


def _asked_numbers(place: Place) -> int:
    """Numbers in the tensors of the model that config.json describes. Raises BadInput or ValueError."""
    import transformers

    fields = json.loads((place.folder / "config.json").read_text(encoding="utf-8"))
    if fields.get("auto_map") and fields.get("model_type") not in transformers.CONFIG_MAPPING:
        raise BadInput(f"The model of run '{place.run}' wants to run code of its own, which is never done here.")
    if fields.get("id2label"):
        labels_of(fields)
    if any("layer" in name and isinstance(value, int) and value > _MOST_LAYERS for name, value in fields.items()):
        raise ValueError("too many layers")
    config = transformers.AutoConfig.from_pretrained(place.folder, trust_remote_code=False, local_files_only=True)
    named = str((getattr(config, "architectures", None) or [""])[0])
    kind = getattr(transformers, named, None) if named.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise ValueError("unknown architecture")
    with torch.device("meta"):
        model = kind(config)
    return sum(tensor.numel() for tensor in [*model.parameters(), *model.buffers()])


def _shapes(path: Path) -> list[list[int]]:
    """The shapes of the tensors in a safetensors file: eight bytes of length, then a header in JSON."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _HEADER_LIMIT:
            raise ValueError("too long")
        header = json.loads(file.read(length))
    return [[int(size) for size in tensor["shape"]] for name, tensor in header.items() if name != "__metadata__"]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
