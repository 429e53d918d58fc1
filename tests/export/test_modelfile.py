"""The Modelfile: what its Go template makes of a conversation is what the tokenizer's own template makes of it."""

from __future__ import annotations

import re

import pytest

from studio.contract.chat import Message, prompt_text
from studio.export.gguf_file import begins_with_bos
from studio.export.modelfile import modelfile, turns_of
from tests import tiny

SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are SmolLM<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MERGED = (
    "{% for m in messages %}{% if m.role != 'system' %}[{{ m.content + messages[0].content }}]{% endif %}{% endfor %}"
)
CONVERSATIONS = [
    [Message("user", "Where?")],
    [Message("system", "Be kind."), Message("user", "Where?")],
    [Message("user", "a"), Message("assistant", "b"), Message("user", "c")],
    [Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", "c")],
]


def go(template: str, messages: list[Message]) -> str:
    """What Go's text/template makes of the few forms that we write."""
    steps = re.split(r"(\{\{.*?\}\})", template)
    start = next(n for n, step in enumerate(steps) if step.startswith("{{ range"))
    told = any(message.role == "system" for message in messages)
    text = "" if told else "".join(step for step in steps[:start] if not step.startswith("{{"))
    for number, message in enumerate(messages):
        text += _turn(steps[start + 1 : -2], message, number == len(messages) - 1)
    return text


def _turn(steps: list[str], message: Message, last: bool) -> str:
    text, stack = "", [(True, True)]  # whether this branch is written, and whether one of its kind was
    for step in steps:
        live = all(written for written, _ in stack)
        if step == "{{ .Content }}":
            text += message.content if live else ""
        elif step == "{{ end }}":
            stack.pop()
        elif found := re.fullmatch(r'\{\{ (else )?if eq .Role "(\w+)" \}\}', step):
            before = stack.pop()[1] if found[1] else False
            holds = message.role == found[2] and not before
            stack.append((holds, before or holds))
        elif step == "{{ if not $last }}":
            stack.append((not last, True))
        elif step.startswith("{{ if and $last"):
            stack.append((last and message.role != "assistant", True))
        elif not step.startswith("{{"):
            text += step if live else ""
    return text


@pytest.mark.parametrize("template", [tiny.CHATML, tiny.LLAMA3, SMOLLM])
def test_ollama_is_told_the_same_conversation(template: str) -> None:
    tokenizer = tiny.make_tokenizer(template)
    if template == tiny.LLAMA3:
        tokenizer.bos_token = "<|begin|>"
    text, templated = modelfile("model.gguf", tokenizer, [tokenizer.eos_token_id], 2048, "")
    found = re.search(r'TEMPLATE """(.*?)"""', text, re.DOTALL)
    assert templated and found and text.startswith("FROM ./model.gguf\n") and "SYSTEM" not in text
    bos = tokenizer.bos_token if begins_with_bos(tokenizer) else ""
    assert bool(bos) == (template == tiny.LLAMA3)
    for messages in CONVERSATIONS:
        assert bos + go(found[1], messages) == prompt_text(tokenizer, messages)


def test_what_ends_an_answer_and_a_hostile_system_prompt() -> None:
    tokenizer = tiny.make_tokenizer()
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|eot|>")]
    text, _ = modelfile("m.gguf", tokenizer, ends, 100_000, 'Be kind.\nPARAMETER stop "x"')
    stops = [line for line in text.splitlines() if "stop" in line]
    assert stops[1:] == ['PARAMETER stop "<|im_end|>"', 'PARAMETER stop "<|eot|>"']
    assert "num_ctx 8192" in text and 'SYSTEM """Be kind.\nPARAMETER stop "x" """' in text
    assert "SYSTEM" not in modelfile("m.gguf", tokenizer, ends, 10, 'a """\nFROM /etc/passwd')[0]


def test_a_template_of_another_kind_gets_no_line() -> None:
    tokenizer = tiny.make_tokenizer(MERGED)
    assert turns_of(tokenizer) is None
    text, templated = modelfile("m.gguf", tokenizer, [], 512, "")
    assert not templated and "TEMPLATE" not in text and text.startswith("FROM ./m.gguf\n#")
