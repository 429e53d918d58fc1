"""What jobs have said of themselves, in the reader's language.

Why a job waits, how a run ended and what its process does are kept in English, in rows, marks and events: who writes
them knows of no reader. Here a sentence that was kept is known again by its form. What it leaves out: the words of
errors of other programs, and sentences that no form fits, which stay as they were kept.
"""

from __future__ import annotations

import re

from studio.jobs.forms import anew
from studio.language import mark, reader, tr

_LONGEST = 1000
"""Characters: a form is held against no more."""

_INSIDE = ("job", "why", "what", "gain", "high")
"""Names that stand for what has a form of its own."""

_REASONS = (
    mark("waits for its turn"),
    mark("waits for its turn on {kind}"),
    mark("waits for its last process to leave"),
    mark("waits for {device} to be empty: not all memory there can be planned yet"),
    mark("waits for {asked}: there are {count} such GPUs"),
    mark("waits for {needed}; {free} free on {device}"),
    mark("waits for {job} on {device}"),
    mark("waits behind {job}, which has been overtaken {count} times"),
    mark("waits, as it cannot be started: {why}"),
    mark("waits again: {why}"),
    mark("waits: {why}"),
    mark("paused: {why}"),
    mark("paused while it waited"),
    mark("its start was broken off"),
    mark("the process cannot be started: {reason}"),
    mark("a process is at work on this run already"),
    mark("{user} has used {used} of {hours} device-hours in {count} days: an admin can raise the limit"),
)
"""Ends of sentences, the narrower form first."""

_NAMES = (
    mark("Run {number} of {project}"),
    mark("Sweep {number} of {project}"),
    mark("Learning curve {number} of {project}"),
    mark("Sweep {number}"),
    mark("Learning curve {number}"),
)

_RUNS = (
    mark("Given up after {count} attempts: {why}."),
    mark("{why}. Paused: its checkpoint is kept and the device is free. Resume goes on from it."),
    mark("{why}. Paused before its first checkpoint: Resume starts from the beginning."),
    mark("The folder is gone: start a new one."),
    mark("The run's folder {folder} is gone: start a new run."),
    mark("The training process ended without finishing. Resume goes on from its last checkpoint."),
    mark(
        "The training process ended without finishing. Resume goes on from its last checkpoint. Its last words: {words}"
    ),
    mark("The training process ended without finishing. Resume starts it from the beginning."),
    mark("The training process ended without finishing. Resume starts it from the beginning. Its last words: {words}"),
    mark("Training ended on an unexpected {kind}: {reason} (the log has the details)."),
    mark("Training ended on an unexpected {kind} (the log has the details)."),
)

_TRAINING = (
    mark("Loading {model} on {device}, {count} processes"),
    mark("Loading {model} on {device}"),
    mark("Training {steps} steps, going on from step {step}"),
    mark("Training {steps} steps"),
    mark("Comparing base and tuned loss on held-out rows"),
    mark("Answering {count} held-out prompts"),
    mark("Asking the reference model about {count} pairs"),
    mark("Ended at step {step} of {steps}: validation has not got better since step {best}"),
    mark("Activations are checkpointed: without that the run would not fit into the memory"),
    mark("The snapshot has no usable validation rows, so there will be no validation curve."),
    mark("The snapshot has no held-out rows, so base and tuned cannot be compared."),
    mark("This model cannot have several rows in one sequence: batches of rows of like length are used."),
    mark("The samples could not be generated ({reason}; the log has the details)."),
    mark("{checkpoint} is damaged and was passed over."),
    mark("{count} of {total} {split} rows were shortened: {what}."),
    mark("{count} of {total} {split} rows were left out: {what}."),
    mark("the oldest text of their prompts was cut, for they are longer than max_length"),
    mark("answer cut (they are longer than max_length={count} tokens)"),
    mark("{tracker} takes no more figures of this run ({reason}); the run goes on."),
    mark("{tracker} did not start ({reason}); the run goes on without it."),
    mark(
        "Memory ran out at step {step}: batches are now trained in {count} parts of at most {total} rows. A step still "
        "sees the same rows, so the result is the same."
    ),
)

_SWEEPS = (
    mark("Starting"),
    mark("Trial {number} of {total}: {values}"),
    mark("The time was up after {count} of {total} trials."),
    mark("The only trial failed, so the sweep ended. The last reason: {why}"),
    mark("{count} trials in a row failed, so the sweep ended. The last reason: {why}"),
    mark("The sweep's process ended without finishing. Resume goes on where it was. Its last words: {words}"),
    mark("The sweep's process ended without finishing. Resume goes on where it was."),
    mark("The trial ended without a validation loss."),
    mark("Ended at step {step} of {steps}: its loss was above the median of the finished trials."),
    mark("The trial's process ended without finishing. Its last words: {words}"),
    mark("The trial's process ended without finishing."),
    mark("The trial's process was killed by signal {number}. Its last words: {words}"),
    mark("The trial's process was killed by signal {number}."),
    mark("Part {number} of {total}: {count} labels, training"),
    mark("Part {number} of {total}: {count} labels, scoring answers"),
    mark("Part {number} of {total}: {count} labels"),
    mark("The run on {count} labels failed: {why}"),
    mark("its process ended without a word"),
    mark("{what} ({reason}): start it again."),
    mark("{what}: start it again."),
)

_CURVES = (
    mark("More labels are not likely to bring {gain}: the curve has flattened."),
    mark("{gain} may be out of reach with more labels; if not, {low} or more would be needed."),
    mark("About {count} more labels for {gain} ({low} to {high})."),
    mark("many more"),
    mark("{points} points"),
    mark("{percent} % held-out loss"),
    mark("{percent} % hamming loss"),
)

_FORMS = (*_REASONS, *_NAMES, *_RUNS, *_TRAINING, *_SWEEPS, *_CURVES)
_SHAPES = dict.fromkeys(("number", "count", "total", "step", "steps", "best"), "[0-9,]+") | {"user": "[^:]+?"}
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")


def retold(kept: str) -> str:
    """A sentence, or the end of one, that was kept in English, in the reader's language."""
    if reader() == "en" or not kept or len(kept) > _LONGEST:
        return kept
    if found := _known(kept):
        return found
    # A reason that was made a sentence, or the beginning of one.
    if kept.startswith("It ") and (found := _known(kept[3:].removesuffix("."))):
        return tr("It {why}.", why=found)
    found = _known(f"{kept[:1].lower()}{kept[1:]}".removesuffix("."))
    if not found:
        return tr(kept)
    whole = f"{found[:1].upper()}{found[1:]}"
    return tr("{words}.", words=whole) if kept.endswith(".") else whole


def _known(kept: str) -> str:
    """A sentence in the form that it has; '' where it has none."""
    return anew(kept, _FORMS, _shape, _value)


def _value(_: str, name: str, value: str) -> str:
    if _THOUSANDS.fullmatch(value):
        return tr("{figure:,}", figure=int(value.replace(",", "")))
    return retold(value) if name in _INSIDE else value


def _shape(name: str, _: str) -> str:
    return _SHAPES.get(name, ".+?")
