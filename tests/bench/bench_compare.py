"""Base and two adapters answer the same prompts: our engine against plain `generate` calls of three loaded models.

    python tests/bench/bench_compare.py [--prompts 64] [--tokens 96] [--at-once 64] [--threads 2] [--save]
    python tests/bench/bench_compare.py --short        a tiny random model: no meaning

Plain: the base and a PeftModel for each adapter, loaded one by one as anybody would, and for each one `generate` call
with all prompts as one left-padded batch. Ours: one base in memory, all rows of all three in one running batch. Each
side is a process of its own, whose peak memory is VmHWM from /proc (a child inherits ru_maxrss). The prompts are
general questions (short answers), banking77 and gsm8k rows (long ones), a third each; the adapters are LoRA r16 over
all linear layers with small random weights, so that their answers are sentences yet not those of the base. Counted
are answer tokens up to the end token. On a shared machine only the columns in processor time mean anything.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from studio.contract.chat import Message, prompt_ids  # noqa: E402
from studio.jobs.processes import gives_memory_back  # noqa: E402
from tests.bench import saved  # noqa: E402
from tests.bench.train_rows import banking, gsm8k  # noqa: E402

MODELS = Path(os.environ.get("STUDIO_BENCH_MODELS", Path.home() / ".cache" / "sft-studio-bench"))
RUNS = ("one", "two")
QUESTIONS = ROOT / "studio" / "evaluation" / "general_questions.json"
Answers = list[tuple[str, int]]
"""Text and tokens of each prompt under the base, then under each adapter."""


@dataclass(frozen=True)
class Side:
    """What one process measured: answer tokens, seconds of clock and processor for them, peak memory in bytes."""

    name: str
    tokens: int
    clock: float
    processor: float
    peak: int
    texts: list[str]

    def line(self) -> str:
        """Its figures."""
        return (
            f"{self.name:6s} {self.tokens / self.clock:7.1f} tokens/s by the clock, "
            f"{self.tokens / self.processor:7.1f} by processor time ({self.tokens} tokens, {self.clock:.0f} s), "
            f"peak {self.peak / 1e6:.0f} MB"
        )


def main(arguments: Sequence[str] | None = None) -> tuple[Side, Side]:
    """Measure both sides and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        child(options)
        raise SystemExit(0)
    with tempfile.TemporaryDirectory() as folder:
        run_child("make", folder, options)
        plain, ours = (Side(**run_child(name, folder, options)) for name in ("plain", "ours"))
    lines = told(plain, ours)
    print("\n".join(lines))
    if options.save:
        note = f"--prompts {options.prompts} --tokens {options.tokens} --at-once {options.at_once}"
        saved.save("compare-cpu", "bench_compare", note, lines, options.threads)
    return plain, ours


def told(plain: Side, ours: Side) -> list[str]:
    """What is printed."""
    same = sum(one == other for one, other in zip(plain.texts, ours.texts, strict=True))
    speed = ours.tokens / plain.tokens
    return [
        plain.line(),
        ours.line(),
        f"ours / plain: {speed * plain.clock / ours.clock:.2f}x tokens/s by the clock, "
        f"{speed * plain.processor / ours.processor:.2f}x by processor time, {ours.peak / plain.peak:.2f}x peak memory",
        f"same greedy text: {same} of {len(plain.texts)}",
    ]


def run_child(name: str, folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """One side in a process of its own."""
    command = [sys.executable, __file__, "--child", name, "--folder", folder, "--threads", str(options.threads)]
    command += ["--prompts", str(options.prompts), "--tokens", str(options.tokens), "--at-once", str(options.at_once)]
    command += ["--short"] if options.short else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "PYTHONPATH": str(ROOT)}
    environment |= gives_memory_back() if name == "ours" else {}  # as the app starts an engine
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    path = Path(folder) / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def child(options: argparse.Namespace) -> None:
    """What happens in the process of one side."""
    import torch

    from studio.models.quiet import be_quiet

    be_quiet()
    torch.set_num_threads(options.threads)
    base = str(options.folder / "base") if options.short else "starter"
    if options.child == "make":
        make(options.folder, base, options.short)
        return
    answer = (plain_side if options.child == "plain" else our_side)(options, base)
    prompts = texts(options.prompts)
    answer(prompts[:2], 2)  # what is made at first use is no part of the figures
    clock, processor = time.perf_counter(), time.process_time()
    found = answer(prompts, options.tokens)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    side = Side(options.child, sum(n for _, n in found), clock, processor, peak(), [text for text, _ in found])
    (options.folder / f"{options.child}.json").write_text(json.dumps(vars(side)))


