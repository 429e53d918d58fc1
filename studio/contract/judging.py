"""What the app and a judge's process say to each other: the spec and the pairs in its folder, the report beside it.

    judge/spec.json    JudgeSpec: no key in it, which the process gets by its environment (KEY_VARIABLE)
    judge/pairs.json   what the judge is shown, a Pair each
    judged.json        JudgeReport, in the evaluation's folder

What it leaves out: what the judge is told and how it is understood (studio.evaluation.judge).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from studio.contract.spec import SPEC_FILE
from studio.errors import BadSpec, JobFailed

JUDGED_FILE = "judged.json"
PAIRS_FILE = "pairs.json"
KEY_VARIABLE = "SFT_STUDIO_JUDGE_KEY"
"""The environment variable of the judge's key: of the command line, and of the process that asks."""

CRITERIA_LIMIT = 8_000
"""Characters of the criteria."""

Judged = Literal["win", "tie", "loss", "unread"]
"""What a row is for the run; `unread`: the judge gave no reply that could be read, twice."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class JudgeSpec(_Frozen):
    """One judging of a run's answers. Prices are per million tokens, in any currency; `most_cost` is in the same, 0 for
    no limit. `evaluation` names the answers that are judged, `into` is the folder of judged.json, `kept` the file of
    the replies of this judge by these criteria."""

    run: str = Field(min_length=1, max_length=64)
    evaluation: str
    into: Path
    kept: Path
    url: str = Field(min_length=1, max_length=500)
    model: str = Field(min_length=1, max_length=200)
    criteria: str = Field(min_length=1, max_length=CRITERIA_LIMIT)
    reference: bool = Field(True, description="whether the judge is shown the reference answer")
    price_in: float = Field(0.0, ge=0, le=1e6)
    price_out: float = Field(0.0, ge=0, le=1e6)
    most_cost: float = Field(0.0, ge=0, le=1e6)
    reply_tokens: int = Field(400, ge=16, le=16_384, description="tokens of a reply at the most")
    parallel: int = Field(default=4, ge=1, le=16)


class Pair(_Frozen):
    """A held-out row: `row` counts from 1 in the split, `question` is the whole conversation as one text."""

    row: int
    question: str
    reference: str
    base: str
    tuned: str

    @property
    def same(self) -> bool:
        """Whether both answers are one: a tie that nobody need be asked about."""
        return self.base.strip() == self.tuned.strip()


class JudgedRow(_Frozen):
    """What became of a row; `changed`: the two orders did not agree, `same`: both answers are one, so nobody was asked;
    `why` is what the judge said of it, where it said anything."""

    row: int
    outcome: Judged
    changed: bool = False
    same: bool = False
    why: str = ""


Share = tuple[float, float, float]
"""A share with its 95 % interval: value, low, high."""


class JudgeReport(_Frozen):
    """What a judge found. `asked` rows were chosen; of them `left` were not judged, for which `stopped` has the words,
    and `unread` had no readable reply. `rate` counts a tie as half, with an interval that holds at any time. `changed`
    is the share of asked-about rows where the order changed the answer, `first` the share of decided replies that named
    what stood first. Tokens and `cost` are of everything this judging rests on, `cost_now` of what was asked last;
    `counted` says whether the endpoint counted the tokens itself, else they are estimated."""

    run: str
    evaluation: str
    model: str
    host: str
    criteria: str
    reference: bool
    asked: int
    left: int = 0
    unread: int = 0
    same: int = 0
    win: Share = (0.0, 0.0, 1.0)
    tie: Share = (0.0, 0.0, 1.0)
    loss: Share = (0.0, 0.0, 1.0)
    wins: int = 0
    ties: int = 0
    losses: int = 0
    rate: Share = (0.5, 0.0, 1.0)
    changed: int = 0
    shown_twice: int = 0
    first: float | None = None
    unread_replies: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    counted: bool = True
    cost: float = 0.0
    cost_now: float = 0.0
    sentence: str = ""
    stopped: str = ""
    rows: tuple[JudgedRow, ...] = ()

    @property
    def judged(self) -> int:
        """Rows with a verdict."""
        return self.wins + self.ties + self.losses


_PAIRS = TypeAdapter(tuple[Pair, ...])


def read_judge_spec(folder: Path) -> JudgeSpec:
    """Raises BadSpec when it is missing or damaged."""
    try:
        return JudgeSpec.model_validate_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise BadSpec(f"The spec in {folder} cannot be read: ask the judge again.") from error


def write_pairs(folder: Path, pairs: Sequence[Pair]) -> None:
    """Raises OSError."""
    (folder / PAIRS_FILE).write_text(json.dumps([pair.model_dump() for pair in pairs]), encoding="utf-8")


def read_pairs(folder: Path) -> tuple[Pair, ...]:
    """Raises BadSpec when they are missing or damaged."""
    try:
        return _PAIRS.validate_json((folder / PAIRS_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise BadSpec(f"The pairs in {folder} cannot be read: ask the judge again.") from error


def write_judged(folder: Path, report: JudgeReport) -> None:
    """Beside the evaluation's report, by a temporary file and a rename. Raises OSError."""
    temporary = folder / f"{JUDGED_FILE}.tmp"
    temporary.write_text(report.model_dump_json(), encoding="utf-8")
    temporary.replace(folder / JUDGED_FILE)


def read_judged(folder: Path) -> JudgeReport | None:
    """None where nobody was asked. Raises JobFailed when it is damaged."""
    try:
        return JudgeReport.model_validate_json((folder / JUDGED_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise JobFailed("What the judge found cannot be read: ask it again.") from error
