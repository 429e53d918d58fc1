"""What role each event of the page asks for, enforced where its handler runs.

Hiding a tab is no protection: any event can be called by its number with one HTTP request. So every handler is wrapped
once the page is built. A handler asks for what its tab asks for, unless it is marked with `least`; one that belongs to
no tab and has no mark is for admins.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, TypeVar

import gradio as gr
from gradio.context import LocalContext

from studio.errors import NotAllowed
from studio.language import reading, tr
from studio.people.accounts import Accounts
from studio.people.roles import may
from studio.ui.components.html import text
from studio.ui.who import current_user

F = TypeVar("F", bound=Callable[..., Any])


def least(role: str) -> Callable[[F], F]:
    """Mark a handler with the least role it asks for: below `@told` or above, before it is given to an event."""

    def mark(handler: F) -> F:
        handler.least_role = role  # type: ignore[attr-defined]
        return handler

    return mark


class Register:
    """Which events belong to which tab, written down while the page is built."""

    def __init__(self, page: gr.Blocks) -> None:
        self._page = page
        self._roles: dict[int, str] = {}
        self._seen: set[int] = set()

    def note(self, role: str) -> None:
        """The events made since the last call ask for `role`, where they are not marked otherwise."""
        new = set(self._page.fns) - self._seen
        self._roles |= {number: getattr(self._page.fns[number].fn, "least_role", role) for number in new}
        self._seen |= new

    def roles(self) -> Mapping[int, str]:
        """The least role of each event of the page by its number, client-side ones too."""
        return {
            number: self._roles.get(number, getattr(event.fn, "least_role", "admin"))
            for number, event in self._page.fns.items()
        }

    def enforce(self, accounts: Accounts) -> None:
        """Wrap every handler. To be called once, when the page is built and closed."""
        for number, role in self.roles().items():
            event = self._page.fns[number]
            if event.fn is not None:
                event.fn = gated(event.fn, role, accounts, loud=self._is_click(event))
                event.fn.asks_for = role  # type: ignore[attr-defined]

    def _is_click(self, event: Any) -> bool:
        """Whether somebody meant this event: one that follows the page (another project, a tick) is refused quietly."""
        return all(name in ("click", "submit", "input", "open", "upload") for _, name in event.targets)


def roles_of(page: gr.Blocks) -> dict[int, str]:
    """The least role of each event of a page that `enforce` went over; one without a handler does nothing here."""
    return {
        number: getattr(event.fn, "asks_for", "admin" if event.fn else "annotator")
        for number, event in page.fns.items()
    }


def gated(handler: Callable[..., Any], role: str, accounts: Accounts, loud: bool) -> Callable[..., Any]:
    """A handler of the same kind that refuses, at each of its steps, whom its role does not reach."""

    def check() -> None:
        try:
            refuse(role, accounts)
        except NotAllowed as error:
            raise gr.Error(text(tr(str(error))), visible=loud, print_exception=False) from None

    if inspect.isasyncgenfunction(handler):

        @functools.wraps(handler)
        async def steps(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            check()
            async for value in handler(*args, **kwargs):
                yield value
                check()

        return steps
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def each(*args: Any, **kwargs: Any) -> Iterator[Any]:
            check()
            running = handler(*args, **kwargs)
            try:
                for value in running:
                    yield value
                    check()
            finally:
                running.close()

        return each
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def later(*args: Any, **kwargs: Any) -> Any:
            check()
            return await handler(*args, **kwargs)

        return later

    @functools.wraps(handler)
    def now(*args: Any, **kwargs: Any) -> Any:
        check()
        return handler(*args, **kwargs)

    return now


def refuse(role: str, accounts: Accounts) -> None:
    """Raises NotAllowed unless the running event's user reaches `role`; with accounts on, an event without a request
    that the guard has seen belongs to nobody. From here on the event speaks its user's language."""
    request = LocalContext.request.get(None)
    state = request.request.scope.get("state", {}) if request is not None and request.request is not None else {}
    reading(state.get("language", "en"))
    if accounts.on and "who" not in state:
        raise NotAllowed("You are not logged in: open the page and log in.")
    user = current_user()
    if not may(user, role):
        raise NotAllowed(tr("This needs the role {role}; yours is {yours}.", role=tr(role), yours=tr(user.role)))
