"""What evaluations, judges, votes and looks for sources hold in English, said to a reader: sentences, names, figures.

A process writes English whoever reads it, and its report is kept. So what it says is taken apart here by the forms
below and said anew, figures in the language's own way; tests/jobs/test_evaluation_said.py holds the forms against
those who speak. What is of no known form, as a model's or a person's words, stays as it is.
"""

from __future__ import annotations

from studio.jobs.forms import formats_of, retell
from studio.language import mark, tr

_VERDICTS = (
    mark("Better on {share} of {rows:,} held-out answers ({low}–{high} %), worse on {less}."),
    mark("Worse on {share} of {rows:,} held-out answers ({low}–{high} %), better on {less}."),
    mark(
        "Better by {by:g} ({low:g} to {high:g}) in {metric}, yet worse on {less} of {rows:,} held-out answers and "
        "better on only {more}."
    ),
    mark(
        "Worse by {by:g} ({low:g} to {high:g}) in {metric}, yet better on {less} of {rows:,} held-out answers and "
        "worse on only {more}."
    ),
    mark("Better by {by:g} ({low:g} to {high:g}) in {metric} on {rows:,} held-out answers."),
    mark("Worse by {by:g} ({low:g} to {high:g}) in {metric} on {rows:,} held-out answers."),
    mark("No difference can be shown from these answers."),
    mark("No difference: base and tuned model did equally well on each of {rows:,} held-out answers."),
    mark("No difference can be shown, and no number of held-out examples is likely to show one."),
    mark("No difference can be shown; 1 more held-out example would be needed."),
    mark("No difference can be shown; {more:,} more held-out examples would be needed."),
    mark("under 1 %"),
    mark("over 99 %"),
    mark("One held-out answer says nothing about others: at least two are needed."),
    mark("The metric has no value on these answers, so nothing can be compared."),
    mark("Every choice of rows gives the same difference: these answers say nothing about how sure it is."),
    mark("Only {rows} rows differ, so take the interval as rough."),
    mark("With only {rows} held-out answers the interval may be too short."),
    mark("No row differs between the two, so these answers cannot say how sure that is."),
    mark("Every row differs by the same amount, so these answers cannot say how sure that is."),
    mark("No row differs between the two; the interval allows for kinds of rows not seen here."),
    mark("Every row differs by the same amount; the interval allows for kinds of rows not seen here."),
)
"""Of studio.evaluation.verdict and intervals."""

_WAYS = (
    mark(
        "Use the fine-tuned model: on {rows:,} answers it is better than {way}, by {by:g} ({low:g} to {high:g}) in "
        "{metric}."
    ),
    mark(
        "Fine-tuning is not worth it yet: on {rows:,} answers {way} is better, by {by:g} ({low:g} to {high:g}) in "
        "{metric}."
    ),
    mark(
        "No difference can be shown between the fine-tuned model and {way}, which takes {times:g} times the tokens an "
        "answer ({rows:,} answers)."
    ),
    mark("No difference can be shown between the fine-tuned model and {way}, at no more tokens ({rows:,} answers)."),
    mark("the base model as it is"),
    mark("the base model with the project's prompt"),
    mark("the base model with {shots} examples in its prompt"),
    mark("the fine-tuned model"),
    mark("{cut:,} answers of the base model were cut at the limit of tokens."),
    mark("{cut:,} answers of the fine-tuned model were cut at the limit of tokens."),
    mark("{long:,} prompts are too long for the base model and count as unanswered."),
    mark("{long:,} prompts are too long for the fine-tuned model and count as unanswered."),
)
"""Of ways and running."""

