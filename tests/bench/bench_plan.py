"""The planner's memory against real runs: predicted peak over the high-water mark of a training process.

    python tests/bench/bench_plan.py [--only NAME …] [--short] [--keep FOLDER]

Random models of several families and sizes with tokenizers made on the spot; each is trained for two steps (with the
first comes the optimiser's memory) by `python -m studio.training` in a process of its own, whose largest resident size
the system tells when it ends. The prediction is the app's own (studio.jobs.plan_spec), from the snapshot's characters
and the model's files.
`--short`: one tiny model.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STATUS = Path("/proc/self/status")
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from studio.jobs.plan_memory import predict  # noqa: E402
from studio.jobs.plan_spec import complete  # noqa: E402
from studio.settings import Workspace  # noqa: E402
from tests import tiny  # noqa: E402

SENTENCE = "Where is my order? It left the warehouse on Monday. The kettle sings before the water boils. "


@dataclass(frozen=True)
class Case:
    """A model (family of tests/tiny.py, hidden width, layers, vocabulary) and how it is trained."""

    name: str
    model: tuple[str, int, int, int]
    method: str
    sentences: int = 4
    settings: dict[str, object] = field(default_factory=dict)


SMALL, MIDDLE, LARGE = ("llama", 256, 6, 8000), ("llama", 512, 8, 16_000), ("llama", 768, 12, 32_000)
CASES = [
    Case("llama 9M lora", SMALL, "lora"),
    Case("llama 9M full", SMALL, "full"),
    Case("bert 22M full", ("bert", 384, 6, 30_000), "full", 4, {"batch_size": 32}),
    Case("llama 42M lora", MIDDLE, "lora"),
    Case("t5 37M lora", ("t5", 512, 6, 16_000), "lora"),
    Case("llama 42M full", MIDDLE, "full"),
    Case("gpt2 42M lora", ("gpt2", 512, 8, 32_000), "lora"),
    Case("llama 134M lora", LARGE, "lora", 2),
    Case("llama 42M lora, checkpointing", MIDDLE, "lora", 4, {"gradient_checkpointing": "on"}),
    Case("bart 52M full", ("bart", 512, 6, 16_000), "full", 2),
    Case("bert 110M full", ("bert", 768, 12, 30_000), "full", 2, {"batch_size": 8}),
    Case("llama 134M full", LARGE, "full", 1),
    Case("llama 42M dora", MIDDLE, "dora"),
    Case("llama 42M prompt", MIDDLE, "prompt"),
    Case("llama 42M vera", MIDDLE, "vera"),
    Case("llama 42M ia3", MIDDLE, "ia3"),
    Case("llama 134M full, accumulating", LARGE, "full", 1, {"batch_size": 4, "gradient_accumulation": 2}),
    Case("gpt2 42M full", ("gpt2", 512, 8, 32_000), "full"),
    Case("qwen3 42M lora", ("qwen3", 512, 8, 16_000), "lora"),
    Case("t5 37M full", ("t5", 512, 6, 16_000), "full"),
    Case("bert 110M lora", ("bert", 768, 12, 30_000), "lora", 2),
]
SHORT = [Case("llama, tiny", ("llama", 64, 2, 512), "lora", 2, {"batch_size": 4})]


@dataclass(frozen=True)
class Measured:
    """Bytes."""

    case: Case
    predicted: int
    measured: int

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured


def main() -> None:
    """Print a line a case, and how many lie within 15 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--keep", type=Path, help="where the random models are kept for the next time")
    options = parser.parse_args()
    cases = [case for case in (SHORT if options.short else CASES) if not options.only or named(case, options.only)]
    with tempfile.TemporaryDirectory() as folder:
        found = list(run_all(cases, Path(folder), options.keep or Path(folder) / "models"))
    near = [one for one in found if abs(one.ratio - 1) <= 0.15]
    print(f"{len(near)} of {len(found)} within 15 %")


def named(case: Case, parts: list[str]) -> bool:
    """Whether a case was asked for."""
    return any(part in case.name for part in parts)


def run_all(cases: list[Case], folder: Path, models: Path) -> Iterator[Measured]:
    """Measure each case, and say so."""
    for number, case in enumerate(cases):
        one = measure(case, folder / str(number), models)
        print(
            f"{case.name:32s} predicted {one.predicted / 1e6:7.0f} MB  measured {one.measured / 1e6:7.0f} MB  "
            f"ratio {one.ratio:.3f}",
            flush=True,
        )
        yield one


