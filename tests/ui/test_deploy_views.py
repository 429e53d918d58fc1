"""The Deploy tab without a browser: hostile names stay text, states say what to do, folders stay in the workspace."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from studio.contract.export import ExportedFile, ExportReport, ParityReport
from studio.contract.serving import Key, ServeSpec
from studio.data.model_push import PushedModel
from studio.deploy.production import Deployment
from studio.errors import BadInput
from studio.jobs.exporting_model import Exported
from studio.jobs.job_folders import Standing
from studio.jobs.serving import Server
from studio.language import reading
from studio.settings import Workspace
from studio.ui import deploy_export_views, deploy_views
from studio.ui.deploy_views import Production
from tests.ui.conftest import EVIL, WHEN, read, run, tags

ALIVE, ENDED = Standing("running", words="Loading it"), Standing("failed", words=EVIL)
URL = "http://127.0.0.1:8000/v1"


def row(run_id: str, kind: str = "promote") -> Deployment:
    return Deployment("d", 1, "p", run_id, kind, EVIL, EVIL, WHEN)


def spec(**fields: object) -> ServeSpec:
    places = {name: Path("/w") for name in ("models", "runs", "keys")}
    return ServeSpec.model_validate({**places, "base_model": "o/base", **fields})


def server(url: str = URL, standing: Standing = ALIVE, warning: str = "") -> Server:
    return Server(Path("/w/serving/abc"), "o/base", standing, url, {"base": "", EVIL: "run-1"}, warning)


def key(**fields: object) -> Key:
    known = {"id": "key-1", "name": EVIL, "hash": "0" * 64, "models": (EVIL.replace("\n", ""),), "created": WHEN}
    return Key.model_validate(known | fields)


def report(**fields: object) -> ExportReport:
    parity = ParityReport(reader=EVIL, prompts=20, same_ids=20, same_text=20, sentence=EVIL)
    files = (ExportedFile(name=EVIL, size=5 * 2**20, sha256="b" * 64), ExportedFile(name="a", size=10, sha256=""))
    known = {"run": "run-1", "base_model": EVIL, "format": "gguf", "family": "causal", "target": Path("/w/x")}
    return ExportReport.model_validate(known | {"files": files, "parity": (parity,), "notes": (EVIL,)} | fields)


def test_what_is_in_production_is_said_with_who_and_why_as_text() -> None:
    standing = Production(EVIL, run(base_model=EVIL), [row("run-1", "rollback"), row("gone")], {"run-1": 3})
    shown = read(deploy_views.production_html(standing))
    assert "Run 3" in shown and "brought back by" in shown and shown.count(EVIL) >= 3
    assert "A run that is gone promoted" in read(deploy_views.history_html(standing))
    assert "Run 3 (" in read(deploy_views.rollback_question(standing, run()))
    assert "promote it" in read(deploy_views.production_html(Production("p", None, [], {})))


def test_a_server_shows_its_address_and_names_and_its_warning_as_text() -> None:
    shown = read(deploy_views.servers_html([(server(warning=EVIL), spec(keep_texts=True))], {"run-1": 3}))
    assert URL in shown and shown.count(EVIL) == 2 and "redacted texts are kept" in shown and "run 3" in shown
    loading = deploy_views.servers_html([(server(""), spec())], {})
    assert "loading" in read(loading) and tags(loading, "button")[0]["data-id"] == "abc"
    assert EVIL in read(deploy_views.servers_html([(server("", ENDED), spec())], {}))
    assert EVIL in read(deploy_views.stop_question(server(), spec()))


def test_a_server_whose_memory_is_lent_says_to_whom_and_when_it_is_back() -> None:
    shown = read(deploy_views.servers_html([(replace(server(), lent_to=EVIL), spec())], {}))
    assert f"its memory is lent to {EVIL}. It comes back when that has ended" in shown and "makes room" in shown


def test_the_job_that_has_the_memory_is_named_as_the_queue_names_it_to_a_reader() -> None:
    reading("de")
    try:
        shown = read(deploy_views.servers_html([(replace(server(), lent_to="Run 3 of Support"), spec())], {}))
    finally:
        reading("en")
    assert "Lauf 3 von Support" in shown


def test_a_run_in_production_that_no_server_answers_with_is_told() -> None:
    other = Production("p@production", run(base_model="other"), [row("run-1")], {"run-1": 3})
    same = Production("p@production", run(base_model="o/base"), [row("run-1")], {"run-1": 3})
    assert "no server of other" in read(deploy_views.elsewhere_html(other, [(server(), spec())]))
    assert "being taken up" in read(deploy_views.elsewhere_html(same, [(server(), spec())]))
    assert deploy_views.settled(other, [(server(), spec())])
    assert not deploy_views.settled(same, [(server(), spec())])


def test_snippets_hold_any_name_as_one_value() -> None:
    words = shlex.split(deploy_views.curl_of(URL, EVIL, "k").replace("\\\n", ""))
    assert words[1] == f"{URL}/chat/completions" and json.loads(words[-1])["model"] == EVIL
    calls = [node for node in ast.walk(ast.parse(deploy_views.python_of(URL, EVIL, "k"))) if isinstance(node, ast.Call)]
    values = [word.value.value for call in calls for word in call.keywords if isinstance(word.value, ast.Constant)]
    assert EVIL in values and URL in values
    assert EVIL in read(deploy_views.snippet_html(server(), "p@production", keys=True))


def test_keys_say_what_they_may_and_whether_they_work() -> None:
    old, gone = key(id="key-2", expires=WHEN), key(id="key-3", revoked=WHEN)
    html = deploy_views.keys_html([key(expires=WHEN + timedelta(days=1)), old, gone], WHEN)
    shown = read(html)
    assert "2 revoked or expired" in shown and shown.count(EVIL) == 6
    assert [tag["data-id"] for tag in tags(html, "button")] == ["key-1"]
    assert "No key works" in read(deploy_views.keys_html([gone], WHEN))
    assert "No key yet" in read(deploy_views.keys_html([], WHEN))
    assert "never shown again" in read(deploy_views.token_html("sft-secret", EVIL))
    assert EVIL in read(deploy_views.revoke_question(key()))


def test_an_export_ends_with_parity_and_sizes_or_with_its_reason() -> None:
    done = read(deploy_export_views.export_html(Exported("run-1", "gguf", Standing("done"), report())))
    assert "5 MB" in done and "10 bytes" in done and "/w/x" in done and done.count(EVIL) == 3
    assert EVIL in read(deploy_export_views.export_html(Exported("run-1", "gguf", ENDED)))
    assert "40 %" in read(deploy_export_views.export_html(Exported("r", "gguf", Standing("running", 0.4, EVIL))))
    differs = ParityReport(reader="r", prompts=20, same_ids=20, same_text=3)
    assert 'class="notice warn"' in deploy_export_views.report_html(report(parity=(differs,), notes=()))
    assert EVIL in read(deploy_export_views.push_question(report(), EVIL, private=False))
    assert EVIL in read(deploy_export_views.pushed_html(PushedModel(EVIL, True)))


@pytest.mark.parametrize("typed", ["../x", "/etc", "a/b", "..", ".hidden", "a\0b", "x" * 81, "dot."])
def test_a_folder_outside_its_place_is_refused(workspace: Workspace, typed: str) -> None:
    with pytest.raises(BadInput, match="letters"):
        deploy_export_views.target_of(workspace, typed)
    assert deploy_export_views.target_of(workspace, " ") is None
    assert deploy_export_views.target_of(workspace, "v1.2 mail") == workspace.exports / "kept" / "v1.2 mail"
