"""Training speed: our trainer against TRL's SFTTrainer, the same rows, tokens, targets, LoRA, batch and learning rate.

    python tests/bench/bench_train.py [--rows 160] [--held-out 40] [--trl-plain] [--short]

Each side runs in a process of its own with the same number of threads. TRL runs with its defaults (random batches,
entropy and token accuracy at each step, gradient checkpointing) but for float32; `--trl-plain` adds a third run
with TRL's gradient checkpointing off. The time is that of `trainer.train()`, the speed counts non-padding tokens, and
the held-out loss of both is measured by the same code. `--short` takes a tiny random model: seconds, and no meaning.
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
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests import tiny  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
MODELS = Path(os.environ.get("STUDIO_BENCH_MODELS", Path.home() / ".cache" / "sft-studio-bench"))
BATCH, RATE, SEED = 8, 5e-4, 0


def main() -> None:
    """Run both sides and print speeds, their ratio and the difference in held-out loss."""
    options = parse()
    if options.child:
        child(options.child, Path(options.run))
        return
    with tempfile.TemporaryDirectory() as folder:
        run = prepare(Path(folder), options)
        sides = ["trl", "ours", *(["trl-plain"] if options.trl_plain else [])]
        results = {side: measure(side, run) for side in sides}
    show(results)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--trl-plain", action="store_true")
    parser.add_argument("--child")
    parser.add_argument("--run")
    return parser.parse_args()


def prepare(folder: Path, options: argparse.Namespace) -> Path:
    """A run folder with snapshot and spec: gsm8k on the starter, or a few lines on a tiny model."""
    if options.short:
        train, test = tiny.pairs(24), tiny.pairs(8, 100)
        base: Path | str = tiny.make_model(folder / "base")
        models = folder / "models"
    else:
        train, test = gsm8k("gsm8k_train", options.rows), gsm8k("gsm8k_test", options.held_out)
        base, models = (
            "starter",
            Path(os.environ.get("STUDIO_BENCH_MODELS", Path.home() / ".cache" / "sft-studio-bench")),
        )
    snapshot = tiny.make_snapshot(folder / "snapshot", train, [], test)
    return tiny.make_run(
        folder / "run", snapshot, models, base, epochs=1, batch_size=BATCH, learning_rate=RATE, schedule="linear",
        warmup_ratio=0, lora_rank=16, seed=SEED, samples=0, evaluations=0, checkpoints=0, dtype="float32",
    )  # fmt: skip


def gsm8k(name: str, count: int) -> list[tuple[str, str]]:
    """The first question/answer pairs of a GSM8K file."""
    with (DATA / f"{name}.jsonl").open(encoding="utf-8") as file:
        lines = [json.loads(line) for line, _ in zip(file, range(count), strict=False)]
    return [(line["question"], line["answer"]) for line in lines]


def measure(side: str, run: Path) -> dict[str, Any]:
    """Train one side in a fresh process."""
    print(f"{side} …", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--child", side, "--run", str(run)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(os.cpu_count())}
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
    return dict(json.loads((run / f"{side}.json").read_text()))


def child(side: str, run: Path) -> None:
    """One side: train, then the held-out loss, written to `<run>/<side>.json`."""
    timed = time_train()
    result = ours(run) if side == "ours" else trl(run, checkpointing=side == "trl")
    (run / f"{side}.json").write_text(json.dumps(result | timed))


def time_train() -> dict[str, float]:
    """Make `Trainer.train`, which both sides inherit, write down its seconds (on the clock, and of the processor)."""
    from transformers import Trainer

    before, timed = Trainer.train, {}

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        clock, processor = time.perf_counter(), time.process_time()
        result = before(self, *args, **kwargs)
        timed.update(seconds=time.perf_counter() - clock, cpu_seconds=time.process_time() - processor)
        return result

    Trainer.train = train  # type: ignore[method-assign]
    return timed


def ours(run: Path) -> dict[str, Any]:
    """Our recipe, whole."""
    from studio.contract.events import read_all
    from studio.training.ending import run_to_end

    assert run_to_end(run) == 0
    done = read_all(run)[-1].data
    return {
        "tokens": done["tokens"],
        "loss": done["tuned_loss"],
        "base_loss": done["base_loss"],
        "steps": done["steps"],
    }


def trl(run: Path, checkpointing: bool) -> dict[str, Any]:
    """TRL's SFTTrainer on the rows as our renderer tokenised and masked them."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from studio.contract.spec import read_train_spec
    from studio.models.loading import load_base
    from studio.training.data import IGNORED, read_split
    from studio.training.loss import mean_loss

    spec = read_train_spec(run)
    base = load_base(spec.models, spec.base_model, "cpu", spec.dtype)
    rows = read_split(spec.snapshot, "train", base.tokenizer, spec.max_length).rows
    held_out = read_split(spec.snapshot, "test", base.tokenizer, spec.max_length).rows
    columns = {
        "input_ids": [row.ids.tolist() for row in rows],
        "completion_mask": [(row.labels != IGNORED).astype(int).tolist() for row in rows],
    }
    settings = SFTConfig(
        output_dir=str(run / "trl"), num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=RATE,
        seed=SEED, max_length=spec.max_length, bf16=False, use_cpu=True, report_to="none", save_strategy="no",
        disable_tqdm=True, completion_only_loss=True, **({} if checkpointing else {"gradient_checkpointing": False}),
    )  # fmt: skip
    lora = LoraConfig(r=16, lora_alpha=spec.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=base.model, args=settings, train_dataset=Dataset.from_dict(columns), processing_class=base.tokenizer,
        peft_config=lora,
    )  # fmt: skip
    trainer.train()
    loss = mean_loss(trainer.model, held_out, int(base.tokenizer.pad_token_id), BATCH)
    return {"tokens": sum(map(len, rows)), "loss": loss, "steps": trainer.state.global_step}


def show(results: dict[str, dict[str, Any]]) -> None:
    """Print one line a side, and the ratios."""
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl", "peft"))
    print(f"{packages} · Python {platform.python_version()} · {os.cpu_count()} threads · {cpu_name()}")
    for side, result in results.items():
        speed = result["tokens"] / result["seconds"]
        print(
            f"{side:10} {speed:7.1f} tokens/s  {result['seconds']:7.1f} s (processor {result['cpu_seconds']:.0f} s)  "
            f"{result['tokens']} tokens, {result['steps']} steps, held-out loss {result['loss']:.4f}"
        )
    own = results["ours"]
    print(f"held-out loss of the base {own['base_loss']:.4f}")
    for side in (side for side in results if side != "ours"):
        other = results[side]
        assert (own["tokens"], own["steps"]) == (other["tokens"], other["steps"])
        print(
            f"ours / {side}: {other['seconds'] / own['seconds']:.2f}x by the clock, "
            f"{other['cpu_seconds'] / own['cpu_seconds']:.2f}x by processor time, "
            f"held-out loss {100 * (own['loss'] / other['loss'] - 1):+.2f} %"
        )


def cpu_name() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
