"""The whole spec of a run out of what a user has set: everything else is chosen to go with it, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.contract.methods import METHODS, offered
from studio.contract.shapes import Shape
from studio.contract.spec import Family, TrainSpec, parse_train_spec
from studio.errors import BadSpec
from studio.jobs.defaults import Chosen, good_defaults
from studio.jobs.devices import Device, list_devices
from studio.jobs.models import check_base_model, family_of, folder_of, model_shape
from studio.jobs.plan_memory import Fit, fit, predict
from studio.jobs.plan_tokens import Lengths, row_lengths
from studio.language import tr
from studio.settings import Workspace


@dataclass(frozen=True)
class Completed:
    """A spec, the settings in it that were chosen and not given, and what they were chosen by.

    `shape` and `fit` are None where the base model is not on this machine yet.
    """

    spec: TrainSpec
    chosen: tuple[Chosen, ...]
    family: Family
    shape: Shape | None
    device: Device
    lengths: Lengths
    fit: Fit | None


def complete(
    workspace: Workspace, snapshot_id: str, base_model: str, settings: Mapping[str, object] | None = None
) -> Completed:
    """Choose what `settings` leaves open. Raises BadSpec, BadModel, NotFound, BadFile."""
    given = dict(settings or {})
    name = check_base_model(base_model)
    fixed: dict[str, object] = {
        "snapshot": workspace.snapshots / snapshot_id,
        "models": workspace.models,
        "base_model": name,
    }
    asked = parse_train_spec(given | fixed)
    shape = model_shape(workspace.models, name)
    family = asked.family if asked.family != "auto" else family_of(workspace.models, name) or "causal"
    device = device_of(asked)
    folder = folder_of(workspace.models, name)
    lengths = row_lengths(asked.snapshot / "train.parquet", family, _tokenizer(folder))
    chosen = good_defaults(family, shape, len(lengths), lengths, given, asked.objective)
    spec = parse_train_spec({one.name: one.value for one in chosen} | given | fixed)
    _refuse_method(spec, family, device)
    refuse_devices(spec, device)
    found = fit(spec, shape, device, lengths) if shape else None
    if found and not {"batch_size", "gradient_accumulation"} & set(given):
        spec = spec.model_copy(
            update={
                "batch_size": found.micro_batch,
                "gradient_accumulation": spec.rows_per_step // found.micro_batch,
            }
        )
    return Completed(spec, chosen, family, shape, device, lengths, found)


def planned_bytes(made: Completed) -> int:
    """The predicted peak of a run's memory; 0 where the base model is not on this machine yet."""
    if made.shape is None or made.fit is None:
        return 0
    return predict(made.spec, made.shape, made.device, made.lengths, made.fit.checkpointing).total


def device_of(spec: TrainSpec) -> Device:
    """The device that a run takes: the one it names, else the best there is."""
    devices = list_devices()
    named = [device for device in devices if device.kind == "cuda" and str(device.index) in spec.devices.split(",")]
    return next((device for device in (*named, *devices) if named or device.kind == spec.device), devices[0])


def refuse_devices(spec: TrainSpec, device: Device) -> None:
    """Raise BadSpec where there are not the GPUs that a run is to share."""
    here = [one.index for one in list_devices() if one.kind == "cuda"]
    missing = [number for number in spec.devices.split(",") if number and int(number) not in here]
    if missing:
        if not here:
            raise BadSpec(tr("There is no GPU {number}: there is none here (`devices` lists them).", number=missing[0]))
        told = {"number": missing[0], "here": len(here)}
        raise BadSpec(tr("There is no GPU {number}: there are {here}, counted from 0 (`devices` lists them).", **told))
    count = {"cuda": len(here), "mps": 1}.get(device.kind, spec.ranks)  # a CPU has room for any
    if spec.ranks > count:
        raise BadSpec(
            tr(
                "{asked} processes need a GPU each, and there are {count}: set processes={count}.",
                asked=spec.ranks,
                count=count,
            )
        )


def _tokenizer(folder: Path | None) -> Path | None:
    file = folder / "tokenizer.json" if folder else None
    return file if file and file.is_file() else None


def _refuse_method(spec: TrainSpec, family: Family, device: Device) -> None:
    able = offered(family, device.kind == "cuda")
    if spec.method not in able:
        told = {"method": tr(METHODS[spec.method].title), "methods": ", ".join(able)}
        if family in METHODS[spec.method].families:
            raise BadSpec(tr("{method} needs a CUDA GPU: choose one of {methods}.", **told))
        raise BadSpec(tr("{method} is not for {family} models: choose one of {methods}.", family=family, **told))
