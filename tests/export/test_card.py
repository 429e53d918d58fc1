"""The card: what the records say is in it, what is hostile in them is text, and what is not known is said so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.contract.evaluation import EvalReport, MemorisedReport, MetricReport, VerdictReport
from studio.contract.export import DataRecord, ExportedFile, ExportReport, ExportSpec, ParityReport, Records
from studio.export.card import card_text, licence_of

METRIC = MetricReport(title="ROUGE-L", base=0.2, tuned=0.4, difference=0.2, low=0.11, high=0.29, p=0.004, rows=240)
EVALUATION = EvalReport(
    run="r1",
    snapshot="s1",
    split="test",
    held_out="abc",
    rows=240,
    most_tokens=64,
    metrics={"rouge-l": METRIC},
    verdict=VerdictReport(metric="rouge-l", kind="better", sentence="Better on 61 % of 240 answers.", rows=240),
    memorised=MemorisedReport(
        sentence="1 of 50 training answers is continued word for word.", rows=50, base=0, tuned=1
    ),
)
RECORDS = Records(
    studio="7.0",
    project="Desk <script> [x](http://evil) | # `",
    number=3,
    method="lora",
    settings={"learning_rate": 0.001, "note`|": "a|b\n# c"},
    base_loss=2.5,
    tuned_loss=1.25,
    base_hash="b" * 64,
    weights_hash="w" * 64,
    data=DataRecord(
        version=4, hash="h" * 64, rows={"train": 1200, "test": 240}, answers=1440, imported=1000, annotators=2
    ),
    evaluation=EVALUATION,
    checked=True,
    bias=("Rows that name women are gloomier.",),
)
PARITY = ParityReport(reader="peft", prompts=20, same_ids=20, same_text=20, sentence="Read by peft: 20 of 20.")


def card(wanted: str = "adapter", records: Records = RECORDS, base: str = "owner/small", **fields: Any) -> str:
    spec = ExportSpec.model_validate(
        {"run": "r1", "runs": "/r", "models": "/m", "base_model": base, "format": wanted, "target": "/t"}
        | {"records": records, "system": "Secret prompt."}
    )
    told: dict[str, Any] = {"run": "r1", "base_model": base, "format": wanted, "family": "causal", "target": "/t"}
    told |= {"parity": (PARITY,), "weights": "float32", "licence": "mit"}
    return card_text(spec, ExportReport.model_validate(told | fields))


def test_the_records_are_in_it() -> None:
    text = card()
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["license"], head["base_model"], head["base_model_relation"]) == ("mit", "owner/small", "adapter")
    for words in ("b" * 64, "w" * 64, "h" * 64, "| train | 1,200 |", "440, by 2 annotators", "Read by peft: 20 of 20."):
        assert words in text
    assert "| ROUGE-L | 0.200 | 0.400 | +0.200 (+0.110 to +0.290) | 0.004 | 240 |" in text
    for words in ("Better on 61 % of 240 answers.", "continued word for word", "Rows that name women", "learning_rate"):
        assert words in text


def test_what_is_hostile_is_text() -> None:
    body = card().split("---\n", 2)[2]
    assert "<script>" not in body and "[x](http" not in body and "\n# c" not in body
    assert "Secret" not in body and all(line.count("|") == 3 for line in body.splitlines() if "a b" in line)


def test_what_is_not_known_is_said() -> None:
    text = card(records=Records(), base="/home/me/models/mine", licence="")
    assert "/home/me" not in text and "`mine`" in text and "base_model" not in text.split("---\n")[1]
    for words in ("Not evaluated", "not measured", "not checked", "name no licence"):
        assert words in text


@pytest.mark.parametrize(
    ("wanted", "words"), [("merged", "AutoModelForCausalLM"), ("gguf", "llama-server -m model.gguf")]
)
def test_how_to_load_it(wanted: str, words: str) -> None:
    files = (ExportedFile(name="model.gguf", size=1, sha256="0"),)
    assert words in card(wanted, files=files)
    starter = card("adapter", base="starter")
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in starter and "export as merged" in starter


def test_a_licence_is_read_from_the_models_own_card_and_only_a_name(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    for given, found in (("license: llama3.2", "llama3.2"), ("license: |\n  <b>\n  x", ""), ("x: [", ""), ("- a", "")):
        path.write_text(f"---\n{given}\n---\n# Model")
        assert licence_of(str(tmp_path), tmp_path) == found
    path.unlink()
    assert licence_of(str(tmp_path), tmp_path) == "" and licence_of("starter", tmp_path) == "apache-2.0"