_FURTHER = (
    mark(
        "{passed:d} of {cases:d} regression cases pass. The base passes what now fails: {names} and {further:d} more."
    ),
    mark("{passed:d} of {cases:d} regression cases pass. The base passes what now fails: {names}."),
    mark("{passed:d} of {cases:d} regression cases pass."),
    mark("The regression case passes."),
    mark("All {passed:d} regression cases pass."),
    mark("it does not contain “{value}”"),
    mark("it contains “{value}”"),
    mark("it does not refuse"),
    mark("it refuses"),
    mark("it has more than {tokens:d} tokens"),
    mark(
        "No forgetting can be shown: the loss of right answers went from {base:.2f} to {tuned:.2f} nats a token on "
        "{rows} general questions."
    ),
    mark(
        "Nothing was forgotten: the loss of right answers fell from {base:.2f} to {tuned:.2f} nats a token on {rows} "
        "general questions."
    ),
    mark(
        "Hardly anything was forgotten: the loss of right answers rose from {base:.2f} to {tuned:.2f} nats a token on "
        "{rows} general questions."
    ),
    mark(
        "Some general ability was forgotten: the loss of right answers rose from {base:.2f} to {tuned:.2f} nats a "
        "token on {rows} general questions, on {worse} of them. Fewer steps, a lower learning rate or some general "
        "examples among the training rows help."
    ),
    mark("No training answer has {tokens} tokens or more, so there is nothing to learn by heart."),
    mark(
        "Of {rows:,} training answers the tuned model continues {tuned:d} word for word over {span:d} tokens ({share}, "
        "{low}–{high} %), the base {base:d}."
    ),
    mark(
        "Of {rows:,} training answers the tuned model continues {tuned:d} word for word over {span:d} tokens ({share}, "
        "{low}–{high} %), the base {base:d}; 1 shorter answer was left out."
    ),
    mark(
        "Of {rows:,} training answers the tuned model continues {tuned:d} word for word over {span:d} tokens ({share}, "
        "{low}–{high} %), the base {base:d}; {short:,} shorter answers were left out."
    ),
    mark(
        "Of {codes:d} planted codes the tuned model holds {tuned:d} for the likeliest of {of:d} ({share}, {low}–{high} "
        "%), the base {base:d}; the mean exposure is {bits:.1f} of {most:d} bits."
    ),
)
"""Of regression, general and memorising."""

_JUDGES = (
    mark("The judge has given no verdict yet."),
    mark("The judge prefers the run: {share} % ({low}–{high} %, a tie as half) on 1 held-out answer."),
    mark("The judge prefers the run: {share} % ({low}–{high} %, a tie as half) on {rows:,} held-out answers."),
    mark("The judge prefers the base: the run has {share} % ({low}–{high} %, a tie as half) on 1 held-out answer."),
    mark(
        "The judge prefers the base: the run has {share} % ({low}–{high} %, a tie as half) on {rows:,} held-out "
        "answers."
    ),
    mark(
        "The judge shows no preference yet: the run has {share} % ({low}–{high} %, a tie as half) on 1 held-out answer."
    ),
    mark(
        "The judge shows no preference yet: the run has {share} % ({low}–{high} %, a tie as half) on {rows:,} held-out "
        "answers."
    ),
    mark("The limit on the cost is reached: raise it and ask again, what was judged is kept."),
    mark("Stopped: what was judged is kept."),
    mark("Asking {host}"),
    mark("{done:,} of {rows:,} rows asked about"),
    mark("{done:,} of {rows:,} rows asked about · {cost:g} so far"),
    mark(
        "The endpoint {host} refused with status {status:d}: check its address, model and key. What was judged is kept."
    ),
    mark("The endpoint {host} asks to wait {minutes:,} minutes: go on then, what was judged is kept."),
    mark("The endpoint {host} is too busy (status {status:d})"),
    mark("The endpoint {host} cannot be reached ({error})"),
    mark("{problem}: go on later, what was judged is kept."),
)
"""Of studio.evaluation.judge, studio.jobs.judge and judge_asking."""

_VOTES = (
    mark("There are no votes yet."),
    mark("Every vote is a tie, so no model is ahead of another."),
    mark("Some models were never compared with the others, not even by way of a third: vote on such pairs."),
    mark("A model has won all or lost all of its votes so far, so how far apart they are cannot be said yet."),
    mark("No votes between {left} and {right} yet."),
    mark("{left} is preferred to {right} in {share} % ({low}–{high} %) of 1 vote: enough votes are in."),
    mark("{left} is preferred to {right} in {share} % ({low}–{high} %) of {votes:,} votes: enough votes are in."),
    mark("{left} and {right} are about equal after {votes:,} votes: enough votes are in."),
    mark("1 vote cannot tell {left} and {right} apart yet: go on voting."),
    mark("{votes:,} votes cannot tell {left} and {right} apart yet: go on voting."),
)
"""Of studio.evaluation.votes."""

