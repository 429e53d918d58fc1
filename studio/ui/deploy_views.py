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
from studio.jobs.serving import Server
from studio.ui.components.deploy_copy import copied
from studio.ui.components.html import chip, count, empty, moment, notice, text

NO_PROJECT = empty("No project chosen", "Choose one above, or create one in the Projects tab.")
NO_RUN = empty(
    "No finished run yet", "Only a model that has been trained can be put into service: train one in the Train tab."
)
NOTHING_YET = empty(
    "Nothing is in production",
    "Choose a finished run below and promote it: it then answers under the project's name, on every server.",
)
NO_SERVER = empty("No server", "Start one below: any client of OpenAI's API on this machine can then ask your models.")
NO_KEY = empty("No key yet", "Without any, whoever works on this machine may ask. Make one for each client.")
TEXTS = (
    "Counts, lengths and times are always kept. With this, prompts and answers are kept as well, so that you can read "
    "and label them in Monitor; personal data and secrets that the preflight's rules find are redacted before anything "
    "is written."
)
_KINDS = {"promote": "promoted", "rollback": "brought back"}
_WITHOUT_KEY = "any-text"


@dataclass(frozen=True)
class Production:
    """A project's standing: the `run` in production (None: none, or gone), and the history, newest first."""

    name: str
    run: Run | None
    history: Sequence[Deployment]
    numbers: Mapping[str, int]


def run_label(run: Run) -> str:
    """A finished run as it is chosen in a list."""
    loss = "" if run.tuned_loss is None else f" · loss {run.tuned_loss:.3g}"
    return f"Run {run.number} · {short(run.base_model)}{loss}"


def short(base_model: str) -> str:
    """A base model's own name without its owner or folder."""
    return base_model.rstrip("/").rsplit("/", 1)[-1] or base_model


def production_html(standing: Production) -> str:
    """The card: which run, since when, by whom and why."""
    if not standing.history:
        return NOTHING_YET
    newest = standing.history[0]
    why = f'<p class="said">“{text(newest.why)}”</p>' if newest.why else '<p class="quiet">No reason was given.</p>'
    base = f" · from {text(short(standing.run.base_model))}" if standing.run else ""
    return (
        f'<div class="standing"><div class="head"><b>{_named(standing, newest.run_id)}</b>'
        f'{chip("in production", "good")}</div><p class="quiet">Since {moment(newest.created_at)} · '
        f"{_KINDS.get(newest.kind, 'set')} by {text(newest.user)}{base}</p>{why}"
        f'<p class="quiet">Clients ask for it as <code>{text(standing.name)}</code></p></div>'
    )


def history_html(standing: Production) -> str:
    """What was in production before, newest first, folded."""
    if len(standing.history) < 2:
        return ""
    rows = "".join(
        f"<li><b>{_named(standing, row.run_id)}</b> {_KINDS.get(row.kind, 'set')} {moment(row.created_at)} by "
        f"{text(row.user)}{f' <span>“{text(row.why)}”</span>' if row.why else ''}</li>"
        for row in standing.history
    )
    return (
        f'<details class="deploy-fold"><summary>History · {count(len(standing.history), "change")}</summary>'
        f"<ul>{rows}</ul></details>"
    )


def rollback_question(standing: Production, run: Run) -> str:
    """What is asked before a rollback: it names what goes and what comes."""
    now = _named(standing, standing.history[0].run_id) if standing.history else "Nothing"
    return (
        f"<p><b>Run {run.number}</b> ({text(short(run.base_model))}) comes back and answers as "
        f"<code>{text(standing.name)}</code>; {now} goes. Servers change over without a restart.</p>"
    )


def _named(standing: Production, run_id: str) -> str:
    number = standing.numbers.get(run_id)
    return f"Run {number}" if number else "A run that is gone"


def servers_html(servers: Sequence[tuple[Server, ServeSpec]], numbers: Mapping[str, int]) -> str:
    """How the servers stand, those at work first."""
    if not servers:
        return NO_SERVER
    if not any(server.standing.alive for server, _ in servers):
        ended = "".join(_ended(server) for server, _ in servers)
        return NO_SERVER + ended
    first = sorted(servers, key=lambda one: not one[0].standing.alive)
    return "".join(
        _server(server, spec, numbers) if server.standing.alive else _ended(server) for server, spec in first
    )


def _ended(server: Server) -> str:
    if server.standing.state == "failed":
        return notice("bad", f"The server of {short(server.base_model)} has ended: {server.standing.words}")
    return ""


