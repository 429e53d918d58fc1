"""One export, top to bottom: what the studio answers, the folder, the folder read again, the card, the rename.

The details live next door: asking.py, weights.py, gguf_file.py, modelfile.py, readers.py, llama.py, parity.py, card.py.
What it leaves out: starting and stopping it (studio.jobs.exporting_model), and the Hub.
"""

from __future__ import annotations

import gc
import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from studio.contract.chat import Message, prompt_text
from studio.contract.events import EventWriter
from studio.contract.export import CARD_FILE, MODELFILE, REPORT_FILE, ExportedFile, ExportReport, ExportSpec
from studio.contract.export import ParityReport as Parity
from studio.errors import BadInput, DiskFull, JobFailed, StudioError
from studio.export import llama, readers
from studio.export.asking import Studio, ask, questions
from studio.export.card import card_text, licence_of, title
from studio.export.gguf_file import FILES, About, check_architecture, read_words, rope_factors, write_gguf
from studio.export.modelfile import modelfile
from studio.export.parity import compare
from studio.export.vocabulary import rebuilt
from studio.export.weights import Source, check_format, merged_model, stored_dtype, write_adapter, write_merged
from studio.inference.engine import Engine
from studio.inference.places import find
from studio.models.answers import context_window
from studio.models.disk import is_disk_full, sync
from studio.models.loading import load_base, load_tokenizer, pick_family, read_config, resolve
from studio.models.quiet import be_quiet, stay_offline

_BF16 = "bfloat16"


@dataclass(frozen=True, eq=False)
class Bench:
    """What is exported, what the studio says, where it is written, and where it is told."""

    spec: ExportSpec
    source: Source
    studio: Studio
    device: torch.device
    dtype: torch.dtype
    folder: Path
    tell: Callable[[str], Callable[[int], None]]

    def number_format(self, weights: str) -> str:
        """By which rounding an export may be off: that of its weights, or of the arithmetic where that is coarser."""
        return _BF16 if self.dtype == torch.bfloat16 and weights in ("float32", "float16") else weights


@dataclass(frozen=True)
class Made:
    """A folder that has answered as the studio does: its number format, what was found, what there is to say."""

    weights: str
    parity: tuple[Parity, ...]
    notes: tuple[str, ...] = ()


def export(job: Path, spec: ExportSpec, events: EventWriter) -> None:
    """Make the folder of `spec` and write report.json into `job`.

    Raises StudioError with one sentence; nothing is left at the target then, nor beside it.
    """
    began = time.monotonic()
    be_quiet()
    if spec.target.exists() and (not spec.target.is_dir() or any(spec.target.iterdir())):
        raise BadInput(f"'{spec.target}' is there already: name a folder that is not.")
    source = _source(spec)
    temporary = spec.target.with_name(f".{spec.target.name}.exporting")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        bench = _bench(spec, source, temporary, events)
        made = _MAKERS[spec.format](bench)
        report = _report(bench, made, began)
        (temporary / CARD_FILE).write_text(card_text(spec, report), encoding="utf-8")
        report = report.model_copy(update={"files": _files(temporary)})
        sync(temporary)
        temporary.replace(spec.target)
    except StudioError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise DiskFull(f"The disk is full, so nothing was exported to {spec.target}: make room.") from error
        if isinstance(error, OSError) and error.filename:
            raise BadInput(f"Cannot write to {spec.target}: {error.strerror or error}.") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    whole = job / f"{REPORT_FILE}.tmp"
    whole.write_text(report.model_dump_json(), encoding="utf-8")
    whole.replace(job / REPORT_FILE)


def _source(spec: ExportSpec) -> Source:
    """What is to be exported, checked to be possible. Raises BadInput, BadModel, NotFound before anything is loaded."""
    base = resolve(spec.models, spec.base_model)
    place = find(spec.runs, spec.run) if spec.run else None
    folder = place.folder if place is not None and place.whole else base
    config = read_config(folder, spec.base_model)
    source = Source(place, base, pick_family(config))
    check_format(source, spec.format)
    if spec.format in FILES:
        check_architecture(config, load_tokenizer(folder, spec.base_model))
    return source


def _bench(spec: ExportSpec, source: Source, folder: Path, events: EventWriter) -> Bench:
    """Ask the studio's own engine, which is given back before the export is read."""
    asked = questions(spec.snapshot, spec.questions)
    engine = Engine(load_base(spec.models, spec.base_model, spec.device, spec.dtype), spec.runs, spec.models)
    stay_offline()
    passes = 1 + (2 if spec.format in FILES and llama.installed() else 1)
    total = passes * len(asked)
    done = [0]

    def tell(words: str) -> Callable[[int], None]:
        start = done[0]
        events.write("state", state="exporting", message=words)

        def step(answered: int) -> None:
            done[0] = start + answered
            events.write("step", step=min(done[0], total), steps=total, message=words)

        return step

    step = tell("Asking the studio")
    studio = ask(engine, spec.run or None, asked, spec.answer_tokens)
    step(len(studio.references))
    device, dtype = engine.base.device, engine.base.dtype
    del engine
    _give_back()
    return Bench(spec, source, studio, device, dtype, folder, tell)


