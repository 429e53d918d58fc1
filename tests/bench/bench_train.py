"""Training speed: our trainer against TRL's SFTTrainer (default and packed) and a plain transformers.Trainer.

    python tests/bench/bench_train.py [--data short|long] [--rows 160] [--sides ours,trl,…] [--compile] [--save NAME]
    python tests/bench/bench_train.py --device cuda --shape 1b|8b --save h100     random Llama, bfloat16, rows to 2048
    python tests/bench/bench_train.py --short                                      a tiny random model: no meaning

The same rows, tokens, targets, LoRA, dtype, seed, batch and learning rate; each side in a process of its own, with the
same number of threads. TRL and the plain Trainer run with their defaults (random batches, and for TRL entropy, token
accuracy and gradient checkpointing) but for the dtype. Short rows are banking77's (question to intent), long ones
gsm8k's. The time is that of `trainer.train()`, the speed counts non-padding tokens, "first step" runs from the start of
the process, the held-out loss of all is measured by the same code. The fraction of the ceiling is ours alone: floating
point operations counted on a few batches over those of a large matrix product in the same process, once the first two
steps are past. On a shared machine only the columns in processor time mean anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests import tiny  # noqa: E402
from tests.bench.train_rows import SHAPES, banking, gsm8k, random_llama, synthetic  # noqa: E402

RESULTS = Path(__file__).parent / "results"
MODELS = Path(os.environ.get("STUDIO_BENCH_MODELS", Path.home() / ".cache" / "sft-studio-bench"))
BATCH, RATE, SEED = 8, 5e-4, 0
WARM = 2
"""Steps that are not steady yet."""


def main() -> None:
    """Run the sides on each kind of rows and print speeds, memory, ratios and the difference in held-out loss."""
    options = parse()
    if options.child:
        child(options.child, Path(options.run))
        return
    kinds = ["tiny"] if options.short else [options.shape] if options.shape else options.data.split(",")
    found = {}
    for kind in ["short", "long"] if kinds == ["both"] else kinds:
        with tempfile.TemporaryDirectory() as folder:
            run = prepare(Path(folder), kind, options)
            chosen = options.sides or ("trl,ours" if options.short else "trl,trl-packed,plain,ours")
            sides = [*chosen.split(","), *(["ours-compiled"] if options.compile else [])]
            found[kind] = {side: measure(side, run, options.threads) for side in sides}
        print(f"\n== {kind} rows")
        show(found[kind])
    if options.save:
        save(options.save, found)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="both", help="short, long or both")
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument(
        "--sides",
        default="",
        help="of trl, trl-packed, trl-plain (TRL without checkpointing), plain, ours; default all but trl-plain",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--compile", action="store_true", help="ours once more, compiled from the first step")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--shape", choices=sorted(SHAPES), help="random Llama of this size, on --device cuda")
    parser.add_argument("--save", help="keep the figures in tests/bench/results/train-NAME.json")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--child")
    parser.add_argument("--run")
    return parser.parse_args()


def prepare(folder: Path, kind: str, options: argparse.Namespace) -> Path:
    """A run folder with snapshot and spec."""
    base: Path | str = "starter"
    models, fields = MODELS, {"batch_size": BATCH, "dtype": "float32", "device": options.device}
    if kind == "tiny":
        train, test = tiny.pairs(24), tiny.pairs(8, 100)
        base, models = tiny.make_model(folder / "base"), folder / "models"
    elif kind in SHAPES:
        train, test = synthetic(options.rows, 0), synthetic(options.held_out, 1)
        base, models = random_llama(folder / "base", kind), folder / "models"
        fields |= {"batch_size": 4, "dtype": "bfloat16", "max_length": 2048}
    else:
        read = {"short": banking, "long": gsm8k}[kind]
        train, test = read("train", options.rows), read("test", options.held_out)
    return tiny.make_run(
        folder / "run", tiny.make_snapshot(folder / "snapshot", train, [], test), models, base, epochs=1,
        learning_rate=RATE, schedule="linear", warmup_ratio=0, lora_rank=16, seed=SEED, samples=0, evaluations=0,
        checkpoints=0, compile="off", **fields,
    )  # fmt: skip


def measure(side: str, run: Path, threads: int) -> dict[str, Any]:
    """Train one side in a fresh process."""
    print(f"{side} …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--child", side, "--run", str(run)]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(threads),
        "STUDIO_BEGAN": str(time.time()),
    }
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
    return dict(json.loads((run / f"{side}.json").read_text()))


def child(side: str, run: Path) -> None:
    """One side: train, then the held-out loss, written to `<run>/<side>.json`."""
    clock = Clock()
    trained = ours(run, side, clock) if side.startswith("ours") else theirs(run, side)
    (run / f"{side}.json").write_text(json.dumps(trained | clock.figures()))


class Clock:
    """Notes when `Trainer.train`, which all sides inherit, and each of its forward passes begin and end."""

    def __init__(self) -> None:
        from transformers import Trainer

        self.passes: list[tuple[float, float, int]] = []
        self.ends = (0.0, 0.0)
        self.batches: list[Any] = []
        self.first_step = 0.0
        self.peak = 0
        train, step = Trainer.train, Trainer.training_step

        def timed_train(trainer: Any, *args: Any, **kwargs: Any) -> Any:
            self.began = (time.perf_counter(), time.process_time())
            result = train(trainer, *args, **kwargs)
            self.ends, self.peak = (time.perf_counter(), time.process_time()), peak_bytes()
            return result

        def timed_step(trainer: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self.passes.append((time.perf_counter(), time.process_time(), tokens_of(inputs)))
            self.batches.append(inputs)
            result = step(trainer, model, inputs, *args, **kwargs)
            self.first_step = self.first_step or time.time() - float(os.environ["STUDIO_BEGAN"])
            return result

        Trainer.train, Trainer.training_step = timed_train, timed_step  # type: ignore[method-assign]

    def figures(self) -> dict[str, Any]:
        """Seconds (on the clock, and of the processor) of the whole and of the steady part, with its tokens."""
        warm = self.passes[min(WARM, len(self.passes) - 1)]
        steady = self.passes[min(WARM, len(self.passes) - 1) :]
        return {
            "seconds": self.ends[0] - self.began[0],
            "cpu_seconds": self.ends[1] - self.began[1],
            "steady_seconds": self.ends[0] - warm[0],
            "steady_cpu_seconds": self.ends[1] - warm[1],
            "steady_tokens": sum(tokens for _, _, tokens in steady),
            "first_step": self.first_step,
            "peak_bytes": self.peak,
        }


def tokens_of(inputs: Any) -> int:
    """Non-padding tokens of a batch."""
    mask = inputs.get("attention_mask")
    return int(mask.sum()) if mask is not None else int(inputs["input_ids"].numel())


def peak_bytes() -> int:
    """The most memory that this process has held: of the GPU where there is one."""
    import resource

    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ours(run: Path, side: str, clock: Clock) -> dict[str, Any]:
    """Our recipe, whole; then the operations of a few of its batches counted, and the ceiling measured."""
    from studio.contract.events import read_all
    from studio.training import trainer as trainers
    from studio.training.ending import run_to_end

    if side == "ours-compiled":
        spec = json.loads((run / "spec.json").read_text()) | {"compile": "on"}
        run = run.with_name(side)
        run.mkdir()
        (run / "spec.json").write_text(json.dumps(spec))
    made: list[Any] = []
    before = trainers.AnswerTrainer.__init__

    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        before(self, *args, **kwargs)
        made.append(self)

    trainers.AnswerTrainer.__init__ = remember  # type: ignore[method-assign]
    assert run_to_end(run) == 0
    done = read_all(run)[-1].data
    began = next(event.data for event in read_all(run) if "packed" in event.data)
    counted = operations_a_token(made[0], clock.batches)
    return {
        "tokens": done["tokens"],
        "loss": done["tuned_loss"],
        "base_loss": done["base_loss"],
        "steps": done["steps"],
        "operations_a_token": counted,
        "ceiling": ceiling(made[0].args.device, json.loads((run / "spec.json").read_text())["dtype"]),
        "how": {key: began[key] for key in ("packed", "quick_layers", "compiled")},
    }


def operations_a_token(trainer: Any, batches: Sequence[Any]) -> float:
    """Floating point operations of forward and backward a token of the rows, counted eagerly on up to three batches."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    for layer in trainer.model.modules():
        layer._compiled_call_impl = None  # what is compiled cannot be counted
    some = batches[:: max(1, len(batches) // 3)][:3]
    trainer.model.train()
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        for batch in some:
            trainer.compute_loss(trainer.model, batch, num_items_in_batch=1).backward()
            trainer.model.zero_grad()
    return counter.get_total_flops() / sum(map(tokens_of, some))


def ceiling(device: Any, dtype: str) -> dict[str, float]:
    """Operations a second (of the clock, and of the processor) of a large matrix product."""
    import torch

    size = 8192 if device.type == "cuda" else 2048
    left = torch.full((size, size), 0.5, dtype=getattr(torch, dtype), device=device)
    best = [1e9, 1e9]
    for _ in range(8):
        began = time.perf_counter(), time.process_time()
        float((left @ left)[0, 0])
        best = [min(best[0], time.perf_counter() - began[0]), min(best[1], time.process_time() - began[1])]
    return {"clock": 2 * size**3 / best[0], "cpu": 2 * size**3 / max(best[1], 1e-9)}


def theirs(run: Path, side: str) -> dict[str, Any]:
    """Another trainer on the rows as our renderer tokenised and masked them."""
    from studio.contract.spec import read_train_spec
    from studio.models.loading import load_base
    from studio.training.data import read_split
    from studio.training.loss import mean_loss

    spec = read_train_spec(run)
    base = load_base(spec.models, spec.base_model, spec.device, spec.dtype)
    rows = read_split(spec.snapshot, "train", base.tokenizer, spec.max_length).rows
    held_out = read_split(spec.snapshot, "test", base.tokenizer, spec.max_length).rows
    make: Callable[..., Any] = plain if side == "plain" else trl
    trainer = make(spec, base, rows, str(run / side), side)
    trainer.train()
    loss = mean_loss(trainer.model, held_out, int(base.tokenizer.pad_token_id), BATCH)
    return {"tokens": sum(map(len, rows)), "loss": loss, "steps": trainer.state.global_step}


def trl(spec: Any, base: Any, rows: Sequence[Any], folder: str, side: str) -> Any:
    """TRL's SFTTrainer with its defaults, or with its packing (about as many tokens a step)."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from studio.training.data import IGNORED

    columns = {
        "input_ids": [row.ids.tolist() for row in rows],
        "completion_mask": [(row.labels != IGNORED).astype(int).tolist() for row in rows],
    }
    packed, length = side == "trl-packed", spec.max_length
    batch = max(1, round(spec.batch_size * sum(map(len, rows)) / len(rows) / length)) if packed else spec.batch_size
    settings = SFTConfig(
        output_dir=folder, per_device_train_batch_size=batch, max_length=length, packing=packed,
        completion_only_loss=True, **_common(spec),
        **({"gradient_checkpointing": False} if side == "trl-plain" else {}),
    )  # fmt: skip
    lora = LoraConfig(r=16, lora_alpha=spec.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return SFTTrainer(
        model=base.model, args=settings, train_dataset=Dataset.from_dict(columns), processing_class=base.tokenizer,
        peft_config=lora,
    )  # fmt: skip


def plain(spec: Any, base: Any, rows: Sequence[Any], folder: str, side: str) -> Any:
    """transformers' own Trainer: padded random batches, the model's own loss over all positions."""
    from peft import LoraConfig, get_peft_model
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    lora = LoraConfig(r=16, lora_alpha=spec.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    data = [{"input_ids": row.ids.tolist(), "labels": row.labels.tolist()} for row in rows]
    settings = TrainingArguments(output_dir=folder, per_device_train_batch_size=spec.batch_size, **_common(spec))
    collate = DataCollatorForSeq2Seq(base.tokenizer, padding=True)
    return Trainer(model=get_peft_model(base.model, lora), args=settings, train_dataset=data, data_collator=collate)


def _common(spec: Any) -> dict[str, Any]:
    return {
        "num_train_epochs": 1, "learning_rate": RATE, "seed": SEED, "bf16": spec.dtype == "bfloat16",
        "use_cpu": spec.device == "cpu", "report_to": "none", "save_strategy": "no", "disable_tqdm": True,
        "lr_scheduler_type": "linear",
    }  # fmt: skip


def show(results: dict[str, dict[str, Any]]) -> None:
    """Print a line a side, the ratios to ours, and ours against the ceiling."""
    print(machine())
    for side, one in results.items():
        print(
            f"{side:14} {one['tokens'] / one['seconds']:8.1f} tokens/s  {one['seconds']:7.1f} s "
            f"(processor {one['cpu_seconds']:.0f} s)  first step after {one['first_step']:.1f} s  "
            f"peak {one['peak_bytes'] / 2**20:.0f} MiB  {one['tokens']} tokens, {one['steps']} steps, "
            f"held-out loss {one['loss']:.4f}"
        )
    for own in (side for side in results if side.startswith("ours")):
        mine = results[own]
        _show_ceiling(own, mine)
        for side, other in results.items():
            if side.startswith("ours"):
                continue
            if side != "trl-packed":
                assert (mine["tokens"], mine["steps"]) == (other["tokens"], other["steps"])
            print(
                f"{own} / {side}: {other['seconds'] / mine['seconds']:.2f}x by the clock, "
                f"{other['cpu_seconds'] / mine['cpu_seconds']:.2f}x by processor time, steady "
                f"{_steady(mine) / _steady(other):.2f}x, "
                f"held-out loss {100 * (mine['loss'] / other['loss'] - 1):+.2f} %"
            )


def _steady(one: dict[str, Any]) -> float:
    """Tokens a second of the processor, once the first steps are past."""
    return float(one["steady_tokens"] / max(one["steady_cpu_seconds"], 1e-9))


def _show_ceiling(own: str, one: dict[str, Any]) -> None:
    done = one["operations_a_token"] * one["steady_tokens"]
    clock, cpu = done / one["steady_seconds"], done / max(one["steady_cpu_seconds"], 1e-9)
    print(
        f"{own}: base loss {one['base_loss']:.4f}; {one['how']}; {one['operations_a_token'] / 1e9:.3f} GFLOP a token, "
        f"steady {clock / 1e9:.0f} GFLOP/s, {100 * clock / one['ceiling']['clock']:.0f} % of a large product "
        f"({one['ceiling']['clock'] / 1e9:.0f}) by the clock, "
        f"{100 * cpu / one['ceiling']['cpu']:.0f} % by processor time"
    )


def save(name: str, found: dict[str, Any]) -> None:
    """Keep the figures with device, versions and date."""
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": machine(), "date": date.today().isoformat(), "command": sys.argv[1:], "results": found}
    (RESULTS / f"train-{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def machine() -> str:
    """Versions, Python, threads and the processor's (and GPU's) name."""
    import torch

    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl", "peft"))
    gpu = f" · {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{packages} · Python {platform.python_version()} · {os.cpu_count()} threads · {cpu_name()}{gpu}"


def cpu_name() -> str:
    """The processor's name, as far as the system tells it."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return platform.processor()


if __name__ == "__main__":
    main()
