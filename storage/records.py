"""The rows that leave this room: frozen dataclasses, times in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class User:
    """Who acts: `role` is admin, reviewer or annotator."""

    name: str
    role: str


@dataclass(frozen=True)
class Account:
    """A user as the People tab and the command line list them; `seen_at` is exact to some minutes.

    `sessions`: how many browsers they are logged in with; `locked_until`: no log-in before that time.
    """

    name: str
    role: str
    created_at: datetime
    seen_at: datetime | None
    locked_until: datetime | None
    sessions: int


@dataclass(frozen=True)
class AuditLine:
    """One line of the audit log. `number` grows; `project` is the project's name today, '' where none is concerned."""

    number: int
    at: datetime
    user: str
    action: str
    project_id: str
    project: str
    subject: str
    details: Mapping[str, object]


@dataclass(frozen=True)
class Label:
    """One label of a classification project: `colour` is #rrggbb."""

    name: str
    colour: str


@dataclass(frozen=True)
class Settings:
    """How a project is labeled. `overlap`: annotators an example; `lease_minutes`: how long one holds an example
    without acting; `order`: one of `storage.projects.ORDERS`; `review`: only accepted answers enter snapshots;
    `gold_rate`: share of gold examples among those shown, 0 to 1; `suggest`: where suggestions come from ('' for
    none, 'starter', 'encoder', 'endpoint' or 'run:ID'). For a preflight: `identity_terms` is the word list ('' for the
    built-in one), `allowed_texts` are never reported as personal data. `votes_to`: where votes and corrected answers of
    comparisons go, one of `storage.projects.VOTES_TO`. For an evaluation: `form_kind` ('' for none, 'regex' or
    'schema') and `form` say what an answer has to look like, `metrics` names metrics of one's own, one a line;
    `suite` is the regression suite, as JSON; `evaluate_runs`: each run is evaluated when it ends. `guide`: a first
    visit is led through the project, until a tuned model was read against its base (studio.jobs.next_step).
    """

    labels: tuple[Label, ...] = ()
    rating_max: int = 5
    source_language: str = ""
    target_language: str = ""
    code_language: str = ""
    ask_margin: bool = False
    ask_reason: bool = False
    overlap: int = 1
    lease_minutes: float = 10.0
    order: str = "imported"
    review: bool = False
    gold_rate: float = 0.0
    suggest: str = ""
    identity_terms: str = ""
    allowed_texts: tuple[str, ...] = ()
    votes_to: str = "review"
    form_kind: str = ""
    form: str = ""
    metrics: str = ""
    suite: str = ""
    evaluate_runs: bool = True
    guide: bool = False


@dataclass(frozen=True)
class Project:
    """A task with its people, data and runs. `task` is one of `storage.projects.TASKS`."""

    id: str
    name: str
    task: str
    system_prompt: str
    guidelines: str
    settings: Settings
    created_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True)
class Turn:
    """One turn of a prompt: `role` is system, user, assistant or tool; `extra`: see studio.contract.chat.Message."""

    role: str
    content: str
    extra: str = ""


@dataclass(frozen=True)
class Example:
    """What is to be labeled: the turns up to the answer, and a context shown beside them.

    `payload` is what the form shows besides (the two answers of a preference as {"a", "b"}); `review` is '', pending,
    accepted or returned; `answers` counts the annotators whose submit or skip stands; `content_key` is the hash of
    prompt and context.
    """

    id: str
    project_id: str
    position: int
    prompt: tuple[Turn, ...]
    context: str
    payload: Mapping[str, str]
    source: str
    status: str
    annotation_id: str | None
    answers: int
    review: str
    returned_to: str | None
    created_at: datetime
    content_key: str = ""

    @property
    def text(self) -> str:
        """The last user turn: what a list shows of this example."""
        return self.prompt[-1].content if self.prompt else ""


@dataclass(frozen=True)
class Annotation:
    """One person's act on one example. `number` grows over the whole database; `seconds` is how long it took.

    `response` is the answer as text, the training target; `value` the structured answer as JSON where the task has
    more than text, else ''. `base` is the annotation that it began from.
    """

    id: str
    number: int
    example_id: str
    project_id: str
    annotator: str
    action: str
    response: str
    value: str
    source: str
    undoes: str | None
    base: str | None
    suggestion_id: str | None
    seconds: float | None
    created_at: datetime


