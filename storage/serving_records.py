"""The rows about served models that leave this room: requests, deployments, alerts, rules, retrainings; UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from storage.records import Turn


@dataclass(frozen=True)
class NewRequest:
    """A served request to keep; fields as in studio.contract.traffic.ServedRequest. `at` is aware; `messages` are
    prompt and answer, None unless texts are kept; `refused` None without them."""

    id: str
    at: datetime
    project_id: str
    model: str
    run_id: str
    key_id: str
    route: str
    status: int
    finish: str
    prompt_tokens: int
    answer_tokens: int
    queued_ms: float
    first_ms: float | None
    total_ms: float
    confidence: float | None
    form_ok: bool | None
    refused: bool | None
    messages: tuple[Turn, ...] | None = None


@dataclass(frozen=True)
class NewFeedback:
    """Feedback to keep: `rating` is -1, 0 or 1."""

    request_id: str
    at: datetime
    rating: int
    text: str
    key_id: str


@dataclass(frozen=True)
class Bucket:
    """What was served from `start` on for one stretch of time. Times in milliseconds, of answered requests (status
    200); None where there are none. `errors`: status 500 and above, and answers that broke off; `rejected`: 400 to 498;
    `left`: clients that went away. `work_seconds`: seconds in which answered requests were worked on, their sum. `up`
    and `down` are thumbs; `refusals` of `texts` answers whose text is known, `form_failures` of `forms` that were asked
    for one."""

    start: datetime
    requests: int = 0
    answered: int = 0
    errors: int = 0
    rejected: int = 0
    left: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    first_p50_ms: float | None = None
    first_p95_ms: float | None = None
    prompt_tokens: int = 0
    answer_tokens: int = 0
    work_seconds: float = 0.0
    up: int = 0
    down: int = 0
    texts: int = 0
    refusals: int = 0
    forms: int = 0
    form_failures: int = 0
    confidence: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Answer tokens a second of work on them, as one client sees it."""
        return self.answer_tokens / self.work_seconds if self.work_seconds > 0 else None

    @property
    def error_rate(self) -> float | None:
        """Share of all requests, 0 to 1."""
        return self.errors / self.requests if self.requests else None

    @property
    def rated(self) -> int:
        """Requests with a thumb."""
        return self.up + self.down

    @property
    def up_share(self) -> float | None:
        """Share of thumbs that are up, 0 to 1."""
        return self.up / self.rated if self.rated else None

    @property
    def refusal_rate(self) -> float | None:
        """Share of the answers whose text is known, 0 to 1."""
        return self.refusals / self.texts if self.texts else None

    @property
    def form_failure_rate(self) -> float | None:
        """Share of the answers that were asked for a form, 0 to 1."""
        return self.form_failures / self.forms if self.forms else None


@dataclass(frozen=True)
class KeptRequest:
    """A request whose text is kept. `messages`: its turns, the answer last; `rating`: the newest, None without."""

    id: str
    at: datetime
    project_id: str
    run_id: str
    messages: tuple[Turn, ...]
    confidence: float | None
    rating: int | None

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """What was asked."""
        return self.messages[:-1] if self.messages and self.messages[-1].role == "assistant" else self.messages

    @property
    def answer(self) -> str:
        """What the model said; '' where it gave no answer."""
        return self.messages[-1].content if self.messages and self.messages[-1].role == "assistant" else ""


@dataclass(frozen=True)
class Deployment:
    """A row of the history of production: from `created_at` on `run_id` answers. `kind` is promote or rollback."""

    id: str
    number: int
    project_id: str
    run_id: str
    kind: str
    user: str
    why: str
    created_at: datetime


@dataclass(frozen=True)
class Watch:
    """What is watched of a project: limits by the kind of alert, and the URL that alerts are sent to ('': none).

    `keep_days`: how long texts of requests are kept, None for ever.
    """

    project_id: str
    thresholds: Mapping[str, float]
    webhook: str
    user: str
    created_at: datetime
    keep_days: int | None = None


@dataclass(frozen=True)
class Alert:
    """A figure that went beyond its limit; `ended_at` None while it is there. `delivery`: what became of the message to
    the webhook, '' where none was sent."""

    number: int
    project_id: str
    kind: str
    value: float
    threshold: float
    created_at: datetime
    ended_at: datetime | None
    delivery: str


@dataclass(frozen=True)
class KeptDrift:
    """A look at the prompts of a project as stored: `report` is studio.deploy.drift.DriftReport as an object."""

    number: int
    project_id: str
    snapshot_id: str
    drifted: bool
    report: Mapping[str, object]
    created_at: datetime


@dataclass(frozen=True)
class Rules:
    """When a project is retrained: None and False are off; `feedback_below`: a share of thumbs that are up, 0 to 1."""

    every_examples: int | None = None
    every_days: float | None = None
    on_drift: bool = False
    feedback_below: float | None = None

    @property
    def any_on(self) -> bool:
        """Whether any rule is on."""
        return self != Rules()


@dataclass(frozen=True)
class KeptRules:
    """The rules of a project, who set them and when."""

    project_id: str
    rules: Rules
    user: str
    created_at: datetime


@dataclass(frozen=True)
class Retraining:
    """One retraining. `reasons`: why it was started, in sentences; `accepted`: pairs that the project had then;
    `champion_id`: the run in production then, '' for none; `step`: one of storage.rules.STEPS or ENDS; `step_at`:
    since when."""

    id: str
    number: int
    project_id: str
    reasons: tuple[str, ...]
    accepted: int
    user: str
    base_model: str
    settings: Mapping[str, object]
    champion_id: str
    step: str
    step_at: datetime
    snapshot_id: str
    run_id: str
    message: str
    created_at: datetime
    ended_at: datetime | None
