"""Loss on answers alone under every style of stock chat template, and on the turns that are switched on.

The templates are minimal ones of the same structure as the families' own; those that TRL brings are looked at too.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from studio.contract.chat import Message, prompt_ids, render, shortened
from tests import tiny

LLAMA31 = (
    "{{ bos_token }}{% set say = namespace(system='') %}"
    "{% if messages[0].role == 'system' %}{% set say.system = messages[0].content %}{% set messages = messages[1:] %}"
    "{% endif %}{{ '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
    "Today Date: ' + (strftime_now('%d %b %Y') if strftime_now is defined else '26 Jul 2024') + '\n\n'"
    " + say.system | trim + '<|eot_id|>' }}"
    "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim"
    " + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN3 = (
    "{% set asked = namespace(at=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set asked.at = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}{% set said = m.content %}{% set thought = '' %}"
    "{% if m.role == 'assistant' and '</think>' in said %}"
    "{% set thought = said.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.index0 > asked.at and (loop.last or thought) %}"
    "{{ '<think>\n' + thought + '\n</think>\n\n' }}{% endif %}{{ said + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
GEMMA3 = (
    "{{ bos_token }}{% set first = '' %}{% if messages[0].role == 'system' %}"
    "{% set first = messages[0].content + '\n\n' %}{% set messages = messages[1:] %}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + (first if loop.first else '')"
    " + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% set say = namespace(system='') %}{% if messages[0].role == 'system' %}"
    "{% set say.system = messages[0].content + '\n\n' %}{% set messages = messages[1:] %}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('After the optional system message, roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}{{ '[INST] ' + (say.system if m == messages | selectattr('role', 'equalto', 'user')"
    " | list | last else '') + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + '</s>' }}{% endif %}{% endfor %}"
)
"""The system prompt stands in front of the last question, so every turn more moves it."""

STYLES = {
    "llama-3.1": (LLAMA31, ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], "<|eot_id|>", ""),
    "llama-3.1 base": (LLAMA31, ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], "<|end|>", ""),
    "qwen3": (QWEN3, ["<think>", "</think>"], "<|im_end|>", "<think>\n\n</think>\n\n"),
    "gemma-3": (GEMMA3, ["<start_of_turn>", "<end_of_turn>"], "<|end|>", ""),
    "mistral": (MISTRAL, ["[INST]", "[/INST]", "</s>"], "</s>", " "),
    "chatml": (tiny.CHATML, [], "<|im_end|>", ""),
}
ENDS = {"llama-3.1 base": "<|eot_id|>", "gemma-3": "<end_of_turn>"}
TALK = [
    Message("system", "Be brief."),
    Message("user", "Where is it?"),
    Message("assistant", "On the shelf."),
    Message("user", "And now? Is it on the shelf."),
    Message("assistant", "On the shelf."),
    Message("user", "Sure?"),
    Message("assistant", "Yes, a kettle."),
]


def tokenizer_of(template: str, added: list[str], eos: str = "<|im_end|>"):
    tokenizer = tiny.make_tokenizer(tiny.CHATML)
    tokenizer.add_special_tokens({"extra_special_tokens": added, "eos_token": eos, "bos_token": "<|begin|>"})
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture(params=STYLES, ids=list(STYLES))
def style(request):
    template, added, eos, lead = STYLES[request.param]
    return tokenizer_of(template, added, eos), ENDS.get(request.param, eos), lead


def runs_of(tokenizer, rendered) -> list[str]:
    """The stretches that carry loss, decoded one by one."""
    found, last = [], False
    for token, target in zip(rendered.ids, rendered.mask, strict=True):
        if target and not last:
            found.append([])
        if target:
            found[-1].append(token)
        last = target
    return [tokenizer.decode(one) for one in found]


def test_one_answer_and_its_end_carry_loss(style):
    tokenizer, end, lead = style
    for talk in (TALK[:3], TALK[1:3]):
        assert runs_of(tokenizer, render(tokenizer, talk)) == [f"{lead}On the shelf.{end}"]


@pytest.mark.parametrize("switches", [(1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)])
def test_each_turn_has_its_switch(style, switches):
    tokenizer, end, _ = style
    talk = list(TALK)
    for at, switch in zip((2, 4, 6), switches, strict=True):
        talk[at] = Message("assistant", talk[at].content, bool(switch))
    rendered = render(tokenizer, talk)
    told = [f"{talk[at].content}{end}" for at, switch in zip((2, 4, 6), switches, strict=True) if switch]
    found = runs_of(tokenizer, rendered)
    assert [one.split("</think>\n\n")[-1].removeprefix(" ") for one in found] == told
    whole = tokenizer.apply_chat_template([{"role": m.role, "content": m.content} for m in talk], tokenize=False)
    assert tokenizer.decode(rendered.ids) == whole


def test_the_last_answer_stands_behind_the_prompt_that_a_model_is_asked_with(style):
    tokenizer, _, _ = style
    rendered, prompt = render(tokenizer, [*TALK[:2], Message("assistant", "No.", False), *TALK[3:5]]), None
    prompt = prompt_ids(tokenizer, [*TALK[:2], Message("assistant", "No.", False), TALK[3]])
    assert list(rendered.ids[: len(prompt)]) == prompt and rendered.mask.index(True) == len(prompt)


def test_an_answer_with_its_own_thought_is_trained_with_it():
    template, added, eos, _ = STYLES["qwen3"]
    tokenizer = tokenizer_of(template, added, eos)
    talk = [Message("user", "Where?"), Message("assistant", "<think>\nHm.\n</think>\n\nThere.")]
    assert runs_of(tokenizer, render(tokenizer, talk)) == ["<think>\nHm.\n</think>\n\nThere.<|im_end|>"]
    # As history it is shown without its thought, so not whole: no loss on it.
    longer = render(tokenizer, [*talk, Message("user", "Sure?"), Message("assistant", "Yes.")])
    assert runs_of(tokenizer, longer) == ["<think>\n\n</think>\n\nYes.<|im_end|>"]


@pytest.mark.parametrize("style", ["gemma-3", "mistral"], indirect=True)
def test_a_template_of_strict_alternation_refuses_two_questions_in_a_row(style):
    with pytest.raises(Exception, match="alternate"):
        render(style[0], [Message("user", "A?"), Message("user", "B?"), Message("assistant", "C.")])


def _stock() -> list[Path]:
    found = importlib.util.find_spec("trl")
    folder = Path(str(found.origin)).parent / "chat_templates" if found else Path()
    return [
        path for path in sorted(folder.glob("*.jinja")) if not re.match("gemma(_tr|.j)|glm|idef|llava|smolv", path.name)
    ]


@pytest.mark.parametrize("path", _stock(), ids=lambda path: path.stem)
def test_stock_templates_put_loss_on_both_answers(path):
    text = path.read_text(encoding="utf-8")
    marks = sorted(set(re.findall(r"<[|｜]?[A-Za-z_][^<>\s'\"]*[|｜]?>|</s>|\[/?INST\]", text)))
    tokenizer = tokenizer_of(text, marks)
    found = runs_of(tokenizer, render(tokenizer, TALK[:5]))
    assert len(found) == 2 and all(re.search(r"On the shelf\.<[\s\S]*>\s*$", one) for one in found)
    assert len(runs_of(tokenizer, render(tokenizer, [*TALK[:2], Message("assistant", "No.", False), *TALK[3:5]]))) == 1


def over(tokenizer, limit):
    return lambda turns: len(render(tokenizer, turns).ids) - limit


def test_cutting_a_prompt_takes_its_oldest_words_and_keeps_the_rest(style):
    tokenizer, end, _ = style
    system, answer = TALK[0], Message("assistant", "On the shelf, as ever.")
    turns = [
        system,
        Message("user", ("first " * 40).strip()),
        Message("assistant", "Old.", False),
        Message("user", ("second " * 20).strip()),
    ]
    turns.append(answer)
    limit = len(render(tokenizer, turns).ids) - 60
    kept = shortened(tokenizer, turns, over(tokenizer, limit))
    assert (
        kept[0] == system and kept[-1] == answer and kept[3] == turns[3] and turns[1].content.endswith(kept[1].content)
    )
    rendered = render(tokenizer, kept)
    assert limit - 8 <= len(rendered.ids) <= limit
    assert runs_of(tokenizer, rendered)[-1].endswith("On the shelf, as ever." + end)


def test_a_prompt_that_would_be_cut_away_whole_is_not_cut():
    tokenizer = tokenizer_of(*STYLES["chatml"][:2])
    turns = [Message("user", ("first " * 40).strip()), Message("assistant", "A long answer. " * 10)]
    answer = len(render(tokenizer, turns).ids) - len(tokenizer(("first " * 40).strip())["input_ids"])
    assert shortened(tokenizer, turns, over(tokenizer, answer)) is None
    assert shortened(tokenizer, turns, over(tokenizer, answer + 9))[0].content.count("first") >= 1


def test_answers_with_loss_are_never_cut():
    tokenizer = tokenizer_of(*STYLES["chatml"][:2])
    turns = [
        Message("user", "a a a a a a a a a a"),
        Message("assistant", "b b b b b b b b"),
        Message("user", "c c c c c c c c c c c c c c c c c c c c"),
        TALK[2],
    ]
    kept = shortened(tokenizer, turns, over(tokenizer, len(render(tokenizer, turns).ids) - 30))
    assert kept[1] == turns[1] and kept[0].content == "" and kept[2].content.count("c") < 20
