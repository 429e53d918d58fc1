"""What tests of the pure view functions share: hostile text, a reader of HTML, an open studio, rows to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from storage.records import Run, RunEvent
from studio.context import Studio, open_studio
from studio.settings import Workspace

EVIL = """'"><img src=x onerror=alert(1)><script>alert(1)</script>&lt;b&gt; ${7*7} {{x}}"""
WHEN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ALLOWED = {
    *("div", "p", "strong", "b", "h2", "h3", "span", "ul", "li", "details", "summary", "dl", "dt", "dd", "pre", "br"),
    *("aside", "nav", "ol", "ins", "del", "kbd", "label", "input", "output"),
    *("table", "thead", "tbody", "tr", "th", "td", "button", "time", "svg", "line", "text", "polyline", "circle"),
    *("small", "i", "input", "rect", "path", "code"),
}


@dataclass
class Markup(HTMLParser):
    """Tags with their attributes, and the text between them."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(html: str) -> str:
    """The text of a piece of HTML; fails when it has a tag that is not ours, a handler, or one left open."""
    markup = Markup()
    markup.feed(html)
    markup.close()
    assert markup.open == []
    assert {tag for tag, _ in markup.tags} <= ALLOWED
    assert [
        name for _, attributes in markup.tags for name in attributes if name.startswith("on") or name == "src"
    ] == []
    return "".join(markup.words)


def tags(html: str, name: str) -> list[dict[str, str | None]]:
    """The attributes of every tag of that name."""
    markup = Markup()
    markup.feed(html)
    return [attributes for tag, attributes in markup.tags if tag == name]


@pytest.fixture
def studio(workspace: Workspace) -> Iterator[Studio]:
    """An open studio without a server; its watcher is never started."""
    found = open_studio(workspace)
    yield found
    found.engines.close()
    found.db.close()


def run(**changes: object) -> Run:
    """A run at work, with these fields changed."""
    plain = Run(
        id="run-1",
        project_id="p",
        snapshot_id="abcdef0123456789",
        number=3,
        base_model="starter",
        spec={"snapshot": "/secret/place", "models": "/m", "epochs": 3},
        state="training",
        message="",
        step=5,
        steps=20,
        tokens_per_second=123.4,
        eta_seconds=65.0,
        memory_bytes=3 * 2**29,
        base_loss=None,
        tuned_loss=None,
        base_hash=None,
        adapter_hash=None,
        device="CPU",
        events_offset=0,
        created_at=WHEN,
        ended_at=None,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def event(kind: str, data: Mapping[str, object]) -> RunEvent:
    """An event of that run."""
    return RunEvent("run-1", 1, WHEN, kind, data)