_WORK = (
    mark("Starting"),
    mark("Answering {rows:,} held-out rows"),
    mark("{done:,} of {total:,} answers"),
    mark("Running the regression suite"),
    mark("Asking general questions"),
    mark("Looking for training answers learnt by heart"),
    mark("Reading the training pairs"),
    mark("Loading the fine-tuned model"),
    mark("Comparing gradients"),
    mark("Gradients were compared with the {compared:,} nearest of {pairs:,} pairs."),
    mark("The answer is empty, so it has no gradient."),
    mark("{work}: {done:,} of {total:,}"),
    mark("Loading {model}"),
    mark("{work} ({reason}): start it again."),
    mark("{work}: start it again."),
    mark("model of {run}, fully trained from base {base}"),
    mark("base {base} + adapter {run}"),
    mark("base {base}"),
)
"""What these processes are at, why they ended, and which weights answered (studio.jobs.comparison_batch.named)."""

_FORMS = (*_VERDICTS, *_WAYS, *_FURTHER, *_JUDGES, *_VOTES, *_WORK)
"""The narrower before the wider. A name with a format is a figure; the others stay as they stand, but for `_NESTED` and
`_MODELS`."""

_NAMES = (
    mark("Base"),
    mark("Run {number:d}"),
    mark("Run {number:d} ({id})"),
    mark("Base {model}"),
    mark("{model} at {host}"),
)
"""What models are called in votes."""

_MEASURES = (
    mark("Accuracy"),
    mark("Macro F1"),
    mark("Weighted F1"),
    mark("All labels right"),
    mark("Micro F1"),
    mark("Hamming loss"),
    mark("Exact match"),
    mark("Token F1"),
    mark("In the expected form"),
    mark("Held-out loss"),
    mark("Perplexity"),
)
"""Titles of studio.evaluation.scoring that are words."""

_PARTS = (
    mark("label"),
    mark("length"),
    mark("language"),
    mark("source"),
    mark("short"),
    mark("medium"),
    mark("long"),
    mark("arithmetic"),
    mark("capitals"),
    mark("common sense"),
    mark("following"),
    mark("grammar"),
    mark("knowledge"),
)
"""Kinds of slices, parts by length, and kinds of general questions."""

_NESTED = frozenset({"share", "less", "more", "metric", "way", "work", "problem"})
_MODELS = frozenset({"left", "right"})
_OPEN = ("error", "problem", "reason", "what")
"""Names that stand for as long a text as there is."""

_FIGURE = r"-?[\d,]*\.?\d+(?:e[+-]?\d+)?"
_THREE, _WHOLE = "{value:.3g}", "{value:,.0f}"


def retold(sentence: str) -> str:
    """A sentence of a report or a process in the reader's language; one of no known form stays as it is."""
    return retell(sentence, _FORMS, _shape, _value)


def retold_model(name: str) -> str:
    """What a model is called in a comparison, in the reader's language."""
    return retell(name, _NAMES, _shape, _value)


def _value(form: str, name: str, said: str) -> object:
    kind = formats_of(form)[name]
    if kind:
        plain = said.replace(",", "")
        return int(plain) if kind in (",", "d") else float(plain)
    return retold(said) if name in _NESTED else retold_model(said) if name in _MODELS else said


def _shape(name: str, kind: str) -> str:
    """What may stand for a name. Bounded where it has no format: a sentence may be anybody's, and trying all ways of
    cutting it into five open parts took 45 seconds."""
    if kind:
        return r"\d[\d,]*" if kind in (",", "d") else _FIGURE
    return r"\S{1,24}?" if name in ("low", "high", "rows") else ".+?" if name in _OPEN else ".{1,200}?"


def figure(value: float | None) -> str:
    """A value with three digits that count, as the reader's language writes it; '' for None."""
    return "" if value is None else tr(_THREE if abs(value) < 1000 else _WHOLE, value=value)


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{figure(abs(value))}"


def between(low: float | None, high: float | None) -> str:
    """The interval of a difference; '' where there is none."""
    return "" if low is None or high is None else tr("{low} to {high}", low=signed(low), high=signed(high))


def chance(p: float | None) -> str:
    """How likely such a difference is by chance; '' where nobody can say."""
    if p is None:
        return ""
    return tr("p < {p:.3f}", p=0.001) if p < 0.001 else tr("p = {p:.3f}", p=p)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3:05 min, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return tr("{seconds} s", seconds=whole)
    if whole < 3600:
        return tr("{minutes}:{seconds:02d} min", minutes=whole // 60, seconds=whole % 60)
    return tr("{hours} h {minutes} min", hours=whole // 3600, minutes=whole % 3600 // 60)