@dataclass(frozen=True)
class Draft:
    """What was being typed: text and structured value (JSON or '')."""

    response: str
    value: str


@dataclass(frozen=True)
class Suggestion:
    """A model's draft of an answer. `source` is 'run:ID', 'starter', 'encoder' or 'endpoint'; `uncertainty` is the mean
    token entropy in nats, or 1 - class margin; `outcome` is None until somebody acted on it.
    """

    id: str
    example_id: str
    project_id: str
    source: str
    response: str
    value: str
    uncertainty: float | None
    created_at: datetime
    outcome: str | None = None
    annotator: str | None = None


@dataclass(frozen=True)
class Lease:
    """An example lent to one annotator until a time; `gold`: to see whether they find the answer that is known."""

    example_id: str
    annotator: str
    project_id: str
    expires_at: datetime
    gold: bool = False


@dataclass(frozen=True)
class Pair:
    """An accepted labeled pair: an example and the answer that stands for it (`value`: see Annotation)."""

    example_id: str
    annotation_id: str
    prompt: tuple[Turn, ...]
    context: str
    payload: Mapping[str, str]
    response: str
    value: str
    content_key: str
    group_name: str = ""


@dataclass(frozen=True)
class Counts:
    """How many examples of a project stand where."""

    todo: int = 0
    labeled: int = 0
    skipped: int = 0
    flagged: int = 0
    dropped: int = 0

    @property
    def total(self) -> int:
        """All examples of the project."""
        return self.todo + self.labeled + self.skipped + self.flagged + self.dropped


@dataclass(frozen=True)
class ImportCounts:
    """What one import wrote: `imported` rows, of which `labeled` had an answer, exact `duplicates` passed over, and how
    many `labels` were added to the project's set."""

    imported: int
    labeled: int
    duplicates: int
    labels: int = 0


@dataclass(frozen=True)
class Snapshot:
    """A frozen dataset version of a project. `id` is the hash of its content; `version` counts within the project."""

    id: str
    project_id: str
    version: int
    seed: int
    train_rows: int
    validation_rows: int
    test_rows: int
    created_at: datetime


@dataclass(frozen=True)
class Run:
    """One training run as last seen in its events. Losses are mean nats a target token on the held-out split."""

    id: str
    project_id: str
    snapshot_id: str
    number: int
    base_model: str
    spec: Mapping[str, object]
    state: str
    message: str
    step: int
    steps: int
    tokens_per_second: float | None
    eta_seconds: float | None
    memory_bytes: int | None
    base_loss: float | None
    tuned_loss: float | None
    base_hash: str | None
    adapter_hash: str | None
    device: str | None
    events_offset: int
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class RunEvent:
    """One event of a run, as its process wrote it (see studio.contract.events)."""

    run_id: str
    seq: int
    at: datetime
    kind: str
    data: Mapping[str, object]


@dataclass(frozen=True)
class Side:
    """One answer of a comparison. `run_id` is '' for the base model; `weights` names the weights that answered, with
    their hashes; `seconds` is how long the answer took."""

    run_id: str
    name: str
    weights: str
    text: str
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """Several models' answers to one prompt. `messages` is what was asked, a system turn included; `example_id` the
    example whose prompt it is, or None; `number` grows over the whole database."""

    id: str
    number: int
    project_id: str
    example_id: str | None
    messages: tuple[Turn, ...]
    sides: tuple[Side, ...]
    sampling: Mapping[str, object]
    created_by: str
    created_at: datetime

    @property
    def text(self) -> str:
        """The last user turn: what a list shows of this comparison."""
        return next((turn.content for turn in reversed(self.messages) if turn.role == "user"), "")


@dataclass(frozen=True)
class Vote:
    """One person's choice between two sides of a comparison. `left` and `right` are places in its sides, as they stood
    on the screen; `choice` is left, right, tie or bad (both); `blind`: given before names were shown.
    `annotation_id`: the answer that it is in the example made of it."""

    id: str
    number: int
    comparison_id: str
    project_id: str
    user: str
    left: int
    right: int
    choice: str
    blind: bool
    annotation_id: str | None
    created_at: datetime

    @property
    def pair(self) -> tuple[int, int]:
        """Both sides, the lower place first: a new vote of the same person on them takes the older one's place."""
        return min(self.left, self.right), max(self.left, self.right)
