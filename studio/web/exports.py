"""Downloads: a file streamed out of the database or a snapshot, for admins only.

What goes wrong before the first byte is answered as one sentence. What goes wrong later breaks the connection, so that
the browser shows a failed download and never a file that looks whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from studio.context import Studio
from studio.data.exporting import Wanted
from studio.data.transfers import Download, Goods, open_download
from studio.errors import NotFound, StudioError
from studio.web.identity import user_of


def export_routes(studio: Studio) -> APIRouter:
    """Routes under /api/export. `shape` is a name of studio.data.exporting.SHAPES, `kind` an ending without its dot."""
    router = APIRouter(prefix="/api/export")

    @router.get("/project/{project}")
    def export_project(request: Request, project: str, shape: str = "messages", kind: str = "jsonl") -> Response:
        return _answer(studio, request, Goods(project), Wanted(shape, f".{kind}"))

    @router.get("/snapshot/{project}/{snapshot}")
    def export_snapshot(
        request: Request, project: str, snapshot: str, shape: str = "messages", kind: str = "jsonl"
    ) -> Response:
        return _answer(studio, request, Goods(project, snapshot), Wanted(shape, f".{kind}"))

    return router


def _answer(studio: Studio, request: Request, goods: Goods, wanted: Wanted) -> Response:
    try:
        download = open_download(studio.db, studio.workspace, user_of(request), goods, wanted)
    except StudioError as error:
        return JSONResponse({"message": str(error)}, 404 if isinstance(error, NotFound) else 400)
    headers = {
        "Content-Disposition": f'attachment; filename="{download.name}"',
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # nginx would wait for megabytes before it hands the first one on
    }
    return StreamingResponse(_body(download), media_type=download.media, headers=headers)


async def _body(download: Download) -> AsyncIterator[bytes]:
    try:
        async for piece in iterate_in_threadpool(download.pieces):
            yield piece
    finally:
        with anyio.CancelScope(shield=True):  # also when the browser has gone: a read of the database is open
            await run_in_threadpool(download.close)
