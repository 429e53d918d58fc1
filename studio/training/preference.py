"""Preference runs: pairs of a better and a worse answer, what the reference model makes of them, and how a run stands.

The reference is the model that the run begins with (the base, or the adapter it goes on from): the log-probabilities it
gives both answers are computed once, before the first step, and kept in the run's folder, so no second model is held
and a resumed run measures against the same. What it leaves out: the steps themselves, which TRL does (see
preference_trainers.py), and ties, which a snapshot never has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log1p
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from studio.contract.answers import with_flags
from studio.contract.chat import Message, Rendered, render, shortened
from studio.contract.spec import TrainSpec
from studio.errors import BadFile, BadSpec
from studio.models.loading import LoadedBase
from studio.training.data import IGNORED, Row, Split, refusal
from studio.training.families import FamilyWays, of
from studio.training.loss import RowLoss, row_losses
from studio.training.report import Report
from studio.training.stop import Stop

REFERENCE_FILE = "reference.safetensors"

Check = Callable[[], None]


@dataclass(frozen=True)
class Pair(Row):
    """A preference as token ids: the row itself is the prompt with the better answer, `other` the one with the worse.
    `split`: the name of the split that it is of."""

    other: Row | None = None
    split: str = ""

    def __len__(self) -> int:
        return len(self.ids) + (len(self.other.ids) if self.other else 0)

    @property
    def chosen(self) -> Row:
        """The prompt with the better answer."""
        return Row(self.number, self.ids, self.labels)

    @property
    def rejected(self) -> Row:
        """The prompt with the worse answer."""
        assert self.other is not None
        return self.other

    def prompt(self) -> list[int]:
        """Token ids of the prompt."""
        return [int(token) for token in self.ids[: int(np.argmax(self.labels != IGNORED))]]

    def answers(self) -> tuple[list[int], list[int]]:
        """Token ids of both answers, the better one first."""
        start = len(self.prompt())
        return self.ids[start:].tolist(), self.rejected.ids[start:].tolist()

    def behind(self, stranger: Pair) -> tuple[Row, Row]:
        """Both answers of another pair behind this pair's prompt."""
        prompt = self.prompt()
        return _row(prompt, stranger.answers()[0]), _row(prompt, stranger.answers()[1])


@dataclass(frozen=True)
class PairLoss(RowLoss):
    """The loss of a pair (`total`, one target) and its reward margin (see `pair_loss`)."""

    margin: float = 0.0


@dataclass(frozen=True)
class Known:
    """Log-probabilities in nats that the reference gives the answers of a pair, better and worse; `strangers`: those of
    the two answers that KTO sets behind its prompt (of `stranger`)."""

    chosen: float
    rejected: float
    strangers: tuple[float, float] = (0.0, 0.0)
    stranger: Pair | None = None


class Reference:
    """What the reference makes of the pairs of a run. Empty until `begin`."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Known] = {}

    def of(self, pair: Pair) -> Known:
        """What is known of a pair that was there when the run began."""
        return self._known[pair.split, pair.number]

    def begin(
        self,
        model: Any,
        run_dir: Path,
        spec: TrainSpec,
        base: LoadedBase,
        train: Sequence[Row],
        held: Sequence[Row],
        check: Check,
    ) -> None:
        """Compute the log-probabilities of all pairs, or read those that the run's folder has from its first start.

        `model` is what the run begins with, before any checkpoint is loaded into it.
        """
        pairs = [row for row in [*train, *held] if isinstance(row, Pair)]
        strangers = _strangers([row for row in train if isinstance(row, Pair)]) if spec.objective == "kto" else []
        name = _name(spec, base, pairs)
        found = _read(run_dir / REFERENCE_FILE, name)
        if found is None:
            found = _measure(model, pairs, strangers, int(base.tokenizer.pad_token_id), spec.batch_size, check)
            _write(run_dir / REFERENCE_FILE, found, name)
        chosen, rejected, better, worse = (found[key].tolist() for key in _KEYS)
        for at, pair in enumerate(pairs):
            self._known[pair.split, pair.number] = Known(chosen[at], rejected[at])
        for at, (pair, stranger) in enumerate(strangers):
            self._known[pair.split, pair.number] = replace(
                self.of(pair), strangers=(better[at], worse[at]), stranger=stranger
            )


@dataclass(frozen=True)
class PreferenceWays(FamilyWays):
    """The ways of pairs: rows, losses and answers, with the reference behind them. The steps themselves are TRL's."""

    reference: Reference = field(default_factory=Reference)

    def trainer(
        self, spec: TrainSpec, steps: int, output: Path, model: Any, base: LoadedBase, rows: Any, **rest: Any
    ) -> Any:
        """The trainer of such a run (see preference_trainers.make_trainer)."""
        from studio.training.preference_trainers import make_trainer  # TRL takes a second to import

        return make_trainer(spec, steps, output, model, base, rows, self.reference, **rest)


