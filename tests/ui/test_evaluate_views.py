"""What Evaluate shows: the sentence first, hostile text as text, rows with their buttons, and what buttons ask for."""

from __future__ import annotations

from studio.contract.evaluation import ClassReport, ConfusionReport, EvalReport, MetricReport, VerdictReport, WayReport
from studio.jobs.evaluating import EvalPage, EvalRow
from studio.ui.evaluate import View, turned
from studio.ui.evaluate_views import Rows, report_html, rows_html, ways_html

HOSTILE = '<img src=x onerror="alert(1)">'


def made(**fields: object) -> EvalReport:
    accuracy = MetricReport(title="Accuracy", base=0.2, tuned=0.7, difference=0.5, low=0.4, high=0.6, p=0.0001, rows=40)
    verdict = VerdictReport(
        metric="accuracy", kind="better", sentence="Better on 60 % of 40.", rows=40, wins=24, ties=12, losses=4
    )
    known = {"run": "r", "snapshot": "s", "split": "test", "held_out": "h", "rows": 40}
    return EvalReport.model_validate(known | {"metrics": {"accuracy": accuracy}, "verdict": verdict} | fields)


def row(number: int, **fields: object) -> EvalRow:
    known = {
        "example_id": "e",
        "prompt": HOSTILE,
        "reference": HOSTILE,
        "base": HOSTILE,
        "tuned": "",
        "outcome": "loss",
    }
    scores = {"base_score": 1.0, "tuned_score": 0.0, "base_loss": None, "tuned_loss": None}
    return EvalRow(**(known | scores | {"row": number} | fields))  # type: ignore[arg-type]


def test_the_sentence_stands_first_and_figures_carry_their_intervals() -> None:
    html = report_html(made(), Rows())
    assert html.index("Better on 60 %") < html.index("Metrics") and "p &lt; 0.001" in html
    assert "+0.5" in html and "+0.4 to +0.6" in html and "24 better, 12 equal, 4 worse" in html


def test_what_models_and_labels_say_is_shown_as_text() -> None:
    classes = (ClassReport(label=HOSTILE, rows=3, base=(0, 0, 0), tuned=(1, 1, 1)),)
    confusion = ConfusionReport(labels=(HOSTILE, "b"), base=((1, 0, 0), (0, 1, 0)), tuned=((1, 0, 0), (0, 1, 0)))
    ways = (
        WayReport(
            name="base", words=HOSTILE, value=0, low=None, high=None, seconds=1, prompt_tokens=1, answer_tokens=1
        ),
    )
    page = EvalPage((row(1),), 1)
    html = report_html(
        made(classes=classes, confusion=confusion, ways=ways, advice=HOSTILE, notes=(HOSTILE,)), Rows(page)
    )
    assert "<img" not in html and html.count("&lt;img") >= 7


def test_rows_have_buttons_for_wins_and_losses_and_pages() -> None:
    page = EvalPage(tuple(row(n) for n in range(10)), 31)
    html = rows_html(Rows(page, "loss", 10, asked=3, why="<p>because</p>"), page)
    assert 'data-id="rows:loss:0"' in html and 'data-id="rows:loss:20"' in html and "11–20 of 31" in html
    assert 'data-id="rows:win:0" aria-pressed="false"' in html and "(no answer)" in html
    assert html.count("because") == 1 and 'data-id="why:3" aria-expanded="true"' in html


def test_a_button_that_is_none_of_ours_changes_nothing() -> None:
    view = View("win", 10)
    assert turned(view, "loss:20") == View("loss", 20)
    assert turned(view, "drop:0") is view and turned(view, "loss:-1") is view and turned(view, "") is view


def test_without_other_ways_nothing_is_said_of_them() -> None:
    assert ways_html((), "") == ""
