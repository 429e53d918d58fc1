"""The settings in a project's form: those its task has, and how it is labeled; in and out as a ProjectForm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from studio.data.projects import ORDERS, VOTES_TO
from studio.labeling.setup import ProjectForm

CLASSIFICATIONS = ("classification", "multi-label")
_LANGUAGES = ("Python", "JavaScript", "TypeScript", "SQL", "Java", "C++", "Go", "Rust", "Shell", "HTML")
_WHY_OVERLAP = "1 is fastest. 2 or more let you measure agreement: an example is done when so many have answered it."
_WHY_LEASE = "How long an example stays with an annotator who does nothing; it then goes to somebody else."
_WHY_ORDER = "The last two need scores or vectors: until there are some, they are as imported."
_WHY_REVIEW = "Only answers that a reviewer accepted enter snapshots."
_WHY_GOLD = "Examples with a known answer, hidden among the others: 0.05 is one in twenty. Pick them in Team."
_WHY_VOTES = "What votes and corrected answers in Compare become: preferences and pairs that a reviewer sees, or work."

_WHY_FORM = "Each evaluation counts the answers that look like this. A regular expression has to fit the whole answer."
_WHY_METRICS = (
    "Names of Python files in the workspace's folder metrics, one a line; each holds an evaluate.Metric. "
    "hub:owner/name downloads and runs one of the Hugging Face Hub."
)
_WHY_SUITE = (
    "Prompts that every new model must still answer well. Checks: contains, not_contains, regex, json_schema, "
    "must_refuse, max_tokens."
)
_SUITE = '[{"name": "Greets", "prompt": "Hello", "checks": {"contains": ["hello"]}}]'
_FORMS = [("none", ""), ("a regular expression", "regex"), ("a JSON schema", "schema")]

_SHOWN = {
    "rating": ("rating_max",),
    "translation": ("source_language", "target_language"),
    "code": ("code_language",),
    "preference": ("ask_margin", "ask_reason"),
}


@dataclass(frozen=True)
class TaskParts:
    """Controls by the field of ProjectForm that they hold; `labels` is for a new project only."""

    labels: gr.Textbox
    fields: dict[str, gr.components.Component]

    @property
    def controls(self) -> list[gr.components.Component]:
        """Every control, in one fixed order; its values make a form again in `to_form`."""
        return list(self.fields.values())


def task_controls() -> TaskParts:
    """Lay out what only some tasks have."""
    labels = gr.Textbox(
        label="Labels (one a line)",
        lines=4,
        visible=False,
        placeholder="refund\nparcel\nother",
        info="Leave it empty to take them from the file that you import.",
    )
    with gr.Row(elem_id="project-languages"):
        source = gr.Textbox(label="From language", placeholder="English", visible=False, max_lines=1, min_width=120)
        target = gr.Textbox(label="To language", placeholder="German", visible=False, max_lines=1, min_width=120)
    return TaskParts(
        labels,
        {
            "rating_max": gr.Slider(
                2, 10, 5, step=1, label="Highest rating", visible=False, info="Each rating has a key, 1 to 9 and 0."
            ),
            "source_language": source,
            "target_language": target,
            "code_language": gr.Dropdown(
                label="Programming language", choices=[*_LANGUAGES], value="", allow_custom_value=True, visible=False
            ),
            "ask_margin": gr.Checkbox(label="Ask by how much one answer is better", visible=False, container=False),
            "ask_reason": gr.Checkbox(label="Ask for a reason", visible=False, container=False),
        },
    )


def labeling_controls() -> dict[str, gr.components.Component]:
    """Lay out how a project is labeled, folded: the defaults are right for one person."""
    with gr.Accordion("How it is labeled", open=False, elem_id="project-labeling"):
        with gr.Row():
            overlap = gr.Number(
                label="Annotators an example", value=1, minimum=1, maximum=100, precision=0, min_width=120
            )
            lease = gr.Number(label="Minutes it is held", value=10, minimum=0.1, maximum=1440, min_width=120)
        gr.HTML(f"<p class='quiet'>{_WHY_OVERLAP} {_WHY_LEASE}</p>")
        order = gr.Dropdown(
            label="Order", choices=[(words, key) for key, words in ORDERS.items()], value="imported", info=_WHY_ORDER
        )
        review = gr.Checkbox(label="Answers are reviewed", info=_WHY_REVIEW, container=False)
        gold = gr.Slider(0, 0.5, 0, step=0.01, label="Share of gold examples", info=_WHY_GOLD)
        votes = gr.Dropdown(
            label="Votes go", choices=[(words, key) for key, words in VOTES_TO.items()], value="review", info=_WHY_VOTES
        )
    with gr.Accordion("How it is evaluated", open=False, elem_id="project-evaluation"):
        each = gr.Checkbox(label="Evaluate each run when it ends", value=True, container=False)
        kind = gr.Dropdown(label="Expected form of an answer", choices=_FORMS, value="", info=_WHY_FORM)
        form = gr.Textbox(label="The form", lines=3, max_lines=12, placeholder='\\d+ or {"type": "object"}')
        metrics = gr.Textbox(label="Own metrics", lines=2, max_lines=8, info=_WHY_METRICS)
        suite = gr.Textbox(label="Regression suite (JSON)", lines=4, max_lines=16, info=_WHY_SUITE, placeholder=_SUITE)
    held = {"overlap": overlap, "lease_minutes": lease, "order": order, "review": review, "gold_rate": gold}
    return {
        **held,
        "votes_to": votes,
        "form_kind": kind,
        "form": form,
        "metrics": metrics,
        "suite": suite,
        "evaluate_runs": each,
    }


def to_form(texts: tuple[str, str, str], names: list[str], values: tuple[Any, ...]) -> ProjectForm:
    """A form from name, system prompt and guidelines, and the values of controls by their names."""
    found = {name: _typed(name, value) for name, value in zip(names, values, strict=True)}
    return replace(ProjectForm(*texts), **found)


def to_updates(form: ProjectForm, names: list[str], task: str) -> list[Any]:
    """Updates that show a form in those controls, with the ones its task has."""
    shown = _SHOWN.get(task, ())
    always = {"overlap", "lease_minutes", "order", "review", "gold_rate", "votes_to"}
    always |= {"form_kind", "form", "metrics", "suite", "evaluate_runs"}
    return [gr.update(value=getattr(form, name), visible=name in always or name in shown) for name in names]


def shown_by(task: str, names: list[str]) -> list[Any]:
    """Updates that show the controls of a task and keep what they hold."""
    shown = _SHOWN.get(task, ())
    return [gr.update(visible=name in shown) for name in names]


def _typed(name: str, value: Any) -> Any:
    """An empty or odd value of a control as the kind that a form has: it is checked where it is saved."""
    kind = type(getattr(ProjectForm(), name))
    return (value or "").strip() if kind is str else kind(value or 0)