def ways_for(spec: TrainSpec, base: LoadedBase) -> FamilyWays:
    """The functions of a run: its family's, or those of pairs. Raises BadSpec, BadFile."""
    check_objective(spec, base)
    return of(base.family) if spec.objective == "sft" else _ways(spec)


def begin(
    ways: FamilyWays,
    model: Any,
    run_dir: Path,
    spec: TrainSpec,
    base: LoadedBase,
    train: Sequence[Row],
    held: Sequence[Row],
    report: Report,
    stop: Stop,
) -> None:
    """Ask the reference of a preference run, which is `model` as it is now; nothing for other runs."""
    if isinstance(ways, PreferenceWays):
        report.state("loading", f"Asking the reference model about {len(train) + len(held)} pairs")
        ways.reference.begin(model, run_dir, spec, base, train, held, stop.check)


def check_objective(spec: TrainSpec, base: LoadedBase) -> None:
    """Raise BadSpec where objective, model and snapshot do not go together."""
    preferences = has_preferences(spec.snapshot)
    if spec.objective == "sft":
        if preferences:
            raise BadSpec(
                "This snapshot holds preferences: set objective to dpo, ipo or kto (or freeze a project of pairs)."
            )
        return
    if base.family != "causal":
        raise BadSpec(
            f"Objective {spec.objective} needs a causal language model, and '{base.name}' is none: choose one."
        )
    if not preferences:
        raise BadSpec(
            f"Objective {spec.objective} learns from preferences, and this snapshot has none: set objective to sft, or "
            "freeze a project whose task is preference."
        )


def has_preferences(snapshot: Path) -> bool:
    """Whether the rows of a snapshot have a worse answer beside the better one. Raises BadFile."""
    try:
        with pq.ParquetFile(snapshot / "train.parquet") as file:
            if "rejected" not in file.schema_arrow.names:
                return False
            batches = file.iter_batches(batch_size=4096, columns=["rejected"])
            return any(batch.column(0).null_count < len(batch) for batch in batches)
    except (pa.ArrowException, OSError):
        raise BadFile(f"{snapshot}/train.parquet cannot be read: make the snapshot again.") from None


def pair_loss(spec: TrainSpec, known: Known, chosen: RowLoss, rejected: RowLoss) -> PairLoss:
    """The loss of one pair from its summed losses in nats, and its reward margin: beta times how much further the
    model prefers the better answer than the reference does.

    dpo: Rafailov et al. 2023, eq. 7. ipo: Azar et al. 2023, eq. 17, with means a token as TRL has it. kto: Ethayarajh
    et al. 2024, eq. 8, without its KL term, which is none of a single pair.
    """
    better, worse = -chosen.total - known.chosen, -rejected.total - known.rejected
    margin = spec.beta * (better - worse)
    if spec.objective == "ipo":
        means = better / max(chosen.targets, 1) - worse / max(rejected.targets, 1)
        return PairLoss((means - 1 / (2 * spec.beta)) ** 2, 1, margin)
    if spec.objective == "kto":
        return PairLoss((_sigmoid(-spec.beta * better) + _sigmoid(spec.beta * worse)) / 2, 1, margin)
    return PairLoss(max(-margin, 0.0) + log1p(exp(-abs(margin))), 1, margin)