def _adapter(bench: Bench) -> Made:
    bench.tell("Writing the adapter")
    write_adapter(bench.folder, bench.source, bench.spec.base_model, bench.studio.tokenizer)
    step = bench.tell("Reading it again by peft")
    told = (bench.source.base, bench.source.family, bench.device, bench.dtype)
    model, tokenizer = readers.read_adapter(bench.folder, *told)
    found = readers.answers(
        model, tokenizer, bench.studio.family, bench.studio.references, bench.studio.ends, on_progress=step
    )
    return Made("float32", (compare("peft", bench.studio.references, found, bench.number_format("float32")),))


def _merged(bench: Bench) -> Made:
    """In the base's own number format; where that rounding changes an answer, in float32."""
    bench.tell("Merging")
    model = merged_model(bench.spec, bench.source, bench.folder / "adapter.tmp")
    stored = stored_dtype(model, bench.source)
    formats = [stored] if stored == torch.float32 else [stored, torch.float32]
    notes: tuple[str, ...] = ()
    for dtype in formats:
        last = dtype == formats[-1]
        try:
            made = _merged_as(bench, model, dtype)
            if last or not made.parity[0].near_ties:
                return Made(made.weights, made.parity, notes)
        except JobFailed:
            if last:
                raise
        notes = (
            f"In the base model's own format ({_name(stored)}) some answers became others, so the weights are kept in "
            "float32.",
        )
        for path in bench.folder.iterdir():
            path.unlink()
    raise AssertionError("the last format returns or raises")


def _merged_as(bench: Bench, model: Any, dtype: torch.dtype) -> Made:
    weights, studio = _name(dtype), bench.studio
    bench.tell(f"Writing {weights}")
    write_merged(bench.folder, model, dtype, studio)
    step = bench.tell("Reading it again by transformers")
    read, tokenizer = readers.read_merged(bench.folder, studio.family, bench.device, bench.dtype)
    found = readers.answers(read, tokenizer, studio.family, studio.references, on_progress=step)
    number = bench.number_format(weights)
    return Made(weights, (compare("transformers", studio.references, found, number),))


def _gguf(bench: Bench) -> Made:
    spec, studio = bench.spec, bench.studio
    file = bench.folder / FILES[spec.format]
    quantised = spec.format == "gguf-q8_0"
    weights = "q8_0" if quantised else "float16"
    bench.tell("Merging")
    model = merged_model(spec, bench.source, bench.folder / "adapter.tmp")
    bench.tell(f"Writing {weights}")
    rope = dict(model.config.rope_parameters) if rope_factors(model) is not None else None
    about = About(title(spec), licence_of(spec.base_model, bench.source.base), studio.ends)
    words = write_gguf(file, model, studio.tokenizer, quantised, about)
    text, templated = modelfile(file.name, studio.tokenizer, studio.ends, context_window(model) or 4096, spec.system)
    (bench.folder / MODELFILE).write_text(text, encoding="utf-8")
    del model
    _give_back()
    found = [compare("transformers", studio.references, _dequantised(bench, file, rope), bench.number_format(weights))]
    notes = []
    if llama.installed():
        step = bench.tell("Reading it again by llama.cpp")
        # llama.cpp also rounds what goes into each layer, as transformers does not: a step more for near-ties.
        number = "q8_0" if quantised else _BF16
        found.append(
            compare("llama.cpp", studio.references, llama.answers(file, studio.references, studio.ends, step), number)
        )
    else:
        notes.append("llama.cpp is not installed on the machine that wrote this file, so it was not asked itself.")
    if rope is not None and not llama.installed():
        notes.append("How this model stretches positions is read by llama.cpp alone, so that part was not checked.")
    if not templated:
        notes.append("The Modelfile has no TEMPLATE: this chat template cannot be said in Ollama's language.")
    if words.normalised:
        notes.append("The tokenizer puts text into Unicode's form C first, which llama.cpp does not do.")
    return Made(weights, tuple(found), tuple(notes))


def _dequantised(bench: Bench, file: Path, rope: dict[str, Any] | None) -> list[readers.Answered]:
    """The file's own words and template, and its weights as transformers reads them."""
    studio, step = bench.studio, bench.tell("Reading it again by transformers")
    words, template = read_words(file)
    own = rebuilt(words)
    tokenizer = load_tokenizer(bench.source.base, bench.spec.base_model)
    tokenizer.chat_template = template

    def encode(messages: Sequence[Message]) -> list[int]:
        return list(own.encode(prompt_text(tokenizer, messages), add_special_tokens=False).ids)

    def decode(ids: list[int]) -> str:
        return str(own.decode(ids, skip_special_tokens=True))

    model = readers.read_gguf(file, bench.device, bench.dtype, rope)
    return readers.written(model, encode, decode, studio.references, studio.ends, on_progress=step)


_MAKERS: dict[str, Callable[[Bench], Made]] = {
    "adapter": _adapter,
    "merged": _merged,
    "gguf": _gguf,
    "gguf-q8_0": _gguf,
}


def _report(bench: Bench, made: Made, began: float) -> ExportReport:
    spec = bench.spec
    return ExportReport(
        run=spec.run,
        base_model=spec.base_model,
        format=spec.format,
        family=bench.source.family,
        target=spec.target,
        licence=licence_of(spec.base_model, bench.source.base),
        weights=made.weights,
        files=_files(bench.folder),
        parity=made.parity,
        notes=made.notes,
        seconds=round(time.monotonic() - began, 1),
    )


def _files(folder: Path) -> tuple[ExportedFile, ...]:
    return tuple(
        ExportedFile(name=path.name, size=path.stat().st_size, sha256=_digest(path))
        for path in sorted(folder.iterdir())
        if path.is_file()
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _give_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
