"""How many tokens the rows of a snapshot have, estimated without the tokenizer library: the app holds no torch stack.

Characters are counted exactly, in columns. How many of them make a token is tried on some rows with the vocabulary of
the model's tokenizer.json, longest piece first, which comes within a few percent of what the tokenizer itself does.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from studio.contract.footprint import Batch
from studio.contract.spec import Family
from studio.errors import BadFile, NotFound
from studio.language import tr

CHARACTERS_PER_TOKEN = 3.8
"""Mean over English text with a 49k vocabulary (SmolLM2's on the sample project's pairs), where there is none here."""
TURN_TOKENS = 6
"""What a chat template puts around a turn: marks, role, line ends."""
SAMPLE_CHARACTERS = 30_000
BLOCK_ROWS = 16_384
_LONGEST_PIECE = 24
_WORDS = re.compile(r" ?\w+| ?[^\s\w]+|\s+")
_NEAR = 0.9
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Lengths:
    """Estimated tokens of each row, shape (rows,): what the model reads in one sequence, and the answer's.

    `preferences`: whether there are rejected answers beside the preferred ones.
    """

    tokens: npt.NDArray[np.float64]
    answers: npt.NDArray[np.float64]
    preferences: bool = False

    def __len__(self) -> int:
        return len(self.tokens)

    def longest(self, rows: int, limit: int, packed: bool = False) -> Batch:
        """The batch of the longest rows that fit into `limit` tokens: the one that memory is planned for.

        `packed`: rows lie end to end, so that the mean of them counts and not the longest.
        """
        whole = self.tokens <= limit
        tokens, answers = self.tokens[whole], self.answers[whole]
        if not len(tokens):
            return Batch(rows, limit, limit // 2, rows * limit // 2)
        chosen = np.argpartition(tokens, -rows)[-rows:] if rows < len(tokens) else np.arange(len(tokens))
        longest = float(tokens[chosen].mean() if packed else tokens.max())
        # Fewer rows than a batch has places: they come again.
        targets = float(answers[chosen].mean()) * rows
        return Batch(rows, round(longest), round(float(answers.max())), max(1, round(targets)))

    def mean(self, limit: int) -> float:
        """Tokens of the mean row among those that fit, prompt and answer."""
        whole = self.tokens[self.tokens <= limit]
        return float(whole.mean()) if len(whole) else 0.0

    def percentile(self, share: float) -> int:
        """The length that this share of the rows does not exceed."""
        return int(np.quantile(self.tokens, share)) if len(self.tokens) else 0


def row_lengths(path: Path, family: Family, tokenizer: Path | None) -> Lengths:
    """Lengths of a split's rows. `tokenizer`: a model's tokenizer.json, if it is here. Raises NotFound, BadFile."""
    stat = _stat(path)
    with _ONE_AT_A_TIME:  # a screen asks several times at once, and each would read the file
        return _row_lengths(path, stat, family, tokenizer)


@lru_cache(maxsize=16)
def _row_lengths(path: Path, stat: tuple[int, int], family: Family, tokenizer: Path | None) -> Lengths:
    turns = _turns(path)
    ratio = characters_per_token(turns.sample, tokenizer)
    around = TURN_TOKENS if family == "causal" else 1
    all_tokens = turns.characters / ratio + around * turns.count
    answers = turns.answer_characters / ratio + 1
    if family == "causal":
        return Lengths(all_tokens, answers, turns.preferences)
    prompts = np.maximum(all_tokens - answers, 1.0)
    return Lengths(prompts, answers if family == "seq2seq" else np.zeros_like(answers), turns.preferences)


@dataclass(frozen=True)
class _Turns:
    characters: npt.NDArray[np.float64]
    answer_characters: npt.NDArray[np.float64]
    count: npt.NDArray[np.float64]
    sample: str
    preferences: bool


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        told = {"snapshot": path.parent.name, "folder": path.parent}
        raise NotFound(
            tr("The files of snapshot {snapshot} are gone from {folder}: freeze it again.", **told)
        ) from None
    return stat.st_mtime_ns, stat.st_size


def _turns(path: Path) -> _Turns:
    """Characters and turns of each row, read block by block: a snapshot may be larger than the memory."""
    parts: list[_Turns] = []
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in ("messages", "rejected") if name in file.schema_arrow.names]
            parts += [_turns_of(batch) for batch in file.iter_batches(BLOCK_ROWS, columns=names)]
    except (OSError, pa.ArrowException, KeyError) as error:
        why = str(error).splitlines()[0]
        raise BadFile(tr("{file} is damaged ({why}): freeze the snapshot again.", file=path, why=why)) from None
    nothing = np.zeros(0)
    return _Turns(
        np.concatenate([nothing, *(part.characters for part in parts)]),
        np.concatenate([nothing, *(part.answer_characters for part in parts)]),
        np.concatenate([nothing, *(part.count for part in parts)]),
        parts[0].sample if parts else "",
        any(part.preferences for part in parts),
    )


def _turns_of(batch: pa.RecordBatch) -> _Turns:
    column = batch.column("messages")
    rows, parents = len(column), pc.list_parent_indices(column).to_numpy()
    turns = column.flatten()
    texts, roles = turns.field("content").fill_null(""), turns.field("role").fill_null("")
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.float64)
    answered = pc.equal(roles, "assistant").to_numpy(zero_copy_only=False).astype(bool)
    if "train" in [field.name for field in turns.type]:
        answered &= turns.field("train").fill_null(False).to_numpy(zero_copy_only=False).astype(bool)
    some = texts.take(pa.array(range(0, len(texts), max(1, len(texts) // 200)), pa.int64()))
    return _Turns(
        np.bincount(parents, lengths, rows).astype(np.float64),
        np.bincount(parents[answered], lengths[answered], rows).astype(np.float64),
        np.bincount(parents, minlength=rows).astype(np.float64),
        "\n".join(some.to_pylist())[:SAMPLE_CHARACTERS],
        "rejected" in batch.schema.names and batch.column("rejected").null_count < rows,
    )


def characters_per_token(sample: str, tokenizer: Path | None) -> float:
    """Characters that a token of this vocabulary holds in such a text."""
    pieces = _vocabulary(tokenizer) if tokenizer else None
    if not sample.strip() or pieces is None:
        return CHARACTERS_PER_TOKEN
    count = sum(pieces.count(word) for word in _WORDS.findall(sample))
    return max(0.2, len(sample) / max(count, 1))


@dataclass(frozen=True)
class _Vocabulary:
    known: frozenset[str]
    style: str

    def count(self, word: str) -> int:
        """Pieces of a word, the longest first."""
        if self.style == "bytes":
            return self._pieces("".join(_BYTES[byte] for byte in word.encode()))
        if self.style == "wordpiece":
            stripped = word.strip().lower()
            return self._pieces(stripped, "##") if stripped else 0
        return self._pieces(word.replace(" ", "▁"))

    def _pieces(self, text: str, joint: str = "") -> int:
        at, count = 0, 0
        while at < len(text):
            before = joint if at else ""
            ends = range(min(len(text), at + _LONGEST_PIECE), at, -1)
            at = next((end for end in ends if before + text[at:end] in self.known), at + 1)
            count += 1
        return count


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Path) -> _Vocabulary | None:
    """The pieces of a tokenizer.json; None where it cannot be read: the estimate then does without."""
    try:
        text = tokenizer.read_text(encoding="utf-8")
        found = json.loads(text)["model"]
        pieces = found["vocab"]
        known = frozenset(str(piece[0] if isinstance(piece, list) else piece) for piece in pieces)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    style = "wordpiece" if found.get("type") == "WordPiece" else "bytes" if '"ByteLevel"' in text else "pieces"
    return _Vocabulary(known, style)


def _byte_letters() -> dict[int, str]:
    """The letter that stands for each byte in byte-level vocabularies (Radford et al. 2019): printable ones for
    themselves, the others moved behind U+0100 in order."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in set(own)]
    return {byte: chr(byte) for byte in own} | {byte: chr(256 + index) for index, byte in enumerate(moved)}


_BYTES = _byte_letters()
