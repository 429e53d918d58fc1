"""What the Deploy tab shows of production, servers and keys. Data in, HTML out, so it is tested without a browser.

What it leaves out: exports (deploy_export_views).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.records import Run
from studio.contract.serving import BASE_NAME, Key, ServeSpec
from studio.deploy.production import Deployment
from studio.deploy.sentences import SERVERS, retold
from studio.jobs.serving import Server
from studio.language import mark, tr, trn
from studio.ui.components.deploy_copy import copied
from studio.ui.components.html import chip, empty, moment, notice, text

TEXTS = (
    "Counts, lengths and times are always kept. With this, prompts and answers are kept as well, so that you can read "
    "and label them in Monitor; personal data and secrets that the preflight's rules find are redacted before anything "
    "is written."
)
_DONE_BY = {"promote": mark("promoted by {who}"), "rollback": mark("brought back by {who}")}
_DONE_WHEN = {"promote": mark("promoted {when} by {who}"), "rollback": mark("brought back {when} by {who}")}
_SET_BY, _SET_WHEN = mark("set by {who}"), mark("set {when} by {who}")
_WITHOUT_KEY = "any-text"


@dataclass(frozen=True)
class Production:
    """A project's standing: the `run` in production (None: none, or gone), and the history, newest first."""

    name: str
    run: Run | None
    history: Sequence[Deployment]
    numbers: Mapping[str, int]


def no_project() -> str:
    """What to do without a project."""
    return empty(tr("No project chosen"), tr("Choose one above, or create one in the Projects tab."))


def no_run() -> str:
    """What to do without a finished run."""
    return empty(
        tr("No finished run yet"),
        tr("Only a model that has been trained can be put into service: train one in the Train tab."),
    )


def run_label(run: Run) -> str:
    """A finished run as it is chosen in a list."""
    loss = "" if run.tuned_loss is None else " · " + tr("loss {loss:.3g}", loss=run.tuned_loss)
    return f"{tr('Run {number}', number=run.number)} · {short(run.base_model)}{loss}"


def short(base_model: str) -> str:
    """A base model's own name without its owner or folder."""
    return base_model.rstrip("/").rsplit("/", 1)[-1] or base_model


def production_html(standing: Production) -> str:
    """The card: which run, since when, by whom and why."""
    if not standing.history:
        return _nothing_yet()
    newest = standing.history[0]
    none = f'<p class="quiet">{tr("No reason was given.")}</p>'
    why = f'<p class="said">{_quoted(newest.why)}</p>' if newest.why else none
    facts = [
        tr("Since {when}", when=moment(newest.created_at)),
        tr(_DONE_BY.get(newest.kind, _SET_BY), who=text(newest.user)),
        *([tr("from {model}", model=text(short(standing.run.base_model)))] if standing.run else []),
    ]
    asked = tr("Clients ask for it as {name}", name=f"<code>{text(standing.name)}</code>")
    return (
        f'<div class="standing"><div class="head"><b>{_named(standing, newest.run_id)}</b>'
        f'{chip(tr("in production"), "good")}</div><p class="quiet">{" · ".join(facts)}</p>{why}'
        f'<p class="quiet">{asked}</p></div>'
    )


def _nothing_yet() -> str:
    return empty(
        tr("Nothing is in production"),
        tr("Choose a finished run below and promote it: it then answers under the project's name, on every server."),
    )


def _quoted(words: str) -> str:
    return tr("“{words}”", words=text(words))


def history_html(standing: Production) -> str:
    """What was in production before, newest first, folded."""
    if len(standing.history) < 2:
        return ""
    rows = "".join(_change(standing, row) for row in standing.history)
    changes = trn("History · {count:,} change", "History · {count:,} changes", len(standing.history))
    return f'<details class="deploy-fold"><summary>{changes}</summary><ul>{rows}</ul></details>'


def _change(standing: Production, row: Deployment) -> str:
    done = tr(_DONE_WHEN.get(row.kind, _SET_WHEN), when=moment(row.created_at), who=text(row.user))
    why = f" <span>{_quoted(row.why)}</span>" if row.why else ""
    return f"<li><b>{_named(standing, row.run_id)}</b> {done}{why}</li>"


def rollback_question(standing: Production, run: Run) -> str:
    """What is asked before a rollback: it names what goes and what comes."""
    now = _named(standing, standing.history[0].run_id) if standing.history else tr("Nothing")
    told = tr(
        "{run} ({model}) comes back and answers as {name}; {now} goes. Servers change over without a restart.",
        **{"run": f"<b>{_run(run.number)}</b>", "model": text(short(run.base_model))},
        **{"name": f"<code>{text(standing.name)}</code>", "now": now},
    )
    return f"<p>{told}</p>"


