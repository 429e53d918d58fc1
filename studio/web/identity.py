"""Who sends a request: the user that the guard has put into its scope, or the one there is without accounts."""

from __future__ import annotations

from starlette.requests import Request

from storage.records import User
from studio.errors import NotAllowed
from studio.people.roles import ALONE


def user_of(request: Request) -> User:
    """The user of a request that the guard let through. Raises NotAllowed on a page that is open without a session."""
    user: User | None = request.scope.get("state", {}).get("user", ALONE)
    if user is None:
        raise NotAllowed("You are not logged in: open the page and log in.")
    return user
