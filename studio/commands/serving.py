"""`serve RUN …`: an OpenAI-compatible server in the foreground; `key add|list|revoke`: who may ask it."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from datetime import UTC, datetime

from storage.audit import record
from storage.projects import find_project
from storage.runs import get_run
from studio.commands import Outcome, opened
from studio.commands.production import run_named
from studio.contract.serving import Key
from studio.deploy.acts import note_act
from studio.errors import JobFailed
from studio.jobs.serving import PRODUCTION, Server, serving_standing, start_serving, stop_serving, wait_until_serving
from studio.jobs.serving_keys import add_key, list_keys, revoke_key
from studio.settings import Workspace

_LOOK_SECONDS = 0.5


def serve(workspace: Workspace, flags: Namespace) -> Outcome:
    """`serve [RUN …] [--project NAME] [--host H] [--port N] [--engine E] [--lend-after S] [--keep-texts]`: serve until
    Ctrl+C, which drains. With a project alone it is what that has in production; with runs too, they may be named by
    their number."""
    asked = {"host": flags.host, "port": flags.port, "keep_texts": flags.keep_texts, "owner": os.getpid()}
    asked |= {"engine": flags.engine, "gpu_share": flags.gpu_share, "lend_after_seconds": flags.lend_after}
    with opened(workspace) as db:
        project = find_project(db, flags.project) if flags.project else None
        runs = [run_named(db, project, one) for one in flags.runs] if project else flags.runs
        folder = start_serving(db, workspace, runs, [project.id] if project else [], **asked)
        project_id = project.id if project else get_run(db, runs[0]).project_id
        told = {"runs": len(runs) or 1, "keep_texts": flags.keep_texts}
        record(db, flags.by, "server start", project_id, folder.name, **told)
    shown = Server(folder, "", serving_standing(folder).standing)
    try:
        shown = wait_until_serving(folder)
        _tell(shown, bool(list_keys(workspace)))
        while (found := serving_standing(folder)).ready:
            if (found.names, found.warning) != (shown.names, shown.warning):
                _tell(found, bool(list_keys(workspace)))
            if found.lent_to != shown.lent_to:
                print(f"Lent to {found.lent_to}." if found.lent_to else "The model is back.", file=sys.stderr)
            shown = found
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        print("Finishing what is being answered …", file=sys.stderr)
    finally:
        stop_serving(folder)
        note_act(workspace, flags.by, "server stop", project_id, folder.name)
    found = serving_standing(folder)
    if found.standing.state == "failed":
        raise JobFailed(found.standing.words)
    return Outcome({"served": dict(shown.names), "folder": str(folder)}, "The server has ended.")


def key_add(workspace: Workspace, flags: Namespace) -> Outcome:
    """`key add NAME [--model MODEL …] [--days N] [--a-minute N]`: a new API key, shown this once."""
    token, key = add_key(workspace, flags.name, flags.model or (), flags.days, flags.a_minute)
    note_act(workspace, flags.by, "key add", subject=key.name, key=key.id)
    return Outcome({"key": token, **_row(key)}, "Copy the key now: it is kept nowhere and not shown again.")


def key_list(workspace: Workspace, flags: Namespace | None = None) -> Outcome:
    """`key list`: all keys, without the keys themselves."""
    return Outcome({"keys": [_row(key) for key in list_keys(workspace)]})


def key_revoke(workspace: Workspace, flags: Namespace) -> Outcome:
    """`key revoke ID|NAME`: it opens nothing any more, from now on."""
    key = revoke_key(workspace, flags.key)
    note_act(workspace, flags.by, "key revoke", subject=key.name, key=key.id)
    return Outcome(_row(key), f"Key '{key.name}' is revoked; running servers know it within a second.")


def _tell(server: Server, keys: bool) -> None:
    known = {run: name for name, run in server.names.items() if not name.endswith(PRODUCTION)}
    means = {name: known.get(run, run) for name, run in server.names.items() if name.endswith(PRODUCTION)}
    names = ", ".join(f"{name} ({means[name]})" if name in means else name for name in server.names)
    asks = " Requests need an API key." if keys else ""
    by = " by vLLM" if server.engine == "vllm" else ""
    print(f"{server.url} serves {names}{by}.{asks} Ctrl+C ends it.", file=sys.stderr)
    if server.warning:
        print(server.warning, file=sys.stderr)


def _row(key: Key) -> dict[str, object]:
    def day(moment: datetime | None) -> str | None:
        return moment.isoformat(timespec="seconds") if moment else None

    return {
        "id": key.id,
        "name": key.name,
        "models": ", ".join(key.models) or "all",
        "works": key.works(datetime.now(UTC)),
        "created": day(key.created),
        "expires": day(key.expires),
        "revoked": day(key.revoked),
    }
