"""Tools in conversations: kept as they came, shown by templates that know them, no target where one hides them."""

from __future__ import annotations

import json

import pytest

from studio.contract.answers import decode_conversation, encode_conversation
from studio.contract.chat import PLAIN_TEMPLATE, Message, prompt_text, render
from studio.contract.tools import calls_text, decode_extra, encode_extra, encode_tools, template_fields
from tests import tiny

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
EXTRA = encode_extra({"tool_calls": [CALL], "content": ""})
TOOLS = encode_tools([{"type": "function", "function": {"name": "weather", "parameters": {}}}])
TALK = [
    Message("user", "Weather in Oslo?"),
    Message("assistant", "", True, EXTRA),
    Message("tool", "3 degrees", False, encode_extra({"tool_call_id": "c1"})),
    Message("assistant", "Cold."),
]
KNOWS_TOOLS = (
    "{% if tools %}{{ '<|im_start|>tools\n' + tools | tojson + '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}"
    "{% for call in m['tool_calls'] or [] %}{{ call.function.name }} {{ call.function.arguments | tojson }}{% endfor %}"
    "{{ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def target_of(tokenizer, talk):
    rendered = render(tokenizer, talk, TOOLS)
    return tokenizer.decode([token for token, loss in zip(rendered.ids, rendered.mask, strict=True) if loss])


def test_a_call_is_a_target_with_its_arguments_as_json_written_once():
    tokenizer = tiny.make_tokenizer(KNOWS_TOOLS)
    assert target_of(tokenizer, TALK) == 'weather {"city": "Oslo"}<|im_end|>Cold.<|im_end|>'


def test_the_tools_stand_in_the_prompt_and_nothing_of_them_is_a_target():
    assert '"name": "weather"' in prompt_text(tiny.make_tokenizer(KNOWS_TOOLS), TALK[:1], TOOLS)


def test_a_template_that_hides_a_call_does_not_train_on_an_empty_turn():
    assert target_of(tiny.make_tokenizer(tiny.CHATML), TALK) == "Cold.<|im_end|>"
    with pytest.raises(ValueError, match="hides"):
        render(tiny.make_tokenizer(tiny.CHATML), TALK[:2], TOOLS)


def test_a_model_without_a_template_sees_calls_and_what_came_of_them():
    assert "Tool: 3 degrees" in prompt_text(tiny.make_tokenizer(PLAIN_TEMPLATE), TALK[:3], TOOLS)
    assert '"city"' in target_of(tiny.make_tokenizer(None), TALK)


def test_a_stored_conversation_keeps_calls_and_is_canonical():
    stored = encode_conversation(TALK)
    assert decode_conversation(stored) == tuple(
        Message(m.role, m.content, m.role == "assistant", m.extra) for m in TALK
    )
    assert encode_conversation(decode_conversation(stored)) == stored


def test_calls_are_read_as_a_line_each():
    assert calls_text(EXTRA) == 'weather({"city":"Oslo"})'
    assert (
        calls_text(encode_extra({"tool_calls": [{"function": {"name": "f", "arguments": "{broken"}}]})) == "f({broken)"
    )
    assert calls_text("") == ""


@pytest.mark.parametrize(
    "message",
    [{"tool_calls": [1]}, {"tool_calls": {"a": 1}}, {"tool_calls": [{"function": {"name": ""}}]}, {"name": 7}],
)
def test_what_is_no_call_is_refused(message):
    with pytest.raises(ValueError):
        encode_extra(message)


@pytest.mark.parametrize("extra", ["[]", "{", '"x"', "[" * 100_000])
def test_hostile_extra_is_refused_in_words(extra):
    with pytest.raises(ValueError, match="turn"):
        decode_extra(extra)


def test_tools_are_a_list_of_objects_as_text_or_as_they_are():
    assert encode_tools("") == encode_tools([]) == encode_tools(None) == ""
    assert encode_tools(json.dumps(json.loads(TOOLS))) == TOOLS
    for wrong in ("{", "{}x", [1], {"a": 1}):
        with pytest.raises(ValueError, match="tools"):
            encode_tools(wrong)


def test_fields_for_a_template_do_not_change_what_is_stored():
    assert template_fields(EXTRA)["tool_calls"][0]["function"]["arguments"] == {"city": "Oslo"}
    assert decode_extra(EXTRA)["tool_calls"][0]["function"]["arguments"] == '{"city": "Oslo"}'
