"""The one renderer: the mask decodes to the answer, and a prompt is what a rendered conversation begins with."""

from __future__ import annotations

import pytest

from studio.contract.chat import PLAIN_TEMPLATE, Message, conversation, cut, prompt_ids, render
from tests import tiny

TURNS = [Message("system", "Be brief."), Message("user", "Where?"), Message("assistant", "On the shelf.")]
CASES = [(tiny.CHATML, "<|im_end|>"), (tiny.LLAMA3, "<|eot|>"), (None, "<|end|>"), (PLAIN_TEMPLATE, "<|im_end|>")]


@pytest.fixture(params=CASES, ids=["chatml", "llama-3", "no template", "plain"])
def case(request):
    template, end = request.param
    return tiny.make_tokenizer(template), end


def answer_of(tokenizer, rendered):
    return tokenizer.decode([token for token, target in zip(rendered.ids, rendered.mask, strict=True) if target])


def test_the_mask_decodes_to_the_answer_and_its_end(case):
    tokenizer, end = case
    assert answer_of(tokenizer, render(tokenizer, TURNS)) == "On the shelf." + end


def test_a_prompt_is_the_first_part_of_the_rendered_conversation(case):
    tokenizer, _ = case
    rendered, prompt = render(tokenizer, TURNS), prompt_ids(tokenizer, TURNS[:-1])
    assert list(rendered.ids[: len(prompt)]) == prompt
    assert not any(rendered.mask[: len(prompt)]) and rendered.mask[len(prompt)]


def test_every_assistant_turn_that_trains_carries_loss_and_no_other(case):
    tokenizer, end = case
    talk = [Message("user", "A?"), Message("assistant", "One."), Message("user", "B?"), Message("assistant", "Two.")]
    assert answer_of(tokenizer, render(tokenizer, talk)) == f"One.{end}Two.{end}"
    talk[1] = Message("assistant", "One.", train=False)
    assert answer_of(tokenizer, render(tokenizer, talk)) == f"Two.{end}"


def test_text_that_looks_like_a_template_stays_text(case):
    tokenizer, end = case
    turns = [Message("user", "{{ 7 * 7 }}"), Message("assistant", "{% raw %}")]
    rendered = render(tokenizer, turns)
    assert answer_of(tokenizer, rendered) == "{% raw %}" + end and "{{ 7 * 7 }}" in tokenizer.decode(rendered.ids)


def test_a_template_that_shows_no_answer_is_an_error():
    tokenizer = tiny.make_tokenizer("{% for m in messages %}{{ m['role'] }}{% endfor %}")
    with pytest.raises(ValueError, match="chat template of this model hides"):
        render(tokenizer, TURNS)


def test_a_conversation_without_an_answer_is_an_error(case):
    with pytest.raises(ValueError, match="no answer to train on"):
        render(case[0], TURNS[:-1])


def test_cutting_shows_in_the_number_of_targets(case):
    rendered = render(case[0], TURNS)
    assert cut(rendered, len(rendered.ids)).targets == rendered.targets
    assert cut(rendered, len(prompt_ids(case[0], TURNS[:-1])) + 1).targets == 1


def test_the_project_s_system_prompt_gives_way_to_the_example_s_own():
    assert conversation([Message("user", "Hi")], "Be kind.", "Hello")[0] == Message("system", "Be kind.")
    assert conversation(TURNS[:2], "Be kind.")[0].content == "Be brief."


REASONING = (
    "{{ bos_token or '' }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|im_start|>user\n' + m['content'] }}"
    "{% elif m['role'] == 'assistant' %}{% set said = m['content'].split('</think>')[-1] %}"
    "{{ '<|im_start|>assistant\n' + said + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
"""As DeepSeek-R1-Distill has it: asked with an open <think>, shown without it."""


@pytest.mark.parametrize("answer", ["On the shelf.", "<b>On</b>", "<think", "a", "b"])
def test_a_prompt_that_opens_a_thought_is_trained_as_it_is_asked(answer):
    tokenizer = tiny.make_tokenizer(REASONING)
    turns = [Message("user", "Where?"), Message("assistant", answer)]
    rendered, prompt = render(tokenizer, turns), prompt_ids(tokenizer, turns[:-1])
    assert list(rendered.ids[: len(prompt)]) == prompt and tokenizer.decode(prompt).endswith("<think>\n")
    assert not any(rendered.mask[: len(prompt)])
    assert answer_of(tokenizer, rendered) == answer + "<|im_end|>"


def test_an_earlier_turn_of_such_a_template_is_trained_as_later_turns_see_it():
    tokenizer = tiny.make_tokenizer(REASONING)
    talk = [Message("user", "A?"), Message("assistant", "One."), Message("user", "B?"), Message("assistant", "Two.")]
    rendered = render(tokenizer, talk)
    assert answer_of(tokenizer, rendered) == "One.<|im_end|>Two.<|im_end|>"
    assert tokenizer.decode(rendered.ids).startswith(tokenizer.decode(prompt_ids(tokenizer, talk[:-1])))


def test_an_answer_that_the_template_cuts_is_blamed_on_the_template():
    turns = [Message("user", "Where?"), Message("assistant", "Hm.</think>There.")]
    with pytest.raises(ValueError, match="chat template of this model hides or rewrites"):
        render(tiny.make_tokenizer(REASONING), turns)


def test_the_plain_template_begins_with_the_model_s_own_first_token():
    tokenizer = tiny.make_tokenizer(None)
    tokenizer.bos_token = "<|begin|>"
    ids = prompt_ids(tokenizer, TURNS[:2])
    assert ids[0] == tokenizer.bos_token_id and tokenizer.bos_token_id not in ids[1:]
