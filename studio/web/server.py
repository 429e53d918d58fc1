"""Build the FastAPI application and serve it.

The lifespan is the only code that runs on SIGTERM (atexit and what follows `uvicorn.run` do not), so the database is
closed there. What it leaves out: TLS. A reverse proxy before it does that (studio.web.guard says what it must set).
"""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from studio.context import Studio, open_studio
from studio.errors import BadInput
from studio.settings import Workspace
from studio.ui.app import build_ui
from studio.ui.roles import roles_of
from studio.ui.tailored import tailor
from studio.ui.theme import HEAD, STYLESHEET, THEME
from studio.web.accounts import account_routes
from studio.web.bounds import Bounds
from studio.web.exports import export_routes
from studio.web.frontend import frontend_routes
from studio.web.guard import Guard
from studio.web.identity import user_of
from studio.web.labeling import labeling_routes, refused
from studio.web.look import look_routes
from studio.web.reports import report_routes
from studio.web.review import review_routes

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def build_app(studio: Studio, host: str = "127.0.0.1") -> FastAPI:
    """The application over an open studio, which it closes when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        studio.watcher.start()
        studio.suggester.start()
        studio.caretaker.start()
        yield
        studio.close()

    app = FastAPI(title="SFT Studio", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_exception_handler(RequestValidationError, refused)
    app.include_router(account_routes(studio.accounts))  # before Gradio, which has a /login too
    app.include_router(labeling_routes(studio))
    app.include_router(review_routes(studio))
    app.include_router(export_routes(studio))
    app.include_router(report_routes(studio))
    app.include_router(look_routes(studio))
    app.include_router(frontend_routes())
    ui = build_ui(studio)
    ui.queue(default_concurrency_limit=8, max_size=256)
    app = gr.mount_gradio_app(
        app,
        ui,
        path="/",
        theme=THEME,
        css=STYLESHEET,
        head=HEAD,
        run_history=False,
        footer_links=[],
        max_file_size="8gb",
        auth_dependency=lambda request: user_of(request).name,
    )
    tailor(ui, roles_of(ui))
    app.add_middleware(Bounds, accounts=studio.accounts)  # behind the guard, which is added after it
    app.add_middleware(Guard, hosts=_LOOPBACK if host in _LOOPBACK else None, accounts=studio.accounts)
    return app


def serve(workspace: Workspace, host: str, port: int) -> None:
    """Open the workspace and serve it until interrupted. Raises StudioError when it cannot be opened."""
    _refuse_taken(host, port)
    studio = open_studio(workspace)
    if host not in _LOOPBACK and not studio.accounts.on:
        studio.close()
        raise BadInput(
            f"Whoever reaches {host} could read and change everything, as there are no accounts yet: make the first "
            "one with `python -m studio user add NAME --role admin`, or leave --host out."
        )
    shutil.rmtree(workspace.uploads, ignore_errors=True)  # nothing in it outlives the app that took it in
    workspace.uploads.mkdir(mode=0o700, exist_ok=True)
    shown = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104  shown, not bound
    print(f"SFT Studio on http://{shown}:{port}  (workspace {workspace.root}; Ctrl+C ends it, runs go on)", flush=True)
    config = uvicorn.Config(
        build_app(studio, host),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=65,
    )
    uvicorn.Server(config).run()


def _refuse_taken(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OverflowError:
        raise BadInput(f"There is no port {port}: choose one from 1 to 65535 with --port.") from None
    except socket.gaierror:
        raise BadInput(f"This machine has no address '{host}': choose another with --host.") from None
    except OSError as error:
        why = "is in use already" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise BadInput(f"Port {port} of {host} {why}: choose another with --port.") from None
