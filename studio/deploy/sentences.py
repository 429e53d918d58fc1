"""What retrainings, looks at prompts, alerts, servers and exports leave behind: kept in English, `retold` to a reader.

They are written by threads and processes that nobody reads along with; what fills them is text already. Forms of other
jobs are in studio.jobs.sayings, which is asked where none of these fits.
"""

from __future__ import annotations

from collections.abc import Sequence

from studio.jobs import evaluation_said, sayings
from studio.jobs.forms import anew
from studio.language import mark, reader, tr

ENOUGH_NEW = mark("{new} new accepted examples (the rule: every {rule}).")
DAYS_AGO = mark("{days} days since the last time (the rule: every {rule}).")
DRIFTED = mark("The prompts have drifted (seen {when} UTC).")
THUMBS_DOWN = mark("{share} of {rated} thumbs are up (the rule: below {rule}).")
ASKED_FOR = mark("Asked for by {user}.")
REASONS = (ENOUGH_NEW, DAYS_AGO, DRIFTED, THUMBS_DOWN, ASKED_FOR)
"""Why a retraining began."""

NOTHING_NEW = mark("Nothing has been labeled that run {number} was not trained on: label some, then retrain.")
MEND = mark("{findings} Mend that on Preflight, then retrain.")
RUN_STOPPED = mark("Run {number} was stopped.")
RUN_FAILED = mark("Run {number} failed: {why}")
RUN_WAITS = mark("Run {number} is in the queue: {why}")
NOT_EVALUATED = mark("The evaluation of run {number} was cancelled.")
NO_REPORT = mark("The evaluation of run {number} gave no report.")
NO_REPORT_LEFT = mark("The evaluation of run {number} has no report: evaluate it again.")
UNREADABLE = mark("The evaluation of run {number} cannot be read: evaluate it again.")
IN_PRODUCTION = mark("Run {number} is in production.")
OVERTAKEN = mark("Another run was put into production meanwhile: hold run {number} against it on Evaluate.")
CANCELLED = mark("Cancelled by {user}.")
ONE_LEFT_OUT = mark("{decision} 1 held-out answer was left out: what they answer is nearly trained on.")
SOME_LEFT_OUT = mark("{decision} {count} held-out answers were left out: what they answer is nearly trained on.")
_ENDS = (
    *(NOTHING_NEW, MEND, RUN_STOPPED, RUN_FAILED, RUN_WAITS, NOT_EVALUATED, NO_REPORT, NO_REPORT_LEFT, UNREADABLE),
    *(IN_PRODUCTION, OVERTAKEN, CANCELLED, ONE_LEFT_OUT, SOME_LEFT_OUT),
)

KEPT = mark("Kept what was there: {why}.")
FIRST = mark("Promoted: nothing was in production, and against its base: {verdict}")
BETTER = mark("Promoted: better than {model} ({told}).")
CHAMPION, SOME_CHAMPION = mark("run {number} in production"), mark("the model in production")
COUNTED = mark("better on {wins}, worse on {losses} of {rows} held-out answers by {metric}")
NO_SUITE = mark("its evaluation did not run the regression suite")
CHECK_FAILED = mark("a check of the regression suite failed ({names})")
CHECKS_FAILED = mark("{count} checks of the regression suite failed ({names})")
AS_ITS_BASE = mark("it is not shown to be better than its base ({verdict})")
WORSE = mark("it is worse than {model} ({told})")
SAME = mark("it did as well as {model} on each of {rows} held-out answers")
UNSURE = mark("it is not shown to be better than {model} ({told})")
OTHER_ROWS = mark("the two were not evaluated on the same held-out rows")
OTHER_METRIC = mark("the two were not evaluated by the same metric")
OTHER_LENGTH = mark("the two were not evaluated with answers of the same length")
NO_ROWS = mark("there are no held-out rows to compare them on")
_DECISIONS = (
    *(KEPT, FIRST, BETTER, CHAMPION, SOME_CHAMPION, COUNTED, NO_SUITE, CHECK_FAILED, CHECKS_FAILED, AS_ITS_BASE),
    *(WORSE, SAME, UNSURE, OTHER_ROWS, OTHER_METRIC, OTHER_LENGTH, NO_ROWS),
)
MESSAGES = (*_ENDS, *_DECISIONS)
"""Where a retraining stands or why it ended as it did."""

