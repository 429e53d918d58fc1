"""What was compared, in a few lines, and the whole lineage: hashes, counts, seeds, settings, library versions.

Only of the records. No path of this machine, no prompt of the project and no name of an annotator is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from studio.contract.export import DataRecord
from studio.contract.spec import BASE_ENCODER, STARTER, TrainSpec
from studio.jobs.evaluation_said import duration
from studio.jobs.verdict_page.pieces import Html, code, facts, part, table, text
from studio.jobs.verdict_page.records import VerdictRecords
from studio.language import tr, trn

_STARTERS = {STARTER: "SmolLM2-135M-Instruct", BASE_ENCODER: "all-MiniLM-L6-v2"}
_ALWAYS = ("method", "objective", "epochs", "learning_rate", "batch_size", "gradient_accumulation",
           "max_length", "lora_rank", "lora_alpha", "seed", "dtype", "device")  # fmt: skip
"""Settings that are named whatever they are; of the others those that are not the studio's defaults."""
_SHORT = 12
_COUNT = "{number:,}"


def base_name(base_model: str) -> str:
    """The base model's name; of a folder its last part, as where it lies is nobody else's business."""
    if base_model in _STARTERS:
        return _STARTERS[base_model]
    local = PurePath(base_model).is_absolute() or base_model.startswith((".", "~")) or "\\" in base_model
    return base_model.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if local else base_model


def compared(records: VerdictRecords) -> Html:
    """Base, run and rows, in three columns."""
    columns = (
        (tr("Base"), _base(records)),
        (tr("Tuned"), _tuned(records)),
        (tr("Held-out rows"), _held_out(records)),
    )
    drawn = "".join(f"<div><h3>{text(title)}</h3>{facts(lines, 'lines')}</div>" for title, lines in columns)
    return part(tr("What was compared"), Html(f'<div class="columns">{drawn}</div>'))


def _base(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    report = records.report
    yield tr("Model"), base_name(records.base_model)
    if report.base_is == "majority":
        yield tr("In its place"), tr("the most frequent label")
    yield tr("Weights"), code(report.base_hash[:_SHORT])


def _tuned(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    about, report = records.about, records.report
    yield tr("Run"), tr("{number} of {project}", number=about.number, project=about.project)
    yield tr("Method"), _method(records)
    if about.data:
        yield tr("Trained on"), trn("{count:,} row", "{count:,} rows", about.data.rows.get("train", 0))
    yield tr("Trained"), " · ".join(one for one in (about.trained, about.device) if one)
    yield tr("Weights"), code(report.adapter_hash[:_SHORT])


def _method(records: VerdictRecords) -> str:
    objective = str(records.about.settings.get("objective", "sft"))
    return records.about.method + ("" if objective == "sft" else f" · {objective}")


def _held_out(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    report, data = records.report, records.about.data
    yield tr("Rows"), tr("{rows:,} of the {split} split", rows=report.rows, split=tr(report.split))
    if report.left_out:
        left = report.left_out
        yield tr("Left out"), trn("{count:,} row without an answer", "{count:,} rows without an answer", left)
    version = f"{text(tr('version {number}', number=data.version))} · " if data and data.version else ""
    yield tr("Snapshot"), Html(f"{version}{code(records.snapshot_id[:_SHORT])}")
    greedy = tr("greedy, at most {tokens:,} tokens", tokens=report.most_tokens)
    yield tr("Answers"), greedy if report.most_tokens else tr("greedy")


def lineage(records: VerdictRecords) -> Html:
    """Everything that one needs to make this evaluation again, and to know that it is the same."""
    return part(
        tr("Lineage"),
        facts(_hashes(records), "lines wide"),
        Html(f'<div class="beside">{_settings(records)}{_splits(records)}</div>'),
        note=tr(
            "What it takes to make this evaluation again, and to know that it is the same. Hashes are of the content."
        ),
    )


def _hashes(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    about, report, data = records.about, records.report, records.about.data
    yield tr("Run"), code(records.run_id)
    yield tr("Base weights"), code(report.base_hash)
    yield tr("Tuned weights"), code(report.adapter_hash)
    yield tr("Snapshot"), code(records.snapshot_id)
    yield tr("Snapshot's content"), code(data.hash if data else "")
    yield tr("Held-out rows' content"), code(report.held_out)
    if data:
        yield tr("Answers"), _given(data)
    yield tr("Seeds"), " · ".join(_seeds(records))
    yield tr("Intervals"), tr("paired bootstrap, 95 %, over rows")
    yield tr("Evaluated"), " · ".join(one for one in (report.device, duration(report.seconds)) if one)
    versions = {"SFT Studio": about.studio, **records.versions}
    yield tr("Libraries"), " · ".join(f"{name} {version}" for name, version in versions.items() if version)


def _given(data: DataRecord) -> str:
    return trn(
        "{given:,} given in the studio by {count:,} annotator, {imported:,} imported; {reviewed:,} accepted by a "
        "reviewer",
        "{given:,} given in the studio by {count:,} annotators, {imported:,} imported; {reviewed:,} accepted by a "
        "reviewer",
        data.annotators,
        given=data.answers - data.imported,
        imported=data.imported,
        reviewed=data.reviewed,
    )


def _seeds(records: VerdictRecords) -> Iterator[str]:
    if (seed := records.about.settings.get("seed")) is not None:
        yield tr("training {seed}", seed=seed)
    if records.split_seed is not None:
        yield tr("split {seed}", seed=records.split_seed)
    if records.eval_seed is not None:
        yield tr("evaluation {seed}", seed=records.eval_seed)


def _splits(records: VerdictRecords) -> Html:
    data = records.about.data
    rows = [[tr(split), tr(_COUNT, number=number)] for split, number in data.rows.items()] if data else []
    return table(tr("Rows of the snapshot by split"), [tr("Split"), tr("Rows")], rows, (1,), "narrow")


def _settings(records: VerdictRecords) -> Html:
    """Settings as the run had them beside the studio's defaults: the main ones, and those that are not the default."""
    given, usual = records.about.settings, TrainSpec.model_fields
    rows = []
    for name in dict.fromkeys((*_ALWAYS, *given)):
        if name not in given:
            continue
        default = usual[name].default if name in usual else None
        if name in _ALWAYS or given[name] != default:
            other = Html(f"<b>{_value(given[name])}</b>") if given[name] != default else _value(given[name])
            rows.append([name.replace("_", " "), other, _value(default)])
    head = [tr("Setting"), tr("This run"), tr("Default")]
    return table(tr("Settings of the run"), head, rows, (1, 2), "narrow")


def _value(value: object) -> Html:
    if value is None or value == "":
        return Html("–")
    if isinstance(value, bool):
        return text(tr("on") if value else tr("off"))
    return text(f"{value:g}" if isinstance(value, float) else str(value)[:200])