def _named(standing: Production, run_id: str) -> str:
    number = standing.numbers.get(run_id)
    return _run(number) if number else tr("A run that is gone")


def _run(number: int) -> str:
    return tr("Run {number}", number=number)


def servers_html(servers: Sequence[tuple[Server, ServeSpec]], numbers: Mapping[str, int]) -> str:
    """How the servers stand, those at work first."""
    none = empty(
        tr("No server"), tr("Start one below: any client of OpenAI's API on this machine can then ask your models.")
    )
    if not servers:
        return none
    if not any(server.standing.alive for server, _ in servers):
        ended = "".join(_ended(server) for server, _ in servers)
        return none + ended
    first = sorted(servers, key=lambda one: not one[0].standing.alive)
    return "".join(
        _server(server, spec, numbers) if server.standing.alive else _ended(server) for server, spec in first
    )


def _ended(server: Server) -> str:
    if server.standing.state == "failed":
        model, why = short(server.base_model), retold(server.standing.words, SERVERS)
        return notice("bad", tr("The server of {model} has ended: {why}", model=model, why=why))
    return ""


def _server(server: Server, spec: ServeSpec, numbers: Mapping[str, int]) -> str:
    at_work = tr("loading") if _loads(server) else tr("stopping")
    serves = chip(tr("makes room"), "busy") if server.lent_to else chip(tr("serves"), "good")
    state = serves if server.ready else chip(at_work, "busy")
    stop = f'<button type="button" class="plain" data-id="{text(server.folder.name)}">{tr("Stop …")}</button>'
    head = f'<div class="head"><b>{text(short(server.base_model))}</b>{state}{stop}</div>'
    warning = notice("warn", tr(server.warning)) if server.warning else ""
    warning += notice("busy", _lent_words(server)) if server.lent_to else ""
    if not server.ready:
        return f'<div class="standing">{head}{notice("busy", _busy_words(server))}{warning}</div>'
    names = "".join(f"<li><code>{text(name)}</code> {_behind(run, numbers)}</li>" for name, run in server.names.items())
    kept = tr("Counts and redacted texts are kept.") if spec.keep_texts else tr("Only counts are kept, no texts.")
    url = f"<code>{text(server.url)}</code>"
    place = tr("Answers at {url}, on this machine only, also while the studio is closed.", url=url)
    return (
        f'<div class="standing">{head}<p class="quiet">{place} {kept}</p><ul class="names">{names}</ul>{warning}</div>'
    )


def _lent_words(server: Server) -> str:
    told = mark(
        "Nobody asked, so its memory is lent to {job}. It comes back when that has ended, or with the next request "
        "where there is room for both; else that is refused for now."
    )
    return tr(told, job=retold(server.lent_to, SERVERS))


def _busy_words(server: Server) -> str:
    if not _loads(server):
        return tr("Stopping: what is being answered is finished first")
    words = retold(server.standing.words, SERVERS)
    return tr("{words} … A first start can take minutes; you can leave this page.", words=words)


def _loads(server: Server) -> bool:
    return server.standing.words.startswith(("Loading", "Starting"))


def _behind(run_id: str, numbers: Mapping[str, int]) -> str:
    number = numbers.get(run_id)
    if not run_id:
        return tr("the base model")
    return tr("run {number}", number=number) if number else tr("another project")


def elsewhere_html(standing: Production, servers: Sequence[tuple[Server, ServeSpec]]) -> str:
    """Says so where the run in production is not what a server answers with, or where none serves it."""
    ready = [server for server, _ in servers if server.ready]
    if standing.run is None or not ready:
        return ""
    run = standing.run
    if any(server.names.get(standing.name) == run.id for server in ready):
        return ""
    if any(server.base_model == run.base_model for server in ready):
        return notice("busy", tr("Run {number} is in production and is being taken up …", number=run.number))
    told = tr(
        "Run {number} is in production, but no server of {model} is at work: choose the run below and start one.",
        **{"number": run.number, "model": short(run.base_model)},
    )
    return notice("warn", told)


def settled(standing: Production, servers: Sequence[tuple[Server, ServeSpec]]) -> bool:
    """Whether nothing of the servers is about to change by itself."""
    if any(server.standing.alive and not server.ready for server, _ in servers):
        return False
    taking = any(
        server.ready and standing.run and server.base_model == standing.run.base_model for server, _ in servers
    )
    named = any(standing.run and server.names.get(standing.name) == standing.run.id for server, _ in servers)
    warned = any(server.warning for server, _ in servers)
    return named or warned or not taking


