"""What a preflight found and kept in English, in the reader's language: taken apart by its form, put together anew.

tests/preflight/conftest.py holds the forms against the checks that speak. What of a sentence is anybody's (a
label, the beginning of answers) stays as it is, and so does a sentence of no known form.
"""

from __future__ import annotations

from babel import Locale

from studio.jobs.forms import formats_of, retell
from studio.language import mark, reader, tr

_FINDINGS = (
    mark("{of} {be} the same as an earlier row, word for word, in {groups}."),
    mark("{of} {be} nearly the same as another, in {groups}."),
    mark("{of} contradict each other: {inputs} different answers."),
    mark("{of} {be} also in a held-out split, word for word or nearly, so scores on it would be too good."),
    mark("{of} {be} text in a broken encoding, such as Ã© for é."),
    mark("{of} {be} that a model trained on the others would not give; the most doubtful first."),
    mark("{of} {be} next to no answer: {kinds}."),
    mark("{of} {be} answered with a refusal, which a model learns fast."),
    mark("{of} begin like many others: {rows:,} with “{opening}”."),
    mark("{of} {be} not in {usual} like the rest: {tongues}."),
    mark("{of} {be} personal data: {hits}."),
    mark("{of} {be} secrets: {hits}."),
    mark("{of} would teach nothing and be left out of training: {reason}."),
    mark("{of} would lose what stands behind the answer at {tokens:,} tokens."),
    mark("{of} would be left out of training, for the answer does not end within {tokens:,} tokens."),
    mark(
        "{of} have terms of {group}: '{label}' is the label of {share} of them and {rest} of the rest "
        "({low} to {high} points, h = {effect})."
    ),
    mark("{of} have terms of {group}: their tone is {tone} than the rest's ({own} against {others}, {low} to {high})."),
    mark("{many} {be} few rows: '{top}' has {most:,}, '{rare}' {least:,}."),
)
"""Of the checks of studio.preflight. A name with a format is a figure; those of `_NESTED` have forms of their own."""

_PARTS = (
    mark("{count:,} of {total:,} rows ({share})"),
    mark("{count:,} of {total:,} row ({share})"),
    mark("{count:,} of {total:,} labels"),
    mark("The label '{label}'"),
    mark("1 group"),
    mark("{count:,} groups"),
    mark("1 input has"),
    mark("{count:,} inputs have"),
    mark("under 0.1 %"),
    mark("{empty:,} empty, {one:,} of one word"),
    mark("{empty:,} empty"),
    mark("{one:,} of one word"),
    mark("{found:,} × {kind}"),
    mark("{hit}, {hits}"),
    mark("{count:,} in {tongue}"),
    mark("{tongues} and {count:,} more languages"),
    mark("{left}, {right}"),
    mark("friendlier"),
    mark("harsher"),
    mark("has a label"),
    mark("have labels"),
    mark("has"),
    mark("have"),
    mark("is"),
    mark("are"),
    mark("there is no answer to train on"),
    mark("the chat template of this model hides or rewrites the answer, so there is none to train on"),
    mark("the chat template of this model refuses it: {words}"),
)

_OTHERS = (
    mark("The rows could not be rendered with '{model}': log.txt of this preflight says why."),
    mark("Looking through {rows:,} rows"),
)

_FORMS = (*_FINDINGS, *_OTHERS)
_NESTED = frozenset(
    {"of", "be", "groups", "inputs", "many", "kinds", "tongues", "hit", "hits", "reason", "tone", "left", "right"}
)
_WORDS = frozenset({"kind", "share", "rest"})
"""Names that stand for a text of the catalog, or for what has none."""
_TONGUES = frozenset({"usual", "tongue"})
"""Names that stand for languages, as studio.preflight.languages calls them."""
_SHAPES = {
    "of": r"[\d,]+ of [\d,]+ rows? \([^()]{1,16}\)",
    "be": "is|are|has|have|has a label|have labels",
    "kind": "[^×]{1,60}",
    "tongue": "[^,]{1,40}",
    "hit": "[\\d,]+ × [^×]{1,60}?",
    "hits": "[\\d,]+ × .{1,300}",
    **dict.fromkeys(("words", "reason"), ".{1,900}"),
    **dict.fromkeys(("tongues", "right"), ".{1,300}"),
}


def retold(sentence: str) -> str:
    """A sentence of a preflight in the reader's language; one of no known form stays as it is."""
    return retell(sentence, _FORMS, _shape, _value)


def _value(form: str, name: str, said: str) -> object:
    if formats_of(form)[name]:
        return int(said.replace(",", ""))
    if name in _NESTED:
        return retell(said, _PARTS, _shape, _value)
    if name in _TONGUES:
        left, _, right = said.partition(" and ")
        return tr("{left} and {right}", left=_tongue(left), right=_tongue(right)) if right else _tongue(left)
    return tr(said) if name in _WORDS else said


def _tongue(name: str) -> str:
    code = next((code for code, known in Locale("en").languages.items() if known == name), "")
    return str(Locale(reader()).languages.get(code, name))


def _shape(name: str, kind: str) -> str:
    """What may stand for a name; bounded, as the sentences hold what anybody wrote."""
    if kind:
        return r"\d[\d,]*"
    return _SHAPES.get(name, ".{1,120}?")
