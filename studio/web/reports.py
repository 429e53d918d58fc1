"""The verdict on a run as a file to send, for admins only: a download, never a page of the studio's own address."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from studio.context import Studio
from studio.errors import NotFound, StudioError
from studio.jobs.verdict_page.saving import verdict_file
from studio.web.identity import user_of


def report_routes(studio: Studio) -> APIRouter:
    """Routes under /api/report. `texts` of 1 puts texts of held-out rows into the file."""
    router = APIRouter(prefix="/api/report")

    @router.get("/{run}")
    def get_report(request: Request, run: str, texts: int = 0) -> Response:
        try:
            file = verdict_file(studio.db, studio.workspace, user_of(request), run, bool(texts))
        except StudioError as error:
            return JSONResponse({"message": str(error)}, 404 if isinstance(error, NotFound) else 400)
        headers = {"Content-Disposition": f'attachment; filename="{file.name}"', "Cache-Control": "no-store"}
        return Response(file.content, media_type="text/html", headers=headers)

    return router
