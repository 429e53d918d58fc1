"""The model card of an export, made of the records that came with its spec and of what was checked, of nothing else.

Names of annotators, guidelines and prompts stay out, as they may not be meant for others. What it leaves out: intended
use and limits, which the card names as open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from studio.contract.evaluation import EvalReport, MetricReport
from studio.contract.export import ExportReport, ExportSpec, Records
from studio.contract.spec import BASE_ENCODER, STARTER
from studio.models.hub import is_hub_id

_STARTERS = {STARTER: "HuggingFaceTB/SmolLM2-135M-Instruct", BASE_ENCODER: "sentence-transformers/all-MiniLM-L6-v2"}
_STARTER_LICENCE = "apache-2.0"
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")
_PIPELINES = {"causal": "text-generation", "seq2seq": "text2text-generation", "encoder": "text-classification"}
_RELATIONS = {"adapter": "adapter", "merged": "finetune", "gguf": "quantized", "gguf-q8_0": "quantized"}
_FRONT = 20_000


def licence_of(base_model: str, folder: Path) -> str:
    """The licence that the base model's own card names; '' where there is none."""
    if base_model in _STARTERS:
        return _STARTER_LICENCE
    import yaml

    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            front = file.read(_FRONT).split("---")
        told = yaml.safe_load(front[1]) if len(front) > 2 and not front[0].strip() else None
    except (OSError, yaml.YAMLError):
        return ""
    named = str(told.get("license", "")) if isinstance(told, dict) else ""
    return named if _LICENCE.fullmatch(named) else ""


def hub_name(base_model: str) -> str:
    """The base model's name on the Hub; '' for a folder of this machine."""
    if base_model in _STARTERS:
        return _STARTERS[base_model]
    return base_model if is_hub_id(base_model) and "/" in base_model and not Path(base_model).is_dir() else ""


def card_text(spec: ExportSpec, report: ExportReport) -> str:
    """README.md: YAML for the Hub, Markdown for people."""
    parts = [part for part in _parts(spec, report) if part]
    return f"---\n{_yaml(spec, report)}---\n\n" + "\n\n".join(parts) + "\n"


def _yaml(spec: ExportSpec, report: ExportReport) -> str:
    base = hub_name(spec.base_model)
    library = {"adapter": "peft", "merged": "transformers"}.get(spec.format, "gguf")
    tags = ["sft-studio", *(["lora"] if spec.format == "adapter" else ["gguf"] if library == "gguf" else [])]
    fields: list[tuple[str, object]] = [
        *([("license", report.licence)] if report.licence else []),
        *([("base_model", base), ("base_model_relation", _RELATIONS[spec.format])] if base else []),
        ("library_name", library),
        ("pipeline_tag", _PIPELINES[report.family]),
        ("tags", tags),
    ]
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields)  # JSON is YAML


def _parts(spec: ExportSpec, report: ExportReport) -> Iterator[str]:
    records, run = spec.records, bool(spec.run)
    yield f"# {plain(title(spec))}"
    made = f" by SFT Studio {records.studio}" if records.studio else " by SFT Studio"
    yield f"{_what(spec)} of {_base(spec)}, {'trained' if run else 'exported'}{made}{_when(records)}."
    yield "## How to load it"
    yield _loading(spec, report)
    yield "## Is it the same as in the studio?"
    yield "\n".join(f"- {one.sentence}" for one in report.parity)
    yield _meaning(spec, report)
    if run:
        yield from _training(records)
        yield "## What it can do"
        yield from _figures(records)
        yield "## Memorisation, personal data, bias"
        yield "\n".join(f"- {line}" for line in _risks(records))
    yield "## Licence"
    yield _licence(spec, report)
    yield "\n".join(f"- {plain(note)}" for note in report.notes)
    yield "## To be filled in by the publisher"
    yield f"Languages, intended use and limits of {plain(title(spec))}: the studio does not know them."


def title(spec: ExportSpec) -> str:
    """What the export is called."""
    records = spec.records
    if not spec.run:
        return Path(spec.base_model).name
    return f"{records.project or 'Run'} {records.number or spec.run}"


def _what(spec: ExportSpec) -> str:
    return {
        "adapter": "A peft adapter",
        "merged": "A whole model in safetensors",
        "gguf": "A GGUF file (f16)",
        "gguf-q8_0": "A GGUF file (q8_0)",
    }[spec.format]


def _base(spec: ExportSpec) -> str:
    name = hub_name(spec.base_model)
    if spec.base_model == STARTER:
        return f"[{name}](https://huggingface.co/{name}), in the 4-bit form that comes with the studio, dequantised"
    return f"[{name}](https://huggingface.co/{name})" if name else f"`{_code(Path(spec.base_model).name)}`"


def _when(records: Records) -> str:
    return f" on {plain(records.trained)}" if records.trained else ""


def _loading(spec: ExportSpec, report: ExportReport) -> str:
    kind = {"seq2seq": "AutoModelForSeq2SeqLM", "encoder": "AutoModelForSequenceClassification"}.get(
        report.family, "AutoModelForCausalLM"
    )
    if spec.format == "adapter":
        base = hub_name(spec.base_model) or "FOLDER_OF_THE_BASE_MODEL"
        if spec.base_model == STARTER:
            base = "FOLDER_OF_THE_BASE_MODEL"
        options = ""
        if report.family == "encoder":
            options = ", config=AutoConfig.from_pretrained(HERE), ignore_mismatched_sizes=True"
        return (
            "```python\nfrom peft import PeftModel\n"
            f"from transformers import {kind}, AutoTokenizer{', AutoConfig' if options else ''}\n\n"
            'HERE = "."  # this folder\n'
            f'model = PeftModel.from_pretrained({kind}.from_pretrained("{base}"{options}), HERE)\n'
            "tokenizer = AutoTokenizer.from_pretrained(HERE)\n```\n\n"
            "An adapter is worth nothing on other weights than those it was trained on: "
            f"SHA-256 of the base's safetensors `{_code(spec.records.base_hash or 'unknown')}`.{_starter(spec)}"
        )
    if spec.format == "merged":
        return (
            f"```python\nfrom transformers import {kind}, AutoTokenizer\n\n"
            f'model = {kind}.from_pretrained(".")  # this folder\n'
            'tokenizer = AutoTokenizer.from_pretrained(".")\n```'
        )
    file = next(one.name for one in report.files if one.name.endswith(".gguf"))
    return f"```\nllama-server -m {file} --jinja\nollama create NAME -f Modelfile && ollama run NAME\n```"


