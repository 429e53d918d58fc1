"""One line of Gradio's own page mended on its way to the browser: what it does with each sign of life of an event.

Version 6.31 then tells every component that an event ever named how that event stands, also where nothing of it is to
be shown, and seeks each in the whole page. Here, with 800 components, that made an event cost a tenth of a second more
and a page slower with each tab that was opened. A version that reads otherwise is handed on as it is.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response
from gradio.route_utils import BUILD_PATH_LIB

ASSETS = Path(BUILD_PATH_LIB)
ALL_TOLD = "Object.entries(this.loading_stati.current).map("
"""Where the page goes over all that it knows of."""
SEEN_TOLD = "Object.entries(this.loading_stati.current).filter(([,told])=>told.show_progress!==`hidden`).map("


def mended() -> tuple[str, str] | None:
    """The name and the text of the file that is served instead of Gradio's; None where there is none to mend."""
    for path in sorted(ASSETS.glob("Blocks-*.js")):
        text = path.read_text(encoding="utf-8")
        if text.count(ALL_TOLD) == 1:
            return path.name, text.replace(ALL_TOLD, SEEN_TOLD)
    return None


def frontend_routes() -> APIRouter:
    """The route of that file; to be added before Gradio is mounted."""
    router = APIRouter()
    found = mended()
    if found is None:
        return router
    name, text = found
    packed = gzip.compress(text.encode())
    # Gradio's name of the file says nothing of what is mended in it, so the browser is to ask whether it is the same.
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}

    @router.get(f"/assets/{name}")
    def get_mended(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, media_type="text/javascript", headers=headers | {"Content-Encoding": "gzip"})
        return Response(text, media_type="text/javascript", headers=headers)

    return router
