"""The verdict's page: hostile texts are texts, it asks for nothing, says what the screen says, keeps texts back."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from storage.audit import search_audit
from storage.database import Database
from storage.projects import create_project
from storage.records import User
from storage.runs import create_run
from studio.contract.colours import DARK, LIGHT
from studio.contract.evaluation import (
    CaseReport,
    ClassReport,
    ConfusionReport,
    EvalReport,
    GeneralReport,
    MemorisedReport,
    MetricReport,
    RegressionReport,
    SliceReport,
    VerdictReport,
    WayReport,
)
from studio.contract.export import DataRecord, Records
from studio.errors import BadInput, NotFound
from studio.jobs.evaluating import EvalRow
from studio.jobs.verdict_page.page import POLICY, file_name, stylesheet, verdict_page
from studio.jobs.verdict_page.records import VerdictRecords, read_records
from studio.jobs.verdict_page.rows import sample, shown_rows
from studio.jobs.verdict_page.saving import verdict_file, write_page
from studio.settings import Workspace
from studio.ui.evaluate_views import Rows, metrics_html, report_html
from tests.jobs.judged_run import evaluated

HOSTILE = '</style></title><script src="https://evil.example/x.js">alert(1)</script><img src=x onerror="alert(1)">'
SECRET = "SECRET-OF-A-ROW"


class Page(HTMLParser):
    """Tags, attributes and words of a page, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def metric(title: str = "Accuracy", **fields: object) -> MetricReport:
    known = {"base": 0.2, "tuned": 0.7, "difference": 0.5, "low": 0.4, "high": 0.6, "p": 0.0001, "rows": 40}
    return MetricReport.model_validate({"title": title} | known | fields)


def report(text: str = "words", **fields: object) -> EvalReport:
    verdict = VerdictReport(
        metric="accuracy", kind="better", sentence="Better on 60 % of 40 held-out answers (45–74 %), worse on 10 %.",
        rows=40, wins=24, ties=12, losses=4,
    )  # fmt: skip
    loss = metric("Held-out loss", base=2.31, tuned=0.82, difference=-1.49, low=-1.62, high=-1.37, higher=False)
    own = metric(f"mine {text}", base=12000, tuned=13200, difference=1200, low=None, high=None, p=None, reason=text)
    square = ((20, 1, 0), (2, 17, 0))
    made = {
        "run": "r",
        "snapshot": "a" * 64,
        "split": "test",
        "held_out": "b" * 64,
        "rows": 40,
        "base_hash": "c" * 64,
        "adapter_hash": "d" * 64,
        "device": "cpu",
        "most_tokens": 256,
        "metrics": {"accuracy": metric(), "loss": loss, "mine": own},
        "verdict": verdict,
        "classes": (ClassReport(label=text, rows=21, base=(0.1, 0.2, 0.3), tuned=(0.4, 0.5, 0.6)),),
        "confusion": ConfusionReport(labels=(text, "b"), base=square, tuned=square),
        "slices": (SliceReport(kind="label", name=text, rows=9, base=0, tuned=1, difference=1, low=0.5, high=1),),
        "ways": (WayReport(name="base", words="the base", value=0.2, low=0.1, high=0.3, seconds=1, prompt_tokens=9,
                           answer_tokens=9),),
        "advice": "Use the fine-tuned model.",
        "regression": RegressionReport(sentence=f"Fails: {text}.", cases=(
            CaseReport(name=text, base=True, tuned=False, why=text, answer=text),)),
        "general": GeneralReport(sentence="Nothing was forgotten.", base=1.0, tuned=1.1, kinds=(("facts", 9, 1, 1.1),)),
        "memorised": MemorisedReport(sentence="None is continued.", rows=9, base=0, tuned=0),
    }  # fmt: skip
    return EvalReport.model_validate(made | fields)


def row(number: int, outcome: str = "win", text: str = "words", **fields: object) -> EvalRow:
    scores = {"win": (0.0, 1.0), "loss": (1.0, 0.0), "tie": (0.5, 0.5)}[outcome]
    known = {"prompt": text, "reference": text, "base": text, "tuned": f"{text}!", "base_loss": None}
    known |= {"tuned_loss": None, "base_score": scores[0], "tuned_score": scores[1], "outcome": outcome}
    return EvalRow(**(known | {"row": number, "example_id": f"e{number}"} | fields))  # type: ignore[arg-type]


