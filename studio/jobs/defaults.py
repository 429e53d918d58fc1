"""Good settings for a run before anybody has thought about them: by family, method, size, rows, and the reason of each.

They come from the methods' papers and from what was measured with the starter models (tests/bench); every one of them
is a start that seldom fails, and no optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from studio.contract.shapes import Shape
from studio.contract.spec import Family, Method
from studio.jobs.plan_tokens import Lengths
from studio.language import mark, tr

SHORT_ENOUGH = 1024
"""Tokens: up to here a limit on the length saves nothing, as no row is padded beyond the longest beside it."""


@dataclass(frozen=True)
class Chosen:
    """A setting, its value, and why it is that."""

    name: str
    value: object
    why: str


def good_defaults(
    family: Family,
    shape: Shape | None,
    rows: int,
    lengths: Lengths | None,
    given: Mapping[str, object] | None = None,
    objective: str = "sft",
) -> tuple[Chosen, ...]:
    """Every setting that is worth choosing, without those in `given` (which the others are chosen to go with)."""
    given = dict(given or {})
    method = _method(family, given)
    size = shape.parameters if shape else 1_000_000_000
    batch = _batch(family, rows)
    chosen = [
        Chosen("method", method, _why_method(family)),
        _epochs(family, method, rows, objective),
        *_batches(batch, given),
        Chosen("learning_rate", *_rate(family, method, size, objective)),
        *_course(family, method),
        *([Chosen("weight_decay", 0.01, tr("a little, so that weights do not drift"))] if method == "full" else []),
        *_adapter(method, rows, given),
        *([_length(shape, lengths)] if lengths is not None else []),
    ]
    return tuple(one for one in chosen if one.name not in given)


def _method(family: Family, given: Mapping[str, object]) -> Method:
    named = str(given.get("method") or "")
    return named if named else ("full" if family == "encoder" else "lora")  # type: ignore[return-value]


def _why_method(family: Family) -> str:
    if family == "encoder":
        return tr("a classifier is small enough to train whole, and learns more that way")
    return tr("learns a style or format from hundreds of pairs, leaves the base model as it is, saves to megabytes")


def _epochs(family: Family, method: Method, rows: int, objective: str) -> Chosen:
    if objective != "sft":
        why = tr("preferences are learnt fast, and overlearnt soon after")
        return Chosen("epochs", 1.0 if rows >= 500 else 2.0, why)
    steps = ((500, 10.0), (2000, 6.0), (8000, 5.0), (50_000, 3.0)) if family == "encoder" else (
        (100, 5.0), (5000, 3.0), (20_000, 2.0))  # fmt: skip
    epochs = next((passes for most, passes in steps if rows < most), 1.0 if family != "encoder" else 2.0)
    if method in ("prompt", "ia3", "vera"):
        epochs *= 2
    few = mark("so many rows need few passes") if rows >= 5000 else mark("usual")
    few = mark("few rows are read more often") if rows < 500 else few
    why = tr("passes over {rows:,} rows ({few}); the best point of the run is what is kept", rows=rows, few=tr(few))
    return Chosen("epochs", epochs, why)


def _batch(family: Family, rows: int) -> int:
    if family == "encoder":
        return 32 if rows >= 1000 else 16 if rows >= 100 else 8
    return 32 if rows >= 50_000 else 16 if rows >= 10_000 else 8


def _batches(batch: int, given: Mapping[str, object]) -> list[Chosen]:
    """Rows a forward pass; with one of the two numbers given the other follows from it."""
    if "batch_size" in given or "gradient_accumulation" in given:
        return []
    why = tr("{rows} rows a step: enough to be steady, few enough to learn from each", rows=batch)
    return [Chosen("batch_size", batch, why)]


def _rate(family: Family, method: Method, size: int, objective: str) -> tuple[float, str]:
    """Learning rate by method and size: the fewer weights learn, and the smaller the model, the higher it may be."""
    small, middle = size < 50_000_000, size < 400_000_000
    if objective != "sft":
        return (5e-6 if method == "full" else 5e-5), tr("preferences want a tenth of what answers do")
    about = _usual(method, size)
    if method == "full":
        if family == "encoder":
            return (2e-4 if small else 5e-5 if middle else 2e-5), about
        if family == "seq2seq":
            return (3e-4 if middle else 1e-4), about
        return (3e-4 if small else 5e-5 if middle else 1e-5), about
    base = 1e-3 if small else 5e-4 if middle else 2e-4 if size < 20_000_000_000 else 1e-4
    factor = {"rslora": 0.5, "pissa": 0.4, "lora-plus": 0.4, "vera": 10.0, "ia3": 10.0, "prompt": 20.0}.get(method, 1.0)
    return float(f"{min(base * factor, 0.1):.1g}"), about


def _usual(method: Method, size: int) -> str:
    """Where a rate comes from that is usual for a method and a size."""
    title = tr(_TITLES[method])
    if size >= 1e9:
        return tr("usual for {method} on a model of {size:.1f} billion weights", method=title, size=size / 1e9)
    return tr("usual for {method} on a model of {size:.0f} million weights", method=title, size=size / 1e6)


_TITLES: dict[Method, str] = {
    "lora": "LoRA",
    "rslora": mark("rsLoRA (its updates are larger)"),
    "dora": "DoRA",
    "pissa": mark("PiSSA (it starts on the main directions)"),
    "lora-plus": mark("LoRA+ (half of its weights learn faster)"),
    "vera": mark("VeRA (very few weights learn)"),
    "ia3": mark("IA³ (very few weights learn)"),
    "prompt": mark("prompt tuning (very few weights learn)"),
    "qlora": "QLoRA",
    "full": mark("full fine-tuning"),
}


def _course(family: Family, method: Method) -> list[Chosen]:
    """How the learning rate goes; where nothing is said, as the spec has it."""
    if family != "encoder" or method != "full":
        return []
    why = tr("a new head begins at random: gently at first, so that it does not shake what the body knows")
    return [
        Chosen("schedule", "linear", tr("down to nothing in a straight line: usual for classifiers")),
        Chosen("warmup_ratio", 0.1, why),
    ]


def _adapter(method: Method, rows: int, given: Mapping[str, object]) -> list[Chosen]:
    if method not in ("lora", "rslora", "dora", "pissa", "lora-plus", "qlora", "vera"):
        return []
    rank = 256 if method == "vera" else 8 if rows < 100 else 16 if rows < 10_000 else 32
    used = _whole(given.get("lora_rank"), rank)
    why = tr("{rows:,} rows: more rows can fill a higher rank", rows=rows)
    if method == "vera":
        why = tr("VeRA's shared random matrices want a high rank: it costs next to nothing")
    return [
        Chosen("lora_rank", rank, why),
        Chosen(
            "lora_alpha",
            float(min(2 * used, 4096)),
            tr("twice the rank, so that the rate need not change with it"),
        ),
    ]


def _length(shape: Shape | None, lengths: Lengths) -> Chosen:
    """The 99.9th percentile, with room for the estimate's error, never beyond what the model has positions for."""
    window = shape.window if shape and shape.window else 1_000_000
    longest, most = lengths.percentile(1.0), lengths.percentile(0.999)
    if 1.3 * longest <= SHORT_ENOUGH:
        why = tr("the longest row has about {tokens} tokens: none is left out", tokens=longest)
        return Chosen("max_length", min(SHORT_ENOUGH, window), why)
    wanted = -(-int(1.15 * most + 16) // 128) * 128
    why = tr("99.9 % of the rows have at most about {tokens} tokens", tokens=most)
    if wanted > window:
        return Chosen("max_length", window, tr("the model has no more positions ({why})", why=why))
    return Chosen("max_length", max(wanted, min(SHORT_ENOUGH, window)), why)


def _whole(value: object, otherwise: int) -> int:
    try:
        return int(str(value)) if value is not None else otherwise
    except ValueError:
        return otherwise
