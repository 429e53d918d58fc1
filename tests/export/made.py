"""Runs as training leaves them, made on the spot from random weights: an export cannot tell, and no test waits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.contract.events import EventWriter
from studio.contract.export import ExportReport, ExportSpec, read_export_report
from studio.export.exporting import export
from tests import tiny


@dataclass(frozen=True)
class House:
    """A folder with base model, runs and a snapshot of 20 test rows; `fields` of the spec of each export."""

    root: Path
    base: Path
    snapshot: Path

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return self.root / "runs"

    def spec(self, run: str, wanted: str, **fields: Any) -> ExportSpec:
        """The spec of an export on the CPU with short answers."""
        told = {"runs": self.runs, "models": self.root / "models", "snapshot": self.snapshot, "device": "cpu"}
        few = {"questions": 6, "answer_tokens": 6, "base_model": str(self.base)}
        target = self.root / f"{run or 'base'}-{wanted}"
        return ExportSpec.model_validate(told | few | {"run": run, "format": wanted, "target": target} | fields)

    def export(self, run: str, wanted: str, **fields: Any) -> ExportReport:
        """Export in this process."""
        spec = self.spec(run, wanted, **fields)
        job = self.root / "jobs" / spec.target.name
        job.mkdir(parents=True)
        export(job, spec, EventWriter(job))
        return read_export_report(job)

    def left(self) -> list[str]:
        """What lies beside runs, jobs and models."""
        return sorted(path.name for path in self.root.iterdir() if path.name.endswith(("ing", "merged", "gguf", "_0")))


def make_house(root: Path, family: str = "llama", template: str | None = tiny.CHATML) -> House:
    """A house with a tiny random base model."""
    base = tiny.make_model(root / "base" / family, family, template)
    rows = tiny.pairs(20, 40) if family != "bert" else tiny.labeled(20, 40)
    snapshot = tiny.make_snapshot(root / "snapshot", tiny.pairs(4), test=rows, system="" if family == "bert" else "Hi.")
    return House(root, base, snapshot)


def lora_run(house: House, run: str = "lora", kind: str = "AutoModelForCausalLM", **settings: Any) -> str:
    """A run with a random adapter that changes answers; the id."""
    import peft
    import torch
    import transformers

    torch.manual_seed(7)
    model: Any = getattr(transformers, kind).from_pretrained(house.base)
    tasks = {"AutoModelForSeq2SeqLM": "SEQ_2_SEQ_LM", "AutoModelForSequenceClassification": "SEQ_CLS"}
    made = settings.pop("config", peft.LoraConfig)
    if made is peft.LoraConfig:
        settings = {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False} | settings
    tuned = peft.get_peft_model(model, made(task_type=tasks.get(kind, "CAUSAL_LM"), **settings))
    tuned.save_pretrained(str(house.runs / run / "adapter"))
    config = house.runs / run / "adapter" / "adapter_config.json"
    if made is peft.LoraConfig:
        names = [name.removeprefix("base_model.model.") for name in tuned.targeted_module_names]
        config.write_text(json.dumps(json.loads(config.read_text()) | {"target_modules": names}))
    return _spec(house, run)


def full_run(house: House, family: str = "llama", run: str = "full") -> str:
    """A run with a whole random model; the id."""
    tiny.make_model(house.runs / run / "model", family, seed=5)
    return _spec(house, run)


def _spec(house: House, run: str) -> str:
    told = {"snapshot": str(house.snapshot), "models": str(house.root / "models"), "base_model": str(house.base)}
    (house.runs / run / "spec.json").write_text(json.dumps(told))
    return run
