"""`serve RUN …`: an OpenAI-compatible server in the foreground; `key add|list|revoke`: who may ask it."""

from __future__ import annotations

import os
import sys
import time
from argparse import Namespace
from datetime import UTC, datetime

from storage.projects import find_project
from studio.commands import Outcome, opened
from studio.contract.serving import Key
from studio.errors import JobFailed
from studio.jobs.serving import Server, serving_standing, start_serving, stop_serving, wait_until_serving
from studio.jobs.serving_keys import add_key, list_keys, revoke_key
from studio.settings import Workspace

_LOOK_SECONDS = 0.5


def serve(workspace: Workspace, flags: Namespace) -> Outcome:
    """`serve [RUN …] [--project NAME] [--host H] [--port N] [--keep-texts]`: serve until Ctrl+C, which drains."""
    asked = {"host": flags.host, "port": flags.port, "keep_texts": flags.keep_texts, "owner": os.getpid()}
    with opened(workspace) as db:
        projects = [find_project(db, flags.project).id] if flags.project else []
        folder = start_serving(db, workspace, flags.runs, projects, **asked)
    shown = Server(folder, "", serving_standing(folder).standing)
    try:
        shown = wait_until_serving(folder)
        _tell(shown)
        while (found := serving_standing(folder)).ready:
            if (found.names, found.warning) != (shown.names, shown.warning):
                shown = found
                _tell(shown)
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        print("Finishing what is being answered …", file=sys.stderr)
    finally:
        stop_serving(folder)
    found = serving_standing(folder)
    if found.standing.state == "failed":
        raise JobFailed(found.standing.words)
    return Outcome({"served": dict(shown.names), "folder": str(folder)}, "The server has ended.")


def key_add(workspace: Workspace, flags: Namespace) -> Outcome:
    """`key add NAME [--model MODEL …] [--days N] [--a-minute N]`: a new API key, shown this once."""
    token, key = add_key(workspace, flags.name, flags.model or (), flags.days, flags.a_minute)
    return Outcome({"key": token, **_row(key)}, "Copy the key now: it is kept nowhere and not shown again.")


def key_list(workspace: Workspace, flags: Namespace | None = None) -> Outcome:
    """`key list`: all keys, without the keys themselves."""
    return Outcome({"keys": [_row(key) for key in list_keys(workspace)]})


def key_revoke(workspace: Workspace, flags: Namespace) -> Outcome:
    """`key revoke ID|NAME`: it opens nothing any more, from now on."""
    key = revoke_key(workspace, flags.key)
    return Outcome(_row(key), f"Key '{key.name}' is revoked; running servers know it within a second.")


def _tell(server: Server) -> None:
    names = ", ".join(server.names)
    print(f"{server.url} serves {names}. Ctrl+C ends it.", file=sys.stderr)
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
