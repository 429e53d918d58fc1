"""A user's chat template: tried at once, the line at fault named, kept beside the weights."""

from __future__ import annotations

import pytest

from studio.errors import BadModel, BadSpec
from studio.models.templates import read_template, use_template, write_template
from tests import tiny


def test_a_sound_template_takes_the_place_of_the_model_s_own():
    tokenizer = tiny.make_tokenizer()
    use_template(tokenizer, tiny.LLAMA3)
    assert tokenizer.chat_template == tiny.LLAMA3
    use_template(tokenizer, " ")
    assert tokenizer.chat_template == tiny.LLAMA3


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for m in messages %}\n{{ m['content'] }}\n{% endfo %}", "line 3"),
        ("{% for m in messages %}\n{{ m['content'] }}\n{{ m.nothing.at_all }}\n{% endfor %}", "line 3"),
        ("\n{{ raise_exception('never') }}", r"line 2.*never"),
        ("{% for m in messages %}{{ m['role'] }}{% endfor %}", "does not show the answer"),
        ("{{ ''.__class__.__mro__ }}", "unsafe|does not show"),
        ("{{ 10 / 0 }}", "division"),
    ],
)
def test_a_broken_template_is_refused_with_its_line(template, told):
    tokenizer = tiny.make_tokenizer()
    with pytest.raises(BadSpec, match=told) as error:
        use_template(tokenizer, template)
    assert tokenizer.chat_template == tiny.CHATML and "\n" not in str(error.value)


def test_a_template_is_kept_beside_the_weights(tmp_path):
    assert read_template(tmp_path) == ""
    write_template(tmp_path, tiny.LLAMA3)
    assert read_template(tmp_path) == tiny.LLAMA3
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff" * 10)
    with pytest.raises(BadModel, match="cannot be read"):
        read_template(tmp_path)
