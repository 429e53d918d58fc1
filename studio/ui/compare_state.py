"""What a comparison on the screen is: who answers in which place, what was said so far, and what the vote was.

It lives on the server (`gr.State`), so that the page knows nothing of a blind comparison but letters and texts.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from studio.contract.chat import Message
from studio.jobs.comparison import Pane
from studio.jobs.engine import Sampling
from studio.jobs.evaluation_said import retold_model
from studio.jobs.lineup import BASE, ENDPOINT, Lineup
from studio.language import tr

LETTERS = "ABCDEFGH"

_FRESH: dict[str, Any] = {"blind": False, "voted": "", "votes": 0, "kept": "", "diff": None, "example_id": None}


def _token() -> str:
    return secrets.token_hex(4)


@dataclass(frozen=True)
class Shown:
    """A comparison: `chats` are the conversations up to the answers that `panes` hold, one a side; `order` says which
    side stands in which place; `rounds` counts the questions. `voted` is what was chosen, in words, and `votes` how
    many votes that was; `kept` is the stored comparison; `diff` the place from which the others' words differ; `token`
    names this state of the votes, so that a late second key does nothing.
    """

    project_id: str
    lineup: Lineup | None = None
    names: tuple[str, ...] = ()
    chats: tuple[tuple[Message, ...], ...] = ()
    panes: tuple[Pane, ...] = ()
    order: tuple[int, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    example_id: str | None = None
    blind: bool = False
    rounds: int = 1
    voted: str = ""
    votes: int = 0
    kept: str = ""
    diff: int | None = None
    token: str = field(default_factory=_token)

    @property
    def done(self) -> bool:
        """Whether every side has come to its end."""
        return bool(self.panes) and all(pane.done for pane in self.panes)

    @property
    def whole(self) -> bool:
        """Whether every side has an answer."""
        return bool(self.panes) and all(pane.answer for pane in self.panes)

    @property
    def hidden(self) -> bool:
        """Whether nobody may know yet who answered where: before the vote, and while the answers are being written."""
        return self.blind and not self.voted and (self.whole or not self.done)

    @property
    def votable(self) -> bool:
        """Whether there is something to vote on now: one question to all, answered by all, blind."""
        return self.hidden and self.whole and len(self.panes) > 1 and self.rounds == 1

    def renewed(self) -> Shown:
        """The same under a new token: what was pressed for the old one counts no more."""
        return replace(self, token=_token())

    def title(self, place: int) -> str:
        """What stands above a place: a letter while it is blind, else the name."""
        return LETTERS[place] if self.hidden else retold_model(self.names[self.order[place]])

    def run(self, place: int) -> str:
        """The run that answered in a place; "" for base and endpoint, and while nobody may know."""
        if self.lineup is None or self.hidden:
            return ""
        key = self.lineup.parties[self.order[place]].key
        return "" if key in (BASE, ENDPOINT) else key

    def pane(self, place: int) -> Pane:
        """The answer in a place."""
        return self.panes[self.order[place]]

    def chat(self, place: int) -> tuple[Message, ...]:
        """The conversation in a place, up to its answer."""
        return self.chats[self.order[place]]


def begun(
    project_id: str,
    lineup: Lineup,
    messages: Sequence[Message],
    sampling: Sampling,
    blind: bool,
    example_id: str | None,
) -> Shown:
    """A comparison that is asked now; blind ones in an order that chance gives."""
    names = tuple(party.name for party in lineup.parties)
    order = list(range(len(names)))
    if blind:
        secrets.SystemRandom().shuffle(order)
    chats = (tuple(messages),) * len(names)
    panes = (Pane(),) * len(names)
    return Shown(project_id, lineup, names, chats, panes, tuple(order), sampling, example_id, blind)


def gone_on(shown: Shown, prompt: str) -> Shown:
    """The same models asked once more, each after its own answer; from here on nothing is blind or voted on.

    A side that gave no answer is asked again as if the first question had not been.
    """
    chats = tuple(_after(chat, pane, prompt) for chat, pane in zip(shown.chats, shown.panes, strict=True))
    panes = (Pane(),) * len(chats)
    return replace(shown, chats=chats, panes=panes, rounds=shown.rounds + 1, **_FRESH)


def stopped(shown: Shown) -> Shown:
    """The same with every unfinished answer ended."""
    end = tr("Stopped.")
    return replace(shown, panes=tuple(pane if pane.done else replace(pane, error=end) for pane in shown.panes))


def _after(chat: tuple[Message, ...], pane: Pane, prompt: str) -> tuple[Message, ...]:
    before = (*chat, Message("assistant", pane.text)) if pane.answer else chat[:-1]
    return (*before, Message("user", prompt))
