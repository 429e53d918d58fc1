"""A run's model as it was trained, with the rows that it learnt from; and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.chat import Message
from studio.contract.events import newest
from studio.contract.spec import TrainSpec, read_train_spec
from studio.errors import BadFile, BadInput, BadModel, NotFound
from studio.models.answers import context_window
from studio.models.classify import text_window
from studio.models.hashes import file_hash
from studio.models.loading import LoadedBase, load_base, weight_files
from studio.models.templates import use_template
from studio.training import families
from studio.training.cache import cached_read
from studio.training.data import Row
from studio.training.families.labels import snapshot_labels
from studio.training.methods import ADAPTER_FOLDER, MODEL_FOLDER, attach, load

QUERY = "query"
"""Name of the split that holds a question, as `<folder>/query.parquet`."""


@dataclass(frozen=True)
class Tuned:
    """A finished run's model, ready for gradients; `weights_hash` is of what it has learnt."""

    model: Any
    base: LoadedBase
    spec: TrainSpec
    ways: families.FamilyWays
    weights_hash: str

    def rows(self) -> dict[int, Row]:
        """The rows that the run learnt from, by their number in the train split. Raises BadFile."""
        found = cached_read(self.ways.read, self.base, self.spec, "train", self._most())
        return {row.number: row for row in found.rows}

    def row(self, folder: Path, turns: Sequence[Message], answer: str) -> Row:
        """A question with an answer as a row like those of training; written to `folder` on the way.

        Raises BadInput where the model can have no such row: a label that it does not know, or too long an answer.
        """
        said = [*turns, Message("assistant", answer)]
        conversation = [{"role": one.role, "content": one.content, "train": one is said[-1]} for one in said]
        turn = pa.struct([("role", pa.string()), ("content", pa.string()), ("train", pa.bool_())])
        pq.write_table(pa.table({"messages": pa.array([conversation], pa.list_(turn))}), folder / f"{QUERY}.parquet")
        asked = self.spec.model_copy(update={"snapshot": folder, "overlong": "cut-prompt"})
        found = self.ways.read(self.base, asked, QUERY, self._most())
        if not found.rows:
            reason = next(iter(found.left_out), "it is empty")
            raise BadInput(f"Gradients cannot be taken of this answer ({reason}): ask about another.")
        return found.rows[0]

    def answer(self, turns: Sequence[Message], tokens: int) -> str:
        """What the model answers, greedily."""
        asked = Row(1, *_nothing(), messages=(*turns, Message("assistant", "")))
        return self.ways.answers(self.model, self.base, [asked], tokens)[0]

    @property
    def has_start(self) -> bool:
        """Whether the adapter can be put back to before it had learnt anything."""
        return bool(self._second_halves())

    @contextmanager
    def at(self, point: str) -> Iterator[None]:
        """The model at the "end" of training, or at its "start": a LoRA adapter begins with B = 0."""
        held = [] if point == "end" else [(weight, weight.detach().clone()) for weight in self._second_halves()]
        for weight, _ in held:
            weight.data.zero_()
        try:
            yield
        finally:
            for weight, before in held:
                weight.data.copy_(before)

    def _second_halves(self) -> list[Any]:
        return [weight for name, weight in self.model.named_parameters() if ".lora_B." in name]

    def _most(self) -> int:
        """Tokens that a row may have, as in training."""
        encoder = self.base.family == "encoder"
        model = self.base.model
        window = text_window(model, self.base.tokenizer) if encoder else context_window(model)
        if window is None:
            return self.spec.max_length
        return min(self.spec.max_length, window - self.spec.prompt_tokens * (self.spec.method == "prompt"))


def weights_folder(run: Path) -> Path:
    """Where a run keeps what it has learnt. Raises NotFound before it has any."""
    for name in (ADAPTER_FOLDER, MODEL_FOLDER):
        if (run / name).is_dir():
            return run / name
    raise NotFound("This run has no fine-tuned weights yet: let it finish first.")


def load_tuned(run: Path, device: str = "auto") -> Tuned:
    """The model of a run with what it has learnt, in evaluation mode. Raises BadModel, BadSpec, BadFile, NotFound."""
    folder, spec = weights_folder(run), read_train_spec(run)
    if not (spec.snapshot / "train.parquet").is_file():
        raise BadFile(f"The files of this run's snapshot are gone from {spec.snapshot}: freeze it again.")
    base = load_base(
        *(spec.models, spec.base_model, device, spec.dtype, spec.family),
        labels=lambda: snapshot_labels(spec.snapshot),
        seed=spec.seed,
        four_bit=spec.method == "qlora",
    )
    if newest(run, "base_hash") not in (None, base.weights_hash):
        raise BadModel(f"'{base.name}' has other weights now than when this run was trained: put the old ones back.")
    use_template(base.tokenizer, spec.chat_template)
    if folder.name == MODEL_FOLDER:
        model = base.model.float().requires_grad_(True)
        load(model, folder)
    else:
        model = attach(base, spec.model_copy(update={"start_from": folder}))
    weights_hash = file_hash(weight_files(folder))
    return Tuned(model.eval(), base, spec, families.of(base.family), weights_hash)


def _nothing() -> tuple[Any, Any]:
    import numpy as np

    return np.empty(0, np.int32), np.empty(0, np.int32)
