"""The settings of a run as controls in groups: an empty one is chosen by the planner, which says what and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import gradio as gr

from studio.contract.spec import TrainSpec
from studio.language import tr

_FIELDS = TrainSpec.model_fields

CHOSEN = (
    *("epochs", "learning_rate", "batch_size", "max_length", "lora_rank", "lora_alpha", "weight_decay"),
    *("warmup_ratio", "gradient_accumulation"),
)
"""Numbers that the planner chooses where they are left empty; the plan's figures stand in them as placeholders."""

_MENUS = ("schedule",)
"""Menus in which the planner's choice is one of the choices, and the first."""

_LABELS = {
    "epochs": "Epochs",
    "max_steps": "Max steps (0 = by epochs)",
    "learning_rate": "Learning rate",
    "batch_size": "Batch size (rows)",
    "max_length": "Max length (tokens)",
    "seed": "Seed",
    "overlong": "Rows beyond it",
    "chat_template": "Chat template (Jinja; empty = the model's own)",
    "lora_rank": "Rank",
    "lora_alpha": "Alpha",
    "lora_dropout": "Dropout",
    "target_modules": "Layers",
    "lora_plus_ratio": "LoRA+ ratio",
    "prompt_tokens": "Prompt tokens",
    "beta": "Beta (preferences)",
    "schedule": "Schedule",
    "warmup_ratio": "Warm-up (share)",
    "weight_decay": "Weight decay",
    "max_grad_norm": "Gradient clip",
    "label_smoothing": "Label smoothing",
    "neftune": "NEFTune noise",
    "keep": "Keep",
    "patience": "Patience (0 = all steps)",
    "evaluations": "Validation passes",
    "device": "Device",
    "processes": "Processes that share a step",
    "devices": "GPUs that share a step",
    "dtype": "Number format",
    "gradient_accumulation": "Parts of a step",
    "gradient_checkpointing": "Checkpoint activations",
    "packing": "Packing",
    "compile": "Compile",
    "trackers": "Trackers, with commas",
    "canaries": "Planted codes",
}
_GROUPS: dict[str, tuple[str, ...]] = {
    "": ("epochs", "max_steps", "learning_rate", "batch_size", "max_length", "overlong", "seed"),
    "Adapter": ("lora_rank", "lora_alpha", "lora_dropout", "target_modules", "lora_plus_ratio", "prompt_tokens",
                "beta"),
    "Schedule": ("schedule", "warmup_ratio", "weight_decay", "max_grad_norm", "label_smoothing", "neftune", "keep",
                 "patience", "evaluations"),
    "Memory and speed": ("gradient_accumulation", "gradient_checkpointing", "packing", "compile", "device",
                         "processes", "devices", "dtype"),
    "Text and trackers": ("chat_template", "trackers", "canaries"),
}  # fmt: skip
_WORDS = {
    "target_modules": "auto, all-linear, attention, or names of layers",
    "processes": "a GPU each; what is learnt is the same",
    "devices": "by number, such as 0,1; empty: whichever are free",
    "trackers": "wandb, mlflow, trackio, where they are installed; TensorBoard files are always written",
    "canaries": "made-up codes among the training rows; an evaluation says how many were learnt by heart",
}

NAMES: tuple[str, ...] = tuple(name for names in _GROUPS.values() for name in names)
"""Every setting that has a control, in the order of the controls."""


def setting_controls() -> list[gr.components.Component]:
    """Lay the settings out in groups; the controls in the order of NAMES."""
    made: list[gr.components.Component] = []
    with gr.Accordion("Settings", open=False, elem_id="train-settings"):
        gr.HTML("<p class='quiet'>An empty field is chosen for you: the list above says what and why.</p>")
        for group, names in _GROUPS.items():
            if not group:
                made += _row(names)
                continue
            with gr.Accordion(group, open=False):
                made += _row(names)
    return made


def given(values: Sequence[Any]) -> dict[str, object]:
    """Settings by name without those left as they were: an empty field, or a default that nothing is chosen for."""
    named = dict(zip(NAMES, values, strict=True))
    named = {name: value.strip() if isinstance(value, str) else value for name, value in named.items()}
    return {name: value for name, value in named.items() if value not in (None, "") and value != _initial(name)}


def placeholders(shown: dict[str, str]) -> list[Any]:
    """Updates of the CHOSEN controls: what stands in them while they are empty."""
    return [gr.update(placeholder=shown.get(name, tr("chosen for you"))) for name in CHOSEN]


def _initial(name: str) -> object:
    """What a control holds at first: nothing where the planner chooses, else the spec's default."""
    return None if name in CHOSEN or name in _MENUS else _FIELDS[name].default


def _row(names: Sequence[str]) -> list[gr.components.Component]:
    with gr.Row():
        return [_control(name) for name in names]


def _control(name: str) -> gr.components.Component:
    field, label = _FIELDS[name], _LABELS[name]
    words = [str(word) for word in get_args(field.annotation)]
    if name in _MENUS:
        choices = [("chosen for you", ""), *((word, word) for word in words)]
        return gr.Dropdown(label=label, choices=choices, value="", min_width=150)
    if words:
        return gr.Dropdown(label=label, choices=words, value=str(field.default), min_width=150)
    if field.annotation is str:
        lines = 3 if name == "chat_template" else 1
        return gr.Textbox(label=label, value=field.default, lines=lines, info=_WORDS.get(name), min_width=260)
    if name in CHOSEN:  # gr.Number shows 0 where it holds nothing
        return gr.Textbox(label=label, placeholder="chosen for you", max_lines=1, min_width=130)
    digits = 0 if field.annotation is int else None
    return gr.Number(label=label, value=field.default, precision=digits, info=_WORDS.get(name), min_width=130)