def _starter(spec: ExportSpec) -> str:
    if spec.base_model != STARTER:
        return ""
    name = hub_name(STARTER)
    return f" On the full weights of {name} it answers a little otherwise: export as merged what is to be the same."


def _meaning(spec: ExportSpec, report: ExportReport) -> str:
    words = "The same prompts were asked greedily in the studio and of this folder, read again as its users read it."
    error = next((one for one in report.parity if one.error is not None), None)
    if error is not None and report.family != "encoder":
        words += (
            " The error of scores is the root mean square of their difference by that of the scores; what is allowed "
            f"follows from the number format ({report.weights})."
        )
    if any(one.near_ties for one in report.parity):
        words += " A near-tie is a token that the studio's model chose over another by less than that rounding."
    return words


def _training(records: Records) -> Iterator[str]:
    yield "## Training"
    device = f", on {plain(records.device)}" if records.device else ""
    told = [f"- Method: {plain(records.method or 'not known')}{device}."]
    if records.tuned_loss is not None:
        before = f" (base model: {records.base_loss:.3f})" if records.base_loss is not None else ""
        told.append(f"- Loss on held-out rows: {records.tuned_loss:.3f} nats a token{before}.")
    hashes = (("base model", records.base_hash), ("trained weights", records.weights_hash))
    told += [f"- SHA-256 of the {name}: `{_code(digest)}`" for name, digest in hashes if digest]
    yield "\n".join(told)
    if records.settings:
        rows = "\n".join(f"| {_code(name)} | `{_code(str(value))}` |" for name, value in records.settings.items())
        yield f"| Setting | Value |\n|---|---|\n{rows}"
    if records.data is None:
        return
    data = records.data
    yield "## Data"
    rows = "\n".join(f"| {plain(split)} | {count:,} |" for split, count in data.rows.items())
    yield f"| Split | Rows |\n|---|---:|\n{rows}"
    given = data.answers - data.imported
    people = "1 annotator" if data.annotators == 1 else f"{data.annotators:,} annotators"
    yield "\n".join(
        [
            f"- Snapshot version {data.version}, content hash (SHA-256) `{_code(data.hash)}`.",
            f"- Answers given in the studio: {given:,}, by {people}; imported with the data: {data.imported:,}.",
            f"- Of them, {data.suggested:,} began from a model's suggestion; {data.reviewed:,} were accepted by a "
            "reviewer.",
        ]
    )


def _figures(records: Records) -> Iterator[str]:
    report = records.evaluation
    if report is None:
        yield "Not evaluated: nothing is known of its quality beyond the loss above."
        return
    yield plain(report.verdict.sentence)
    rows = "\n".join(_row(one) for one in report.metrics.values())
    head = "| Metric | Base | This model | Difference (95 % interval) | p | Rows |\n|---|---:|---:|---|---:|---:|"
    yield f"{head}\n{rows}"
    base = "The most frequent label stands for the base model, which knows none. " if report.base_is != "model" else ""
    yield (
        f"{base}Split: {plain(report.split)}, {report.rows:,} rows (content `{_code(report.held_out)}`), greedy, at "
        f"most {report.most_tokens:,} tokens; intervals by paired bootstrap."
    )
    more = [part.sentence for part in (report.regression, report.general) if part is not None]
    yield "\n".join(f"- {plain(sentence)}" for sentence in more)


def _row(one: MetricReport) -> str:
    between = "not known" if one.low is None or one.high is None else f"{one.low:+.3f} to {one.high:+.3f}"
    chance = "" if one.p is None else f"{one.p:.3g}"
    told = f"{one.difference:+.3f} ({between})"
    return f"| {plain(one.title)} | {one.base:.3f} | {one.tuned:.3f} | {told} | {chance} | {one.rows:,} |"


def _risks(records: Records) -> Iterator[str]:
    yield _memorised(records.evaluation)
    if not records.checked:
        yield "Personal data and bias of the training rows: not checked."
        return
    found: Sequence[str] = records.personal
    yield from (plain(line) for line in found or ("No personal data or secrets were found in the training rows.",))
    yield from (plain(line) for line in records.bias or ("Identity terms: nothing was found that stands out.",))


def _memorised(report: EvalReport | None) -> str:
    if report is None or report.memorised is None:
        return "Whether training answers were learnt by heart: not measured."
    return plain(report.memorised.sentence)


def _licence(spec: ExportSpec, report: ExportReport) -> str:
    if report.licence:
        return (
            f"The base model's licence is `{report.licence}`, and what is derived from it stands under its terms. The "
            "licence of the training data is for the publisher to say."
        )
    return "The base model's files name no licence: look it up before you share this. So for the training data."


def plain(text: str) -> str:
    """Text that Markdown shows as it is: no link, no HTML, no heading comes out of a name."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&$])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """Text inside of backticks, within a table or not."""
    return re.sub(r"[`|\s<>]+", " ", text)[:200]