def _server(server: Server, spec: ServeSpec, numbers: Mapping[str, int]) -> str:
    state = chip("serves", "good") if server.ready else chip("loading" if _loads(server) else "stopping", "busy")
    stop = f'<button type="button" class="plain" data-id="{text(server.folder.name)}">Stop …</button>'
    head = f'<div class="head"><b>{text(short(server.base_model))}</b>{state}{stop}</div>'
    warning = notice("warn", server.warning) if server.warning else ""
    if not server.ready:
        words = server.standing.words if _loads(server) else "Stopping: what is being answered is finished first"
        loading = notice("busy", f"{words} … A first start can take minutes; you can leave this page.")
        return f'<div class="standing">{head}{loading if _loads(server) else notice("busy", words)}{warning}</div>'
    names = "".join(f"<li><code>{text(name)}</code> {_behind(run, numbers)}</li>" for name, run in server.names.items())
    kept = "Counts and redacted texts are kept." if spec.keep_texts else "Only counts are kept, no texts."
    return (
        f'<div class="standing">{head}<p class="quiet">Answers at <code>{text(server.url)}</code>, on this machine '
        f'only, also while the studio is closed. {kept}</p><ul class="names">{names}</ul>{warning}</div>'
    )


def _loads(server: Server) -> bool:
    return server.standing.words.startswith(("Loading", "Starting"))


def _behind(run_id: str, numbers: Mapping[str, int]) -> str:
    number = numbers.get(run_id)
    return "the base model" if not run_id else f"run {number}" if number else "another project"


def elsewhere_html(standing: Production, servers: Sequence[tuple[Server, ServeSpec]]) -> str:
    """Says so where the run in production is not what a server answers with, or where none serves it."""
    ready = [server for server, _ in servers if server.ready]
    if standing.run is None or not ready:
        return ""
    run = standing.run
    if any(server.names.get(standing.name) == run.id for server in ready):
        return ""
    if any(server.base_model == run.base_model for server in ready):
        return notice("busy", f"Run {run.number} is in production and is being taken up …")
    return notice(
        "warn",
        f"Run {run.number} is in production, but no server of {short(run.base_model)} is at work: choose the run below "
        "and start one.",
    )


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
    words = (
        "Put a key from below in the place of YOUR_KEY." if keys else "No key is asked for yet, so any text will do."
    )
    return (
        f'<details class="deploy-fold snippets" open><summary>Ask it</summary><p class="quiet">{words}</p>'
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
    return (
        f"<p>Stop the server of <b>{text(short(server.base_model))}</b>? {names or 'Its models'} will answer no more. "
        f"What is being answered is finished first, for up to {spec.drain_seconds:g} s.</p>"
    )


def keys_html(keys: Sequence[Key], now: datetime) -> str:
    """The keys that work, then those that do not any more, folded."""
    if not keys:
        return NO_KEY
    living = [key for key in reversed(keys) if key.works(now)]
    ended = [key for key in reversed(keys) if not key.works(now)]
    shown = "".join(_key(key, True) for key in living)
    none = "" if living else notice("warn", "No key works: every request is refused until you make one.")
    folded = ""
    if ended:
        rows = "".join(_key(key, False) for key in ended)
        folded = (
            f'<details class="deploy-fold"><summary>{len(ended)} revoked or expired</summary>'
            f'<div class="list">{rows}</div></details>'
        )
    return f'{none}<div class="list">{shown}</div>{folded}'


def _key(key: Key, works: bool) -> str:
    models = ", ".join(key.models) or "all models"
    ends = f"expires {moment(key.expires)}" if key.expires else "never expires"
    if key.revoked:
        ends = f"revoked {moment(key.revoked)}"
    elif not works and key.expires:
        ends = f"expired {moment(key.expires)}"
    button = f'<button type="button" class="plain" data-id="{text(key.id)}">Revoke …</button>' if works else ""
    mark = "" if works else chip("revoked" if key.revoked else "expired", "bad" if key.revoked else "warn")
    return (
        f'<div class="key"><div class="head"><b>{text(key.name)}</b>{mark}{button}</div>'
        f'<div class="line">{text(models)} · made {moment(key.created)} · {ends}</div></div>'
    )


def token_html(token: str, name: str) -> str:
    """A new key, this once."""
    words = "Copy it now: it is kept nowhere and is never shown again."
    return notice("good", f"The key of {name} is made. {words}") + copied(f"Key of {name}", token)


def revoke_question(key: Key) -> str:
    """What is asked before a key is revoked."""
    return (
        f"<p>Revoke the key of <b>{text(key.name)}</b>? Whoever uses it is refused within a second, and it cannot be "
        "taken back.</p>"
    )