def figures(losses: Sequence[RowLoss]) -> dict[str, float]:
    """Mean reward margin of pairs, and the share in which the better answer has the higher reward; {} for no pairs."""
    margins = [one.margin for one in losses if isinstance(one, PairLoss)]
    if not margins:
        return {}
    right = sum(margin > 0 for margin in margins)
    return {"rewards_margin": sum(margins) / len(margins), "rewards_accuracy": right / len(margins)}


def read_pairs(base: LoadedBase, spec: TrainSpec, name: str, max_length: int, keep_messages: bool = False) -> Split:
    """The preferences of a split, rendered, both answers behind one prompt. Raises BadFile."""
    split = Split(name)
    for number, (messages, worse, tools) in enumerate(_preferences(spec.snapshot / f"{name}.parquet"), start=1):
        try:
            pair, cut = _pair(
                base.tokenizer, (name, number), messages, worse, tools, max_length, spec.overlong == "cut-prompt"
            )
        except Exception as error:
            # A template's own `raise_exception` comes as jinja2's TemplateError, of which this room knows nothing.
            if not isinstance(error, ValueError) and type(error).__module__.split(".")[0] != "jinja2":
                raise
            split.left_out.setdefault(refusal(error), []).append(number)
            continue
        if pair is None:
            reason = f"answer cut (they are longer than max_length={max_length} tokens)"
            split.left_out.setdefault(reason, []).append(number)
            continue
        split.shortened += [number] if cut else []
        split.rows.append(replace(pair, messages=tuple(messages), tools=tools) if keep_messages else pair)
    return split


def _ways(spec: TrainSpec) -> PreferenceWays:
    reference = Reference()

    def losses(
        model: Any, rows: Sequence[Row], pad_id: int, batch_size: int, check: Check = lambda: None
    ) -> list[RowLoss]:
        pairs = [row for row in rows if isinstance(row, Pair)]
        chosen = row_losses(model, [pair.chosen for pair in pairs], pad_id, batch_size, check)
        rejected = row_losses(model, [pair.rejected for pair in pairs], pad_id, batch_size, check)
        return [
            pair_loss(spec, reference.of(pair), better, worse)
            for pair, better, worse in zip(pairs, chosen, rejected, strict=True)
        ]

    plain = of("causal")
    return PreferenceWays(
        "causal", read_pairs, plain.collate, plain.loss, plain.plain_loss, losses, plain.answers, reference=reference
    )


def _pair(
    tokenizer: Any, place: tuple[str, int], messages: list[Message], worse: str, tools: str, most: int, shorten: bool
) -> tuple[Pair | None, bool]:
    """The pair of a row, None where it is too long, and whether its prompt was cut. Raises ValueError where it cannot
    be one."""
    if messages[-1].role != "assistant" or messages[-1].content.strip() == worse.strip():
        raise ValueError("both answers are the same" if messages[-1].role == "assistant" else "there is no answer")

    def both(turns: Sequence[Message]) -> tuple[Row, Row]:
        prompt = [replace(turn, train=False) for turn in turns[:-1]]
        answers = (Message("assistant", turns[-1].content, extra=turns[-1].extra), Message("assistant", worse))
        better, other = (_until_answered(place[1], render(tokenizer, [*prompt, one], tools)) for one in answers)
        return better, other

    def over(turns: Sequence[Message]) -> int:
        return max(map(len, both(turns))) - most

    cut = over(messages) > 0
    if cut:
        asked = [*(replace(turn, train=False) for turn in messages[:-1]), messages[-1]]
        kept = shortened(tokenizer, asked, over) if shorten else None
        if kept is None:
            return None, False
        messages = kept
    better, other = both(messages)
    pair = Pair(place[1], better.ids, better.labels, other=other, split=place[0])
    start = len(pair.prompt())
    if not np.array_equal(better.ids[:start], other.ids[:start]) or other.labels[start] == IGNORED:
        raise ValueError("the chat template does not show both answers behind one prompt")
    return pair, cut


