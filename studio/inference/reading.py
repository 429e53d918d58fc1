"""What a model reads of a conversation, by family: the one place where the engine turns messages into token ids."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from studio.contract.chat import Message, prompt_ids
from studio.errors import BadInput, BadModel, BadSpec
from studio.inference.places import Place
from studio.inference.served import Served
from studio.models.classify import text_ids
from studio.models.seq2seq import question_ids
from studio.models.templates import read_template, use_template


def tokenizer_of(place: Place, tokenizer: Any) -> Any:
    """The tokenizer that a run's adapter is asked with: the base's, by the run's own chat template where it has one.

    Raises BadInput for a template that cannot be used.
    """
    try:
        template = read_template(place.folder)
        if not template.strip():
            return tokenizer
        own = copy.copy(tokenizer)
        use_template(own, template)
    except (BadSpec, BadModel) as error:
        raise BadInput(f"Run '{place.run}' cannot be asked. {error}") from error
    return own


def read_prompt(served: Served, messages: Sequence[Message], tokenizer: Any) -> list[int]:
    """Token ids of a prompt, as the model was trained to read it; a text for a classifier is cut at its window's end.

    Raises ValueError or jinja2's TemplateError where the chat template refuses it.
    """
    if served.family == "seq2seq":
        return question_ids(tokenizer, messages)
    if served.family == "encoder":
        virtual = 0 if served.prefix is None else len(served.prefix)
        window = None if served.context is None else max(1, served.context - virtual)
        return text_ids(tokenizer, messages)[:window]
    return prompt_ids(tokenizer, messages)


def plain_prompt(served: Served, prompt: str | Sequence[int], tokenizer: Any) -> list[int]:
    """Token ids of a text that is gone on from as it stands, or of a classifier's or translator's one question.

    Raises ValueError for ids that the model does not have.
    """
    if not isinstance(prompt, str):
        known = served.model.get_input_embeddings().weight.shape[0]
        if any(not 0 <= token < known for token in prompt):
            raise ValueError(f"a token id is not below {known}")
        return list(prompt)
    if served.family != "causal":
        return read_prompt(served, [Message("user", prompt)], tokenizer)
    return list(tokenizer(prompt)["input_ids"])