def make(folder: Path, base: str, short: bool) -> None:
    """The adapters, and for the short form the model."""
    import torch
    from peft import LoraConfig, get_peft_model

    from studio.models.loading import load_base
    from tests import tiny

    if short:
        tiny.make_model(folder / "base")
    for seed, run in enumerate(RUNS):
        torch.manual_seed(seed)
        config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        tuned = get_peft_model(load_base(MODELS, base, "cpu", "float32").model, config)
        with torch.no_grad():
            for name, weight in tuned.named_parameters():
                if "lora_B" in name:
                    weight.copy_(torch.randn_like(weight) * (0.5 if short else 0.01))
        tuned.save_pretrained(folder / "runs" / run / "adapter")


def plain_side(options: argparse.Namespace, base: str) -> Callable[[list[str], int], Answers]:
    """Three models, each asked by one `generate` call."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from studio.models.answers import stop_ids
    from studio.models.loading import load_tokenizer, resolve

    folder = resolve(MODELS, base)
    tokenizer = load_tokenizer(folder, base)
    models = [AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()]
    for run in RUNS:
        own = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        models.append(PeftModel.from_pretrained(own, options.folder / "runs" / run / "adapter").eval())
    ends = stop_ids(models[0], tokenizer)

    def answer(prompts: list[str], tokens: int) -> Answers:
        rows = [prompt_ids(tokenizer, [Message("user", prompt)]) for prompt in prompts]
        width = max(map(len, rows))
        ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        settings = {"do_sample": False, "max_new_tokens": tokens, "eos_token_id": ends, "temperature": None}
        settings |= {"top_p": None, "top_k": None, "pad_token_id": tokenizer.pad_token_id}
        found: Answers = []
        with torch.inference_mode():
            for model in models:
                written = model.generate(input_ids=ids, attention_mask=mask, **settings)[:, width:].tolist()
                found += [_until(tokenizer, row, ends) for row in written]
        return found

    return answer


def _until(tokenizer: Any, row: list[int], ends: Sequence[int]) -> tuple[str, int]:
    """An answer's text and its tokens, its end token counted."""
    end = next((at for at, token in enumerate(row) if token in ends), len(row))
    text = tokenizer.decode(row[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text), min(end + 1, len(row))


def our_side(options: argparse.Namespace, base: str) -> Callable[[list[str], int], Answers]:
    """One engine, everything in one running batch."""
    from studio.inference.engine import Engine
    from studio.inference.request import GenerationRequest
    from studio.models.loading import load_base

    engine = Engine(load_base(MODELS, base, "cpu", "float32"), options.folder / "runs")

    def answer(prompts: list[str], tokens: int) -> Answers:
        rows = [
            engine.prepare(GenerationRequest((Message("user", prompt),), run, max_tokens=tokens))
            for run in (None, *RUNS)
            for prompt in prompts
        ]
        order = sorted(range(len(rows)), key=lambda at: -len(rows[at].ids))
        texts, counts = [""] * len(rows), [0] * len(rows)
        for delta in engine.decode([rows[at] for at in order], at_once=options.at_once):
            texts[order[delta.row]] += delta.text
            if delta.done:
                counts[order[delta.row]] = delta.done.completion_tokens
        return list(zip(texts, counts, strict=True))

    return answer


def texts(count: int) -> list[str]:
    """The prompts: a third general questions, a third of banking77, a third of gsm8k."""
    third = -(-count // 3)
    general = [one["question"] for one in json.loads(QUESTIONS.read_text(encoding="utf-8"))][:third]
    others = [[question for question, _ in rows] for rows in (banking("test", third), gsm8k("test", third))]
    return [text for row in zip(general, *others, strict=True) for text in row][:count]


def peak() -> int:
    """The largest resident size of this process so far, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
