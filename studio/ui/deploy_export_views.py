"""What the Deploy tab shows of a model's export: formats, progress, the parity result and the files. Data in, HTML out.

What it leaves out: starting and cancelling one (deploy_export).
"""

from __future__ import annotations

import re
from pathlib import Path

from studio.contract.export import FORMATS, ExportReport, Format, ParityReport
from studio.data.model_push import PushedModel
from studio.errors import BadInput
from studio.jobs.exporting_model import Exported
from studio.settings import Workspace
from studio.ui.components.deploy_copy import copied
from studio.ui.components.html import bar, chip, count, duration, notice, size, text

FOR: dict[Format, str] = {
    "adapter": "Only what was learnt, some MB: for peft and vLLM, beside the base model.",
    "merged": "The whole model in safetensors: for transformers, vLLM, TGI; needs nothing else.",
    "gguf": "One file in 16 bit and an Ollama Modelfile: for llama.cpp and Ollama, as exact as it gets.",
    "gguf-q8_0": "The same at half the size, in 8 bit: for small machines; scores differ a little.",
}
"""One line on what each format is for."""
LABELS = [(f"{title.replace(' (llama.cpp, Ollama)', '')}", name) for name, title in FORMATS.items()]
HUB = (
    "<p class='quiet'>The exported folder goes to a model repository on huggingface.co, card and all. Nothing is sent "
    "before you confirm. The token is used once and never kept; without one, the login of this machine is used "
    "(<code>hf auth login</code>).</p>"
)
_KEPT = "kept"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")
_SHOWN_FILES = 30


def target_of(workspace: Workspace, typed: str | None) -> Path | None:
    """The folder inside the workspace that a typed name means, None for the usual place. Raises BadInput."""
    name = (typed or "").strip().removeprefix(f"exports/{_KEPT}/")
    if not name:
        return None
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise BadInput("A folder's name is made of letters, digits, spaces and . _ -, at most 80 of them.")
    return workspace.exports / _KEPT / name


def format_html(wanted: Format) -> str:
    """What a format is for."""
    return f"<p class='quiet'>{text(FOR[wanted])}</p>"


def export_html(found: Exported) -> str:
    """How an export stands: progress, why there is none, or what came of it."""
    standing = found.standing
    if standing.alive:
        return bar(standing.fraction, f"{standing.words} · {100 * standing.fraction:.0f} %")
    if found.report:
        return report_html(found.report)
    if not standing.words:
        return ""
    return notice("bad" if standing.state == "failed" else "warn", standing.words)


def report_html(report: ExportReport) -> str:
    """The parity result first, then where the files are and how large."""
    results = "".join(_parity(one) for one in report.parity)
    notes = "".join(notice("warn", words) for words in report.notes)
    licence = report.licence or "not said by the base model"
    facts = (("Size", bytes_of(report.size)), ("Weights", report.weights or "as trained"), ("Licence", licence))
    cells = "".join(f"<div><dt>{name}</dt><dd>{text(value)}</dd></div>" for name, value in facts)
    head = f'<div class="head"><b>Exported</b>{chip("ready", "good")}</div>'
    took = f"<p class='quiet'>It took {duration(report.seconds)}.</p>" if report.seconds else ""
    return (
        f'<div class="exported">{head}{results}{notes}<dl class="facts">{cells}</dl>{took}'
        f"{copied('Folder', str(report.target))}{_files(report)}</div>"
    )


def _parity(one: ParityReport) -> str:
    same = one.same_ids == one.prompts and one.same_text + one.near_ties >= one.prompts
    words = one.sentence or f"{one.same_text} of {one.prompts} answers are the same."
    return notice("good" if same else "warn", words)


def _files(report: ExportReport) -> str:
    rows = "".join(
        f'<li><code>{text(file.name)}</code><span title="SHA-256 {text(file.sha256)}">{bytes_of(file.size)}</span></li>'
        for file in report.files[:_SHOWN_FILES]
    )
    more = len(report.files) - _SHOWN_FILES
    rows += f"<li>and {more} more</li>" if more > 0 else ""
    return (
        f'<details class="deploy-fold files" open><summary>{count(len(report.files), "file")}</summary>'
        f"<ul>{rows}</ul></details>"
    )


def bytes_of(number: int) -> str:
    """Bytes as people say them; a card has some KB."""
    return size(number) if number >= 2**20 else f"{number / 1024:.0f} KB" if number >= 1024 else f"{number} bytes"


def push_question(report: ExportReport, repo: str, private: bool) -> str:
    """What is asked before anything is sent: to whom, how much, who sees it, under which licence."""
    who = "Private" if private else "Public: everybody can read it"
    licence = f"licence of the base model: {report.licence}" if report.licence else "the base model names no licence"
    return notice(
        "good" if private else "warn",
        f"{count(len(report.files), 'file')}, {bytes_of(report.size)}, go to {repo}. {who}; {licence}.",
    )


def pushed_html(pushed: PushedModel) -> str:
    """Where the model is now."""
    kind = "private" if pushed.private else "public"
    return notice("good", f"Pushed as a {kind} model.") + copied("On the Hub", pushed.url)
