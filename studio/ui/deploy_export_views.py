"""What the Deploy tab shows of a model's export: formats, progress, the parity result and the files. Data in, HTML out.

What it leaves out: starting and cancelling one (deploy_export).
"""

from __future__ import annotations

import re
from pathlib import Path

from studio.contract.export import FORMATS, ExportReport, Format, ParityReport
from studio.data.model_push import PushedModel
from studio.deploy.sentences import EXPORTS, retold
from studio.errors import BadInput
from studio.jobs.evaluation_said import duration
from studio.jobs.exporting_model import Exported
from studio.language import mark, tr, trn
from studio.settings import Workspace
from studio.ui.components.deploy_copy import copied
from studio.ui.components.html import bar, chip, notice, size, text

FOR: dict[Format, str] = {
    "adapter": mark("Only what was learnt, some MB: for peft and vLLM, beside the base model."),
    "merged": mark("The whole model in safetensors: for transformers, vLLM, TGI; needs nothing else."),
    "gguf": mark("One file in 16 bit and an Ollama Modelfile: for llama.cpp and Ollama, as exact as it gets."),
    "gguf-q8_0": mark("The same at half the size, in 8 bit: for small machines; scores differ a little."),
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
    return f"<p class='quiet'>{text(tr(FOR[wanted]))}</p>"


def export_html(found: Exported) -> str:
    """How an export stands: progress, why there is none, or what came of it."""
    standing = found.standing
    if standing.alive:
        return bar(standing.fraction, f"{retold(standing.words, EXPORTS)} · {100 * standing.fraction:.0f} %")
    if found.report:
        return report_html(found.report)
    if not standing.words:
        return ""
    return notice("bad" if standing.state == "failed" else "warn", retold(standing.words, EXPORTS))


def report_html(report: ExportReport) -> str:
    """The parity result first, then where the files are and how large."""
    results = "".join(_parity(one) for one in report.parity)
    notes = "".join(notice("warn", retold(words, EXPORTS)) for words in report.notes)
    licence = report.licence or tr("not said by the base model")
    weights = report.weights or tr("as trained")
    facts = ((tr("Size"), bytes_of(report.size)), (tr("Weights"), weights), (tr("Licence"), licence))
    cells = "".join(f"<div><dt>{name}</dt><dd>{text(value)}</dd></div>" for name, value in facts)
    head = f'<div class="head"><b>{tr("Exported")}</b>{chip(tr("ready"), "good")}</div>'
    time = tr("It took {time}.", time=duration(report.seconds))
    took = f"<p class='quiet'>{time}</p>" if report.seconds else ""
    return (
        f'<div class="exported">{head}{results}{notes}<dl class="facts">{cells}</dl>{took}'
        f"{copied(tr('Folder'), str(report.target))}{_files(report)}</div>"
    )


def _parity(one: ParityReport) -> str:
    same = one.same_ids == one.prompts and one.same_text + one.near_ties >= one.prompts
    counted = tr("{same} of {count} answers are the same.", same=one.same_text, count=one.prompts)
    words = retold(one.sentence, EXPORTS) or counted
    return notice("good" if same else "warn", words)


def _files(report: ExportReport) -> str:
    rows = "".join(
        f'<li><code>{text(file.name)}</code><span title="SHA-256 {text(file.sha256)}">{bytes_of(file.size)}</span></li>'
        for file in report.files[:_SHOWN_FILES]
    )
    more = len(report.files) - _SHOWN_FILES
    rows += f"<li>{tr('and {count} more', count=more)}</li>" if more > 0 else ""
    return f'<details class="deploy-fold files" open><summary>{_counted(report)}</summary><ul>{rows}</ul></details>'


def bytes_of(number: int) -> str:
    """Bytes as people say them; a card has some KB."""
    small = f"{number / 1024:.0f} KB" if number >= 1024 else tr("{number} bytes", number=number)
    return size(number) if number >= 2**20 else small


def push_question(report: ExportReport, repo: str, private: bool) -> str:
    """What is asked before anything is sent: to whom, how much, who sees it, under which licence."""
    who = tr("Private") if private else tr("Public: everybody can read it")
    named = tr("licence of the base model: {name}", name=report.licence)
    licence = named if report.licence else tr("the base model names no licence")
    told = tr(
        "{files}, {size}, go to {place}. {who}; {licence}.",
        **{"files": _counted(report), "size": bytes_of(report.size), "place": repo, "who": who, "licence": licence},
    )
    return notice("good" if private else "warn", told)


def _counted(report: ExportReport) -> str:
    return trn("{count:,} file", "{count:,} files", len(report.files))


def pushed_html(pushed: PushedModel) -> str:
    """Where the model is now."""
    told = tr("Pushed as a private model.") if pushed.private else tr("Pushed as a public model.")
    return notice("good", told) + copied(tr("On the Hub"), pushed.url)