def records(text: str = "words", texts: bool = True, **fields: object) -> VerdictRecords:
    about = Records(
        studio="0.1.0", project=f"Mail {text}"[:200], number=3, method="lora", device="cpu", trained="2026-11-20",
        settings={"learning_rate": 3e-4, "seed": 7, "neftune": 5.0, "weight_decay": 0.0},
        data=DataRecord(version=2, hash="e" * 64, rows={"train": 300, "test": 40}, answers=340, annotators=4),
    )  # fmt: skip
    rows = (row(1, "win", text), row(2, "loss", text), row(3, "tie", text)) if texts else ()
    return replace(
        VerdictRecords("run-3", "/home/somebody/models/tiny", report(text), about, datetime.now(UTC), texts, rows,
                       snapshot_id="a" * 64, split_seed=11, eval_seed=13, versions={"torch": "2.13.0"}),
        **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def test_hostile_texts_are_texts_and_nothing_is_asked_for() -> None:
    html = verdict_page(records(HOSTILE))
    page = Page(html)
    assert not {"script", "img", "iframe", "object", "embed", "a", "form", "base", "video", "audio"} & set(page.tags)
    assert html.count("</style>") == html.count("</title>") == page.tags.count("style") == 1
    assert not [one for one in page.attributes if one[1].startswith("on")]
    loads = {"src", "href", "srcset", "action", "data", "poster", "background", "xlink:href"}
    assert [one for one in page.attributes if one[1] in loads] == [("link", "href", "data:,")]
    assert [value for _, name, value in page.attributes if name == "style" and not _plain(value)] == []
    assert "url(" not in stylesheet() and "@import" not in stylesheet() and "http" not in stylesheet()
    assert page.text.count("<script src=") >= 8  # shown, as words


def _plain(style: str) -> bool:
    return re.fullmatch(r"flex:\d+|--share:\d+%", style) is not None


def test_the_policy_lets_nothing_in_and_stands_before_everything_else() -> None:
    html = verdict_page(records())
    assert POLICY == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = html[: html.index("<style>")]
    assert f'http-equiv="Content-Security-Policy" content="{POLICY}"' in head
    assert head.index("Content-Security-Policy") < head.index("<title>")


def test_figures_are_those_of_the_screen() -> None:
    found = records()
    page, screen = Page(verdict_page(found)).text, Page(report_html(found.report, Rows())).text
    assert found.report.verdict.sentence in page and found.report.verdict.sentence in screen
    figures = re.findall(r"[+−±]?\d[\d.,]*\d|p [<=] [\d.]+", Page(metrics_html(found.report)).text)
    assert len(figures) >= 12 and [figure for figure in figures if figure not in page] == []
    for said in ("+0.4 to +0.6", "−1.62 to −1.37", "p < 0.001", "0.30 → 0.60", "Nothing was forgotten.", "12,000"):
        assert said in page and said in screen


def test_the_plot_says_in_words_what_it_draws_and_colours_only_what_is_shown() -> None:
    page = Page(verdict_page(records()))
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert labels[0] == "Accuracy: +0.5 (+0.4 to +0.6) on a scale from 0 to 1" and "nats a token" in labels[1]
    kinds = [value for tag, name, value in page.attributes if tag == "svg" and name == "class" and value != "spark"]
    assert kinds == ["good", "good", ""]  # less loss is better, and of the third no interval is known
    worse = replace(records(), report=report(metrics={"accuracy": metric(difference=-0.5, low=-0.6, high=-0.4)}))
    assert '<svg viewBox="0 0 400 26" class="bad"' in verdict_page(worse)


def test_without_texts_no_text_of_a_row_is_in_it() -> None:
    kept = replace(records(SECRET), about=records().about)
    assert SECRET in verdict_page(kept)
    metrics = {"accuracy": metric()}  # a name that the project gave is no text of a row
    back = replace(kept, texts=False, report=report(SECRET, metrics=metrics))
    html = verdict_page(back)
    assert SECRET not in html and "This file holds no texts of rows." in html
    assert "class 1" in html and "0 of 1 case pass with the run, 1 with the base; 1 that the base passes fail" in html
    named = verdict_page(replace(back, labels=(SECRET, "b")))
    assert f">{SECRET}</th>" in named and "class 1" not in named


def test_lineage_names_what_it_takes_and_no_place_of_this_machine() -> None:
    page = Page(verdict_page(records())).text
    for said in ("a" * 64, "b" * 64, "c" * 64, "d" * 64, "e" * 64, "training 7 · split 11 · evaluation 13"):
        assert said in page
    assert "SFT Studio 0.1.0 · torch 2.13.0" in page and "4 annotators" in page and "train 300" in page
    assert "neftune 5 0" in page and "weight decay" not in page  # only what is not the default
    assert "/home" not in page and "tiny" in page


def test_biggest_wins_and_losses_come_first_and_ties_are_spread() -> None:
    rows = [row(n, "win", base_score=0.0, tuned_score=n / 10) for n in range(1, 10)]
    assert [one.row for one in sample(rows, "win", 3)] == [9, 8, 7]
    ties = [row(n, "tie") for n in range(20)]
    assert [one.row for one in sample(ties, "tie", 4)] == [0, 5, 10, 15]
    assert shown_rows([*rows, *ties]) == 10


def test_an_answer_like_the_reference_is_diffed_and_a_long_one_is_cut() -> None:
    near = row(
        1, reference="The lid is open: close it and press start.", base="", tuned="The lid is open: press start."
    )
    html = verdict_page(replace(records(), rows=(near,)))
    assert "<del>" in html and "(no answer)" in html
    same = verdict_page(replace(records(), rows=(row(1, "tie", base="So.", tuned="So."),)))
    assert "Base and tuned" in same
    long = verdict_page(replace(records(), rows=(row(1, tuned="x" * 3000),)))
    assert "… 1,600 more characters" in long and "x" * 1401 not in long


def test_a_bare_report_makes_a_page_without_empty_parts() -> None:
    unclear = VerdictReport(metric="accuracy", kind="unknown", sentence="Unclear.", rows=2)
    known = {"run": "r", "snapshot": "s", "split": "test", "held_out": "h", "rows": 2}
    bare = EvalReport.model_validate(known | {"metrics": {"accuracy": metric()}, "verdict": unclear})
    page = Page(verdict_page(VerdictRecords("r", "starter", bare, Records(), datetime.now(UTC), True)))
    assert page.tags.count("h2") == 3 and "Regression" not in page.text and "Classes" not in page.text


def test_half_characters_and_control_characters_become_marks() -> None:
    html = verdict_page(replace(records(), rows=(row(1, tuned="a\x00b\ud800c"),)))
    assert "a\ufffdb\ufffdc" in html and html.encode("utf-8")


def test_it_is_light_on_paper_and_each_colour_is_the_studios() -> None:
    css = stylesheet()
    assert "@media screen and (prefers-color-scheme: dark)" in css and "@page { size: A4" in css
    assert set(re.findall(r"var\(--([\w-]+)\)", css)) - {"share"} <= set(LIGHT) & set(DARK)


def test_a_file_is_named_after_project_and_run_in_plain_letters() -> None:
    about = Records(project='Größe/../"x"', number=3)
    assert file_name(replace(records(), about=about)) == "Groe-x-run-3-verdict.html"
    assert file_name(replace(records(), about=Records(project="数据", number=1))) == "project-run-1-verdict.html"


def test_the_records_of_a_run_are_read_and_saving_is_noted(db: Database, workspace: Workspace) -> None:
    run = evaluated(db, workspace, [(f"{SECRET} {n}?", "bad", "good") for n in range(9)])
    assert read_records(db, workspace, run.id, False).rows == ()
    made = verdict_file(db, workspace, User("ann", "admin"), run.id, True)
    html = unescape(made.content.decode())
    assert made.name == "Mail-run-1-verdict.html" and made.sentence == "Better." and html.count(f"{SECRET} ") == 12
    assert SECRET not in verdict_file(db, workspace, User("ann", "admin"), run.id, False).content.decode()
    lines = search_audit(db, action="verdict save")
    assert [(line.user, line.subject, line.details["texts"]) for line in lines] == [
        ("ann", run.id, False),
        ("ann", run.id, True),
    ]


def test_what_has_no_verdict_is_refused(db: Database, workspace: Workspace) -> None:
    project = create_project(db, "New", "instruction", "")
    run = create_run(db, "run-new", project.id, "snap", "base", "{}", 1)
    with pytest.raises(BadInput, match="Run 1 is not evaluated yet"):
        read_records(db, workspace, run.id, True)
    with pytest.raises(NotFound):
        read_records(db, workspace, "nobody", True)


def test_a_file_is_written_whole_and_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    write_page(b"one", tmp_path / "a.html")
    write_page(b"two", tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"] and (tmp_path / "a.html").read_bytes() == b"two"
    for place in (tmp_path, tmp_path / "none" / "a.html"):
        with pytest.raises(BadInput):
            write_page(b"", place)
