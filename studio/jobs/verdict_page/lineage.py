"""What was compared, in a few lines, and the whole lineage: hashes, counts, seeds, settings, library versions.

Only of the records. No path of this machine, no prompt of the project and no name of an annotator is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from studio.contract.figures import count, duration
from studio.contract.spec import BASE_ENCODER, STARTER, TrainSpec
from studio.jobs.verdict_page.pieces import Html, code, facts, part, table, text
from studio.jobs.verdict_page.records import VerdictRecords

_STARTERS = {STARTER: "SmolLM2-135M-Instruct", BASE_ENCODER: "all-MiniLM-L6-v2"}
_ALWAYS = ("method", "objective", "epochs", "learning_rate", "batch_size", "gradient_accumulation",
           "max_length", "lora_rank", "lora_alpha", "seed", "dtype", "device")  # fmt: skip
"""Settings that are named whatever they are; of the others those that are not the studio's defaults."""
_SHORT = 12


def base_name(base_model: str) -> str:
    """The base model's name; of a folder its last part, as where it lies is nobody else's business."""
    if base_model in _STARTERS:
        return _STARTERS[base_model]
    local = PurePath(base_model).is_absolute() or base_model.startswith((".", "~")) or "\\" in base_model
    return base_model.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if local else base_model


def compared(records: VerdictRecords) -> Html:
    """Base, run and rows, in three columns."""
    columns = (("Base", _base(records)), ("Tuned", _tuned(records)), ("Held-out rows", _held_out(records)))
    drawn = "".join(f"<div><h3>{title}</h3>{facts(lines, 'lines')}</div>" for title, lines in columns)
    return part("What was compared", Html(f'<div class="columns">{drawn}</div>'))


def _base(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    report = records.report
    yield "Model", base_name(records.base_model)
    if report.base_is == "majority":
        yield "In its place", "the most frequent label"
    yield "Weights", code(report.base_hash[:_SHORT])


def _tuned(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    about, report = records.about, records.report
    yield "Run", f"{about.number} of {about.project}"
    yield "Method", _method(records)
    if about.data:
        yield "Trained on", count(about.data.rows.get("train", 0), "row")
    yield "Trained", " · ".join(one for one in (about.trained, about.device) if one)
    yield "Weights", code(report.adapter_hash[:_SHORT])


def _method(records: VerdictRecords) -> str:
    objective = str(records.about.settings.get("objective", "sft"))
    return records.about.method + ("" if objective == "sft" else f" · {objective}")


def _held_out(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    report, data = records.report, records.about.data
    yield "Rows", f"{report.rows:,} of the {report.split} split"
    if report.left_out:
        yield "Left out", f"{count(report.left_out, 'row')} without an answer"
    version = f"version {data.version} · " if data and data.version else ""
    yield "Snapshot", Html(f"{version}{code(records.snapshot_id[:_SHORT])}")
    yield "Answers", f"greedy, at most {report.most_tokens:,} tokens" if report.most_tokens else "greedy"


def lineage(records: VerdictRecords) -> Html:
    """Everything that one needs to make this evaluation again, and to know that it is the same."""
    return part(
        "Lineage",
        facts(_hashes(records), "lines wide"),
        Html(f'<div class="beside">{_settings(records)}{_splits(records)}</div>'),
        note="What it takes to make this evaluation again, and to know that it is the same. Hashes are of the content.",
    )


def _hashes(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    about, report, data = records.about, records.report, records.about.data
    yield "Run", code(records.run_id)
    yield "Base weights", code(report.base_hash)
    yield "Tuned weights", code(report.adapter_hash)
    yield "Snapshot", code(records.snapshot_id)
    yield "Snapshot's content", code(data.hash if data else "")
    yield "Held-out rows' content", code(report.held_out)
    if data:
        given = f"{data.answers - data.imported:,} given in the studio by {count(data.annotators, 'annotator')}"
        yield "Answers", f"{given}, {data.imported:,} imported; {data.reviewed:,} accepted by a reviewer"
    yield "Seeds", " · ".join(f"{name} {seed}" for name, seed in _seeds(records) if seed is not None)
    yield "Intervals", "paired bootstrap, 95 %, over rows"
    yield "Evaluated", " · ".join(one for one in (report.device, duration(report.seconds)) if one)
    versions = {"SFT Studio": about.studio, **records.versions}
    yield "Libraries", " · ".join(f"{name} {version}" for name, version in versions.items() if version)


def _seeds(records: VerdictRecords) -> Iterator[tuple[str, object]]:
    yield "training", records.about.settings.get("seed")
    yield "split", records.split_seed
    yield "evaluation", records.eval_seed


def _splits(records: VerdictRecords) -> Html:
    data = records.about.data
    rows = [[split, f"{number:,}"] for split, number in data.rows.items()] if data else []
    return table("Rows of the snapshot by split", ["Split", "Rows"], rows, (1,), "narrow")


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
    return table("Settings of the run", ["Setting", "This run", "Default"], rows, (1, 2), "narrow")


def _value(value: object) -> Html:
    if value is None or value == "":
        return Html("–")
    if isinstance(value, bool):
        return Html("on" if value else "off")
    return text(f"{value:g}" if isinstance(value, float) else str(value)[:200])
