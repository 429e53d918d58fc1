"""The page as each role gets it, in each language: without the tabs and parts that it may not use, and their events.

Gradio builds one page for everybody and sends its description (`Blocks.config`) with each first request. Here that
description depends on who asks, so that nothing has to be hidden afterwards and an annotator's page is a small one. It
protects nothing: studio.ui.roles does.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

import gradio as gr
from gradio.blocks import Block

from storage.records import User
from studio.language import reader
from studio.people.roles import ROLES, may
from studio.ui.translated import translated

VIEWER: ContextVar[str] = ContextVar("viewer", default="admin")
"""The role for which a page is being described: set by the guard for each request."""

B = TypeVar("B", bound=Block)


def show_to(block: B, role: str) -> B:
    """Mark a tab, row or component: who does not reach `role` gets a page without it and what it holds."""
    block.shown_to = role  # type: ignore[attr-defined]
    return block


def tailor(page: gr.Blocks, roles: Mapping[int, str]) -> None:
    """Make a mounted page depend on VIEWER and its language. `roles`: the least role of each event by its number."""
    page.config = PerReader({role: config_for(page, roles, role) for role in ROLES})  # type: ignore[assignment]


class PerReader(dict[str, Any]):
    """The configs by role, seen as the one of VIEWER in their language: what Gradio does with a page's config is read
    and copy it."""

    def __init__(self, configs: Mapping[str, dict[str, Any]]) -> None:
        super().__init__(configs["admin"])
        self._configs = {(role, "en"): config for role, config in configs.items()}

    def _now(self) -> dict[str, Any]:
        role = VIEWER.get() if (VIEWER.get(), "en") in self._configs else "annotator"
        key = (role, reader())
        if key not in self._configs:
            self._configs[key] = translated(self._configs[role, "en"], key[1])
        return self._configs[key]

    def __getitem__(self, key: str) -> Any:
        return self._now()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self._now(), memo)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict."""
        return self._now().get(key, default)

    def items(self) -> Any:
        """As of a dict."""
        return self._now().items()


def config_for(page: gr.Blocks, roles: Mapping[int, str], role: str) -> dict[str, Any]:
    """A page's config without what is not shown to a role, without events that it may not call, or that touch what
    is not there, or that follow such a one."""
    config: dict[str, Any] = dict(page.config)
    viewer = User("", role)
    hidden = {id for id, block in page.blocks.items() if not may(viewer, getattr(block, "shown_to", "annotator"))}
    layout, gone = _pruned(config["layout"], hidden)
    kept: list[dict[str, Any]] = []
    dropped: set[int] = set()
    for event in config["dependencies"]:
        touched = {*event["inputs"], *event["outputs"], *(target for target, _ in event["targets"])}
        if touched & gone or event["trigger_after"] in dropped or not may(viewer, roles[event["id"]]):
            dropped.add(event["id"])
        else:
            kept.append(event)
    components = [part for part in config["components"] if part["id"] not in gone]
    only = {
        "layout": layout,
        "components": [part["id"] for part in components],
        "dependencies": [event["id"] for event in kept],
    }
    return config | {"layout": layout, "components": components, "dependencies": kept, "page": {"": only}}


def _pruned(node: dict[str, Any], hidden: Collection[int]) -> tuple[dict[str, Any], set[int]]:
    """A layout without the hidden ones, and the ids of all that went with them."""
    children, gone = [], set()
    for child in node.get("children") or []:
        if child["id"] in hidden:
            gone |= _ids(child)
            continue
        pruned, lost = _pruned(child, hidden)
        children.append(pruned)
        gone |= lost
    return (node | {"children": children} if "children" in node else node), gone


def _ids(node: dict[str, Any]) -> set[int]:
    return {node["id"]}.union(*(_ids(child) for child in node.get("children") or []))
