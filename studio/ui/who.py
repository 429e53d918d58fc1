"""Who a Gradio handler works for: the user whose request called it, as the guard found them."""

from __future__ import annotations

from gradio.context import LocalContext

from storage.records import User
from studio.errors import NotAllowed
from studio.people.roles import ALONE


def current_user() -> User:
    """The user on whose behalf the running handler acts, with the role they have right now (generators too).

    Outside of an event (a test that calls a handler) it is the user there is without accounts. Raises NotAllowed when
    the session has ended since the event was sent.
    """
    request = LocalContext.request.get(None)
    scope = request.request.scope if request is not None and request.request is not None else {}
    find = scope.get("state", {}).get("who")
    if find is None:
        return ALONE
    user: User | None = find()
    if user is None:
        raise NotAllowed("You are logged out: open the page again and log in.")
    return user