def _until_answered(number: int, rendered: Rendered) -> Row:
    """A row up to its last target, as in studio.training.data."""
    end = max(at for at, target in enumerate(rendered.mask) if target) + 1
    ids = np.asarray(rendered.ids[:end], dtype=np.int32)
    return Row(number, ids, np.where(np.asarray(rendered.mask[:end]), ids, IGNORED).astype(np.int32))


def _row(prompt: list[int], answer: list[int]) -> Row:
    ids = np.asarray(prompt + answer, dtype=np.int32)
    return Row(0, ids, np.where(np.arange(len(ids)) < len(prompt), IGNORED, ids).astype(np.int32))


def _preferences(path: Path) -> Iterator[tuple[list[Message], str, str]]:
    try:
        with pq.ParquetFile(path) as file:
            wanted = [name for name in ("messages", "rejected", "tools") if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=1024, columns=wanted):
                for row in batch.to_pylist():
                    turns = [turn | {"content": turn["content"] or ""} for turn in row["messages"] or []]
                    if turns and row.get("rejected") is not None:
                        yield list(with_flags(turns)), row["rejected"], row.get("tools") or ""
    except FileNotFoundError:
        raise BadFile(f"The snapshot has no {path.name}: {path.parent} is not a snapshot's folder.") from None
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path} cannot be read as a snapshot's split: make the snapshot again.") from error


def _strangers(pairs: list[Pair]) -> list[tuple[Pair, Pair]]:
    """Each pair with another one, the next by length, whose answers stand in for answers that its prompt did not ask
    for: KTO's KL term is estimated from such mismatches."""
    order = sorted(range(len(pairs)), key=lambda at: len(pairs[at]))
    return [(pairs[at], pairs[order[place - 1]]) for place, at in enumerate(order)]


_KEYS = ("chosen", "rejected", "stranger_chosen", "stranger_rejected")


def _measure(
    model: Any, pairs: list[Pair], strangers: list[tuple[Pair, Pair]], pad: int, batch_size: int, check: Check
) -> dict[str, Any]:
    set_behind = [pair.behind(stranger) for pair, stranger in strangers]
    columns: list[list[Row]] = [[pair.chosen for pair in pairs], [pair.rejected for pair in pairs]]
    columns += [[both[0] for both in set_behind], [both[1] for both in set_behind]]
    found = {}
    for key, rows in zip(_KEYS, columns, strict=True):
        found[key] = np.asarray([-one.total for one in row_losses(model, rows, pad, batch_size, check)])
    return found


def _name(spec: TrainSpec, base: LoadedBase, pairs: list[Pair]) -> str:
    """What the reference's figures depend on, as one text."""
    total = sum(map(len, pairs))
    return json.dumps(
        [base.weights_hash, str(spec.snapshot.name), str(spec.start_from), spec.objective, len(pairs), total]
    )


def _read(path: Path, name: str) -> Mapping[str, Any] | None:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("of") != name:
                return None
            return {key: file.get_tensor(key) for key in _KEYS}
    except Exception:  # missing, half or foreign: measured anew
        return None


def _write(path: Path, found: Mapping[str, Any], name: str) -> None:
    from safetensors.numpy import save_file

    temporary = path.with_suffix(".tmp")
    save_file(dict(found), str(temporary), metadata={"of": name})
    temporary.replace(path)


def _sigmoid(value: float) -> float:
    return 1 / (1 + exp(-value)) if value > -700 else 0.0
