"""Rendered splits kept on disk: a second run on the same snapshot and tokenizer begins without tokenising anything.

A file is named by a digest of all that its rows depend on (the split's bytes, the tokenizer with its template, lengths,
labels, and our own code that renders), holds plain arrays and JSON, and is put in place whole or not at all. A file
that cannot be read is made again. What it leaves out: pairs of preferences, and tokenizers without a fast backend.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import torch

from studio.contract.chat import Message
from studio.contract.spec import BASE_ENCODER, TrainSpec
from studio.models.loading import LoadedBase, load_tokenizer, pick_family, read_config, resolve
from studio.models.templates import use_template
from studio.training.data import Row, Split
from studio.training.stop import Stopped

FOLDER = "tokenised"
KEPT = 48
"""Files that are kept, the newest ones; a split of ten thousand short rows takes 4 MB."""

_CODE = ("contract", "training/data.py", "training/families", "training/cache.py", "models/classify.py")

Reader = Callable[[LoadedBase, TrainSpec, str, int, bool], Split]


def cached_read(
    read: Reader, base: LoadedBase, spec: TrainSpec, name: str, max_length: int, keep_messages: bool = False
) -> Split:
    """`read(base, spec, name, max_length, keep_messages)`, from the cache in `spec.models` where it is.

    Raises what `read` raises; a full or read-only disk only means that nothing is kept.
    """
    path = _path(base, spec, name, max_length, keep_messages)
    if path is None:
        return read(base, spec, name, max_length, keep_messages)
    found = _load(path, name)
    if found is None:
        found = read(base, spec, name, max_length, keep_messages)
        with suppress(OSError):
            _store(path, found)
    return found


class Ahead:
    """Renders splits into the cache on a thread of its own while the weights of a model are being loaded."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=self._run, args=(work,), name="rendering ahead", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when it is through, however that ended."""
        self._thread.join()

    def _run(self, work: Callable[[], object]) -> None:
        with suppress(Exception, Stopped):  # it will be met again, and told, by whoever needs the rows
            work()


def _path(base: LoadedBase, spec: TrainSpec, name: str, max_length: int, keep_messages: bool) -> Path | None:
    backend = getattr(base.tokenizer, "backend_tokenizer", None)
    if backend is None or spec.objective != "sft":
        return None
    template = str(base.tokenizer.chat_template or "")
    try:
        split = hashlib.sha256((spec.snapshot / f"{name}.parquet").read_bytes()).hexdigest()
    except OSError:
        return None
    known = {
        "split": [name, split, keep_messages],
        "tokenizer": hashlib.sha256(backend.to_str().encode()).hexdigest(),
        "special": {key: str(value) for key, value in base.tokenizer.special_tokens_map.items()},
        "template": template,
        # A template that shows the date renders other tokens tomorrow.
        "day": date.today().isoformat() if "strftime_now" in template else "",
        "fields": [
            max_length,
            spec.max_length,
            spec.overlong,
            base.family,
            spec.prompt_tokens,
            spec.method == "prompt",
        ],
        "labels": [list(getattr(base, "labels", ())), bool(getattr(base, "several", False))],
        "code": [_code_digest(), version("transformers"), version("tokenizers")],
    }
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return spec.models / FOLDER / f"{digest[:40]}.npz"


def _code_digest() -> str:
    root = Path(__file__).resolve().parents[1]
    hasher = hashlib.sha256()
    for part in _CODE:
        path = root / part
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            hasher.update(file.read_bytes() if file.is_file() else b"")
    return hasher.hexdigest()


def _store(path: Path, split: Split) -> None:
    rows = split.rows
    if any(type(row) is not Row for row in rows):
        return
    turns: list[object] = [[[m.role, m.content, m.train, m.extra] for m in row.messages] for row in rows]
    words: dict[str, object] = {
        "left_out": split.left_out,
        "messages": turns if any(turns) else [],
        "tools": [row.tools for row in rows],
    }
    words["shortened"] = split.shortened
    arrays = {
        "numbers": np.asarray([row.number for row in rows], dtype=np.int64),
        "ids": _joined([row.ids for row in rows]),
        "id_ends": _ends([row.ids for row in rows]),
        "labels": _joined([row.labels for row in rows]),
        "label_ends": _ends([row.labels for row in rows]),
        "words": np.frombuffer(json.dumps(words).encode(), dtype=np.uint8),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    _forget_oldest(path.parent)


def _load(path: Path, name: str) -> Split | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {key: file[key] for key in file.files}
        words = json.loads(held["words"].tobytes().decode())
        ids = np.split(held["ids"], held["id_ends"][:-1])
        labels = np.split(held["labels"], held["label_ends"][:-1])
        turns = words["messages"] or [[]] * len(held["numbers"])
        rows = [
            Row(int(number), own, targets, tuple(Message(*turn) for turn in messages), str(tools))
            for number, own, targets, messages, tools in zip(
                held["numbers"], ids, labels, turns, words["tools"], strict=True
            )
        ] if len(held["numbers"]) else []  # fmt: skip
        path.touch()
        left_out = {str(reason): list(numbers) for reason, numbers in words["left_out"].items()}
        return Split(name, rows, left_out, list(words["shortened"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _joined(parts: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)


def _ends(parts: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int64]:
    return np.cumsum([len(part) for part in parts], dtype=np.int64)


def _forget_oldest(folder: Path) -> None:
    def age(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:
            return 0.0

    for path in sorted(folder.glob("*.npz"), key=age, reverse=True)[KEPT:]:
        path.unlink(missing_ok=True)


def render_ahead(spec: TrainSpec, read_all: Callable[[LoadedBase], object]) -> Ahead | None:
    """Begin rendering before the weights are there: `read_all` gets a base whose model is its config and nothing else.

    The base model's folder is made ready first (a starter's conversion, a download). None where it would be of no use:
    preferences are not cached, and an encoder loads in a second.
    """
    if spec.objective != "sft" or spec.base_model == BASE_ENCODER:
        return None
    folder = resolve(spec.models, spec.base_model)

    def work() -> None:
        config = read_config(folder, spec.base_model)
        family = pick_family(config) if spec.family == "auto" else spec.family
        if family == "encoder":
            return
        tokenizer = load_tokenizer(folder, spec.base_model)
        use_template(tokenizer, spec.chat_template)
        model = SimpleNamespace(config=config)
        cpu = torch.device("cpu")
        read_all(LoadedBase(model, tokenizer, folder, spec.base_model, "", cpu, torch.float32, family))

    return Ahead(work)
