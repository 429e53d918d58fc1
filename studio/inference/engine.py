"""The engine: one base model in memory and what was trained from it, answers written in batches, piece by piece.

Rows of the base, of plain LoRA and of prompt tuning share one batch; any other run answers its rows in a batch of
their own, and the batches take turns. What it leaves out: threads and queues (batcher.py), HTTP (server.py). Sampling
settings come from the request alone; those in a model's generation_config (temperature, repetition penalty) are not
applied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from studio.contract.spec import EngineSpec
from studio.inference.adapters import BASE, AdapterShelf, shares_batch
from studio.inference.aside import lay_aside
from studio.inference.configs import read_adapter_config
from studio.inference.decode import Through
from studio.inference.guide import json_guide
from studio.inference.others import Others
from studio.inference.places import available, find
from studio.inference.reading import plain_prompt, read_prompt
from studio.inference.request import Delta, Finished, GenerationRequest, NoMemory, PromptRefused, answer_limit
from studio.inference.running import Prepared, Running
from studio.inference.served import NoClassifier, Served, serve
from studio.inference.skinny import speed_up
from studio.models.loading import LoadedBase, load_base

__all__ = ["Delta", "Engine", "Finished", "GenerationRequest", "Prepared"]


@dataclass(frozen=True, eq=False)
class _Source:
    """What answers a request, with the names of its weights."""

    served: Served
    tokenizer: Any
    ends: frozenset[int]
    slot: str = BASE
    prefix: torch.Tensor | None = None
    hash: str | None = None
    whole: bool = False


class Engine:
    """Generates answers of `base` and of the runs in `runs`. For use by one thread at a time.

    `models` is the studio's folder of models, where hashes of large files are remembered.
    """

    def __init__(self, base: LoadedBase, runs: Path, models: Path | None = None) -> None:
        self.base = base
        self.runs = runs
        models = models or runs.parent / "models"
        self.fast_rows = speed_up(base.model)
        if self.fast_rows:
            lay_aside(base.model, models)
        self.others = Others(base, models)  # before the shelf puts layers into the base
        self.adapters = AdapterShelf(base, runs)
        self.shared = serve(base)

    @classmethod
    def load(cls, spec: EngineSpec) -> Engine:
        """The engine of a spec. Takes seconds to minutes. Raises BadModel, BadSpec or DiskFull."""
        base = load_base(spec.models, spec.base_model, spec.device, spec.dtype)
        return cls(base, spec.runs, spec.models)

    @property
    def loaded(self) -> list[tuple[str, str]]:
        """Run id and hash of everything in memory beside the base."""
        return [*((adapter.run, adapter.hash) for adapter in self.adapters.loaded), *self.others.loaded]

    def available(self) -> list[str]:
        """Run ids that have weights on the disk."""
        return available(self.runs)

    def rest(self) -> None:
        """Give back memory that nobody has used for long. Call it when nothing is asked."""
        self.others.trim()

    def prepare(self, request: GenerationRequest) -> Prepared:
        """Render the prompt and load the weights asked for. Raises BadInput or NotFound with one sentence."""
        source = self._source(request.adapter)
        served = source.served
        try:
            ids = _read(served, request, source.tokenizer)
        except (TemplateError, ValueError) as error:
            what = "The chat template of this model refuses these messages" if request.prompt is None else "No prompt"
            raise PromptRefused(f"{what}: {error}.") from None
        if not ids:
            raise PromptRefused("The prompt is empty: write a message.")
        tokens = len(ids) + (0 if source.prefix is None else len(source.prefix))
        limit = answer_limit(served.context, tokens, request.max_tokens, served.family == "causal")
        names = (request.adapter, source.hash, source.whole)
        told = (source.ends, source.tokenizer, source.slot, source.prefix)
        guide = None if request.form is None else json_guide(served, request.form, source.ends)
        return Prepared(request, tuple(ids), served, limit, *told, *names, guide)

    def load_run(self, run: str) -> None:
        """Bring a run's weights into memory ahead of the first question. Raises BadInput, NotFound."""
        self._source(run)

    def _source(self, run: str | None) -> _Source:
        if run is None:
            if self.shared.family == "encoder" and not self.shared.labels:
                raise NoClassifier(
                    f"The base model '{self.base.name}' was never trained on any labels: ask a run of it instead."
                )
            return _Source(self.shared, self.shared.tokenizer, self.shared.ends)
        place = find(self.runs, run)
        stamp = place.stamp()
        config = None
        if not place.whole and not self.others.knows(place, stamp):
            known = self.adapters.knows(place, stamp)
            config = None if known else read_adapter_config(place, self.base.family)
            if config is None or shares_batch(config, self.base.family):
                adapter = self.adapters.take(place, config)
                names = (adapter.slot, adapter.prefix, adapter.hash)
                return _Source(self.shared, adapter.tokenizer, adapter.ends, *names)
        served, digest = self.others.take(place, stamp, config)
        return _Source(served, served.tokenizer, served.ends, BASE, served.prefix, digest, place.whole)

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Delta]:
        """Answer `requests` in one batch; pieces come as they are written, each row ends with its `done`.

        Raises BadInput or NotFound when one of them cannot be answered, before anything is generated.
        """
        return self.decode([self.prepare(request) for request in requests])

    def decode(
        self, rows: Sequence[Prepared], cancelled: Callable[[int], bool] | None = None, at_once: int | None = None
    ) -> Iterator[Delta]:
        """Answer `rows`, of each model at most `at_once` together (None: all): where one ends, the next joins.

        `cancelled(row)` is asked before every step. Raises BadInput when memory runs out.
        """
        groups: dict[Served, list[int]] = {}
        for number, row in enumerate(rows):
            groups.setdefault(row.served, []).append(number)
        most = at_once or len(rows)
        turns = [
            self._turns(self.running(served, most), rows, numbers, cancelled) for served, numbers in groups.items()
        ]
        try:
            while turns:
                for turn in list(turns):
                    deltas = next(turn, None)
                    if deltas is None:
                        turns.remove(turn)
                    else:
                        yield from deltas
        except torch.OutOfMemoryError:
            raise NoMemory("The device has no memory left for these answers: ask for fewer or shorter ones.") from None
        finally:
            self.trim()

    def running(self, served: Served, most: int) -> Running:
        """A model ready to answer rows, at most `most` of them together."""
        return Running(self.through(served), self.base.name, self.base.weights_hash, most)

    def trim(self, held: Collection[str] = ()) -> None:
        """Give back the memory of adapters and models that are not wanted; `held`: slots whose rows go on."""
        self.adapters.trim(held)
        self.others.trim()

    def _turns(
        self,
        running: Running,
        rows: Sequence[Prepared],
        numbers: Sequence[int],
        cancelled: Callable[[int], bool] | None,
    ) -> Iterator[list[Delta]]:
        """The pieces of the rows that one model answers, step by step."""
        for number in numbers:
            running.add(number, rows[number])
        while running.busy:
            gone = [row for row in running.rows if cancelled(row)] if cancelled else []
            yield running.drop(gone) if gone else running.turn()

    def through(self, served: Served) -> Through:
        """How the model of a prepared request is reached."""
        if served is not self.shared:
            return Through(served, lambda slots, inputs: served.model(**inputs), _plain_embed(served.model))
        return Through(served, self._forward, self._embed)

    def _forward(self, slots: Sequence[str], inputs: dict[str, Any]) -> Any:
        # Set at every step, because two generators of one engine may take turns.
        self.adapters.mixture.give(slots)
        return self.base.model(**inputs)

    def _embed(self, slots: Sequence[str], ids: torch.Tensor) -> torch.Tensor:
        self.adapters.mixture.give(slots)
        embedded: torch.Tensor = self.base.model.get_input_embeddings()(ids)
        return embedded


def _plain_embed(model: Any) -> Callable[[Sequence[str], torch.Tensor], torch.Tensor]:
    return lambda slots, ids: model.get_input_embeddings()(ids)


def _read(served: Served, request: GenerationRequest, tokenizer: Any) -> list[int]:
    if request.prompt is None:
        return read_prompt(served, request.messages, tokenizer)
    return plain_prompt(served, request.prompt, tokenizer)