def measure(case: Case, folder: Path, models: Path) -> Measured:
    """Predict, then train."""
    base = random_model(case.model, models)
    snapshot = make_snapshot(case, folder)
    workspace = Workspace(folder)
    settings: dict[str, object] = {
        "method": case.method, "device": "cpu", "max_steps": 2, "batch_size": 8, "samples": 0, "evaluations": 0,
        "checkpoints": 0, "held_out_rows": 0, "packing": "off", "compile": "off",
    } | case.settings  # fmt: skip
    made = complete(workspace, snapshot.name, str(base), settings)
    on = made.spec.gradient_checkpointing == "on"
    assert made.shape
    predicted = predict(made.spec, made.shape, made.device, made.lengths, on).total
    run = workspace.runs / "run"
    run.mkdir(parents=True)
    (run / "spec.json").write_text(made.spec.model_dump_json())
    return Measured(case, predicted, train(run))


def train(run: Path) -> int:
    """The largest resident size of the training process, in bytes."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    log = (run / "log.txt").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "studio.training", str(run)], cwd=ROOT, env=environment, stdout=log, stderr=log
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, _peak(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit((run / "log.txt").read_text()[-3000:] + (run / "events.jsonl").read_text()[-800:])
    return peak


def _peak(pid: int) -> int:
    """The largest resident size so far. Not `ru_maxrss`: a child begins with that of the process which started it."""
    try:
        memory = psutil.Process(pid).memory_info() if not STATUS.exists() else None
        if memory is not None:
            return int(getattr(memory, "peak_wset", memory.rss))
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
    except (OSError, psutil.Error):  # it has just ended
        return 0


def make_snapshot(case: Case, folder: Path) -> Path:
    """Rows of like length; for an encoder one of four labels as the answer."""
    encoder = case.model[0] == "bert"
    rows = [
        (SENTENCE * (case.sentences - n % 2), f"label {n % 4}" if encoder else SENTENCE * max(1, case.sentences // 2))
        for n in range(40)
    ]
    snapshot = folder / "snapshots" / "snap"
    return tiny.make_snapshot(snapshot, rows, rows[:4], [])


def random_model(model: tuple[str, int, int, int], models: Path) -> Path:
    """A random model of such widths, made once: tests/tiny.py's with its config changed."""
    family, hidden, layers, vocabulary = model
    folder = models / "-".join(map(str, model))
    if (folder / "config.json").is_file():
        return folder
    import torch
    import transformers
    from transformers import AutoConfig

    tiny.make_model(folder, family, positions=2048)
    config = AutoConfig.from_pretrained(folder)
    for name, value in widths(family, hidden, layers, vocabulary).items():
        setattr(config, name, value)
    torch.manual_seed(0)
    kinds = {"t5": "AutoModelForSeq2SeqLM", "bart": "AutoModelForSeq2SeqLM", "bert": "AutoModel"}
    made: Any = getattr(transformers, kinds.get(family, "AutoModelForCausalLM")).from_config(config)
    made.save_pretrained(folder)
    return folder


def widths(family: str, hidden: int, layers: int, vocabulary: int) -> dict[str, int | list[str]]:
    """The settings of a config that make its size."""
    heads = max(1, hidden // 64)
    if family == "gpt2":
        return {"n_embd": hidden, "n_layer": layers, "n_head": heads, "vocab_size": vocabulary}
    if family == "t5":
        sizes = {"d_model": hidden, "d_ff": 4 * hidden, "num_layers": layers, "num_decoder_layers": layers}
        return sizes | {"num_heads": heads, "d_kv": 64, "vocab_size": vocabulary}
    if family == "bart":
        sides = {f"{side}_layers": layers for side in ("encoder", "decoder")}
        sides |= {f"{side}_attention_heads": heads for side in ("encoder", "decoder")}
        sides |= {f"{side}_ffn_dim": 4 * hidden for side in ("encoder", "decoder")}
        return sides | {"d_model": hidden, "vocab_size": vocabulary}
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    if family == "bert":
        return sizes | {"intermediate_size": 4 * hidden, "vocab_size": vocabulary}
    more = {"intermediate_size": 3 * hidden, "num_key_value_heads": heads, "head_dim": 64, "vocab_size": vocabulary}
    return sizes | more | {"layer_types": ["full_attention"] * layers}


if __name__ == "__main__":
    main()