def snippet_html(server: Server, production: str, keys: bool) -> str:
    """How to ask a server that is at work: by curl, and by OpenAI's client. `keys`: whether it asks for a key."""
    name = model_to_ask(server, production)
    key = "YOUR_KEY" if keys else _WITHOUT_KEY
    words = tr("Put a key from below in the place of YOUR_KEY.")
    if not keys:
        words = tr("No key is asked for yet, so any text will do.")
    return (
        f'<details class="deploy-fold snippets" open><summary>{tr("Ask it")}</summary><p class="quiet">{words}</p>'
        f"{copied('curl', curl_of(server.url, name, key))}"
        f"{copied('Python', python_of(server.url, name, key))}</details>"
    )


def model_to_ask(server: Server, production: str) -> str:
    """The name for an example: the one in production, else that of a run, else the base model."""
    if production in server.names:
        return production
    return next((name for name, run in server.names.items() if run), BASE_NAME)


def curl_of(url: str, model: str, key: str) -> str:
    """A command for a shell; a model's name can hold quotes."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]}, ensure_ascii=False)
    return (
        f"curl {shlex.quote(f'{url}/chat/completions')} \\\n  -H 'Content-Type: application/json' \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n  -d {shlex.quote(body)}"
    )


def python_of(url: str, model: str, key: str) -> str:
    """A script with the openai package."""
    return (
        "from openai import OpenAI\n\n"
        f"client = OpenAI(\n    base_url={url!r},\n    api_key={key!r},\n)\n"
        f"answer = client.chat.completions.create(\n    model={model!r},\n"
        '    messages=[{"role": "user", "content": "Hello"}],\n)\nprint(answer.choices[0].message.content)'
    )


def stop_question(server: Server, spec: ServeSpec) -> str:
    """What is asked before a server is stopped."""
    names = ", ".join(f"<code>{text(name)}</code>" for name in server.names)
    told = tr(
        "Stop the server of {model}? {names} will answer no more. What is being answered is finished first, for up to "
        "{seconds:g} s.",
        **{"model": f"<b>{text(short(server.base_model))}</b>", "names": names or tr("Its models")},
        seconds=spec.drain_seconds,
    )
    return f"<p>{told}</p>"


def keys_html(keys: Sequence[Key], now: datetime) -> str:
    """The keys that work, then those that do not any more, folded."""
    if not keys:
        return empty(
            tr("No key yet"), tr("Without any, whoever works on this machine may ask. Make one for each client.")
        )
    living = [key for key in reversed(keys) if key.works(now)]
    ended = [key for key in reversed(keys) if not key.works(now)]
    shown = "".join(_key(key, True) for key in living)
    none = "" if living else notice("warn", tr("No key works: every request is refused until you make one."))
    folded = ""
    if ended:
        rows = "".join(_key(key, False) for key in ended)
        words = tr("{count} revoked or expired", count=len(ended))
        folded = f'<details class="deploy-fold"><summary>{words}</summary><div class="list">{rows}</div></details>'
    return f'{none}<div class="list">{shown}</div>{folded}'


def _key(key: Key, works: bool) -> str:
    models = ", ".join(key.models) or tr("all models")
    ends = tr("expires {when}", when=moment(key.expires)) if key.expires else tr("never expires")
    if key.revoked:
        ends = tr("revoked {when}", when=moment(key.revoked))
    elif not works and key.expires:
        ends = tr("expired {when}", when=moment(key.expires))
    button = f'<button type="button" class="plain" data-id="{text(key.id)}">{tr("Revoke …")}</button>' if works else ""
    ended = chip(tr("revoked"), "bad") if key.revoked else chip(tr("expired"), "warn")
    made = tr("made {when}", when=moment(key.created))
    return (
        f'<div class="key"><div class="head"><b>{text(key.name)}</b>{"" if works else ended}{button}</div>'
        f'<div class="line">{text(models)} · {made} · {ends}</div></div>'
    )


def token_html(token: str, name: str) -> str:
    """A new key, this once."""
    made = tr("The key of {name} is made. Copy it now: it is kept nowhere and is never shown again.", name=name)
    return notice("good", made) + copied(tr("Key of {name}", name=name), token)


def revoke_question(key: Key) -> str:
    """What is asked before a key is revoked."""
    told = tr(
        "Revoke the key of {name}? Whoever uses it is refused within a second, and it cannot be taken back.",
        name=f"<b>{text(key.name)}</b>",
    )
    return f"<p>{told}</p>"
