"""How a JSON route answers: what its work gives, or one sentence with the status that fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.responses import JSONResponse

from studio.errors import Conflict, NotFound, StudioError
from studio.language import tr


def answer(work: Callable[[], dict[str, Any]], newer: Callable[[Any], dict[str, Any]] = lambda newest: {}) -> Any:
    """The response. `newer` says what a 409 has besides its sentence, given the conflict's newest version."""
    try:
        return JSONResponse(work())
    except Conflict as conflict:
        return JSONResponse({"message": tr(str(conflict))} | newer(conflict.newest), 409)
    except StudioError as error:
        return JSONResponse({"message": tr(str(error))}, 404 if isinstance(error, NotFound) else 400)
