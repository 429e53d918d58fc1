"""The words of states, roles, tasks and orders, which are looked up by what a row holds: `tr(run.state)`.

They come from storage, from contracts and from events, which know of no language; here the catalogs find them.
"""

from __future__ import annotations

from studio.language import mark

RUN_STATES = (
    mark("starting"),
    mark("loading"),
    mark("training"),
    mark("evaluating"),
    mark("sampling"),
    mark("ready"),
    mark("stopping"),
    mark("done"),
    mark("stopped"),
    mark("failed"),
    mark("waiting"),
    mark("paused"),
)
"""Of runs; servers, sweeps, curves and the queue have some of these too."""

JOB_STATES = (
    mark("queued"),
    mark("running"),
    mark("pausing"),
    mark("ended"),
    mark("cancelled"),
    mark("pruned"),
    mark("none"),
)
"""What jobs, trials and requests have beside these."""

RULE_ENDS = (mark("promoted"), mark("kept"))
"""How a retraining ended, beside "failed" and "cancelled"."""

EXAMPLE_STATES = (
    mark("todo"),
    mark("labeled"),
    mark("skipped"),
    mark("flagged"),
    mark("dropped"),
    mark("pending"),
    mark("accepted"),
    mark("returned"),
    mark("differing"),
)
"""The status of an example and of its review."""

OUTCOMES = (mark("edited"), mark("rejected"), mark("open"))
"""What became of a suggestion, beside "accepted"."""

ROLES = (mark("annotator"), mark("reviewer"), mark("admin"))
"""Of users."""

SPEAKERS = (mark("system"), mark("user"), mark("assistant"), mark("tool"))
"""The roles in a conversation."""

SPLITS = (mark("train"), mark("validation"), mark("test"), mark("Train"), mark("Validation"), mark("Test"))
"""The parts of a snapshot, within a sentence and over a column."""

TASKS = (
    mark("Instruction pair"),
    mark("Multi-turn chat"),
    mark("Classification, one label"),
    mark("Classification, several labels"),
    mark("Question answering"),
    mark("Summarisation"),
    mark("Translation"),
    mark("Code"),
    mark("Rating"),
    mark("Preference (two answers)"),
)
"""The task types of projects."""

ORDERS = (
    mark("As imported"),
    mark("Random"),
    mark("By priority"),
    mark("Most uncertain first"),
    mark("Most diverse first"),
)
"""In which examples are handed out."""

SORTS = (mark("Newest work"), mark("Longest"), mark("Most uncertain"), mark("Most similar"))
"""Orders of a list of examples, beside "As imported"."""

VOTES_TO = (mark("To review"), mark("Into the labeling queue"), mark("Nowhere: votes only rank models"))
"""Where votes of comparisons go."""