ONE_TOPIC = mark("The prompts have drifted: one new topic makes up {share} % of them.")
TOPICS = mark("The prompts have drifted: {count} new topics make up {share} % of them.")
ALIKE = mark("The prompts are like those that were trained on, as far as this many can tell.")
DIFFER = mark("The prompts have drifted: they differ from those that were trained on by more than chance.")
LOOKS = (ONE_TOPIC, TOPICS, ALIKE, DIFFER)
"""What a look at the prompts found."""

SENT, REFUSED = mark("sent ({status})"), mark("refused ({status})")
NOT_SENT, NOT_SENT_FOR, FAILED = mark("not sent"), mark("not sent: {why}"), mark("failed: {why}")
CROWDED = mark("eight others were on their way")
NO_URL = mark("The webhook has to be a URL such as https://example.org/alerts, without a user name or password in it.")
OUTCOMES = (SENT, REFUSED, NOT_SENT, NOT_SENT_FOR, FAILED, CROWDED, NO_URL)
"""What became of an alert's message."""

SERVERS = (
    mark("Loading {model}"),
    mark("{count} requests are broken off"),
    mark("Ending"),
    mark("The server broke off; its log (log.txt) says where."),
)
"""What a server's process says."""

EXPORTS = (
    *(mark("Loading {model}"), mark("Asking the studio"), mark("Writing the adapter"), mark("Writing {weights}")),
    *(mark("Merging"), mark("Reading it again by {reader}")),
    mark(
        "Read by {reader}: {same} of {count} answers are those of the studio, {ties} part where two tokens were "
        "nearly as likely; all prompts have the same token ids; scores are off by {error} ({tolerance} is allowed)."
    ),
    mark(
        "Read by {reader}: {same} of {count} answers are those of the studio, {ties} part where two tokens were "
        "nearly as likely; all prompts have the same token ids."
    ),
    mark(
        "Read by {reader}: {same} of {count} answers are those of the studio; all prompts have the same token ids; "
        "scores are off by {error} ({tolerance} is allowed)."
    ),
    mark("Read by {reader}: {same} of {count} answers are those of the studio; all prompts have the same token ids."),
    mark(
        "Read by {reader}, the export turns {other} of {count} prompts into other tokens than the studio does, so "
        "nothing was exported: export the merged model instead."
    ),
    mark(
        "Read by {reader}, the export answers {other} of {count} prompts otherwise than the studio does, so nothing "
        "was exported: choose another format, or send its log with a report."
    ),
    mark(
        "Read by {reader}, the export's scores are off by {error} where {tolerance} is allowed, so nothing was "
        "exported: choose another format, or send its log with a report."
    ),
    mark("In the base model's own format ({weights}) some answers became others, so the weights are kept in float32."),
    mark("llama.cpp is not installed on the machine that wrote this file, so it was not asked itself."),
    mark("How this model stretches positions is read by llama.cpp alone, so that part was not checked."),
    mark("The Modelfile has no TEMPLATE: this chat template cannot be said in Ollama's language."),
    mark("The tokenizer puts text into Unicode's form C first, which llama.cpp does not do."),
)
"""What an export's process says, and its report (studio.export)."""

_FIGURES = {"number", "count", "wins", "losses", "rows", "same", "ties", "other", "status", "days", "new", "rated"}
_OTHERS = {"why": sayings.retold, "verdict": evaluation_said.retold, "metric": tr}
"""Who says what fills these names, where none of our sentences does."""

_LONGEST = 2000


def retold(said: str, known: Sequence[str]) -> str:
    """A kept sentence in the reader's language: one of `known`, filled with what may be one of them too, else what
    another job says, or a sentence that a catalog has as it is; anything else stays."""
    return said if reader() == "en" or len(said) > _LONGEST else _retold(said, known) or sayings.retold(said)


def _retold(said: str, known: Sequence[str]) -> str:
    return anew(said, known, _shape, lambda _, name, value: _inside(name, value, known))


def _inside(name: str, value: str, known: Sequence[str]) -> str:
    """What fills a name: a reason may be any sentence; a user's name is never one."""
    return _retold(value, known) or _OTHERS.get(name, str)(value)


def _shape(name: str, _: str) -> str:
    return "[0-9.,]+" if name in _FIGURES else ".+?"
