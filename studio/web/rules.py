"""Which role each path asks for. What no line names is for admins only: a new route is closed until it gets one.

Gradio's own routes are here too. Its event routes need only a session: what an event asks for is decided where it runs
(studio.ui.roles), as the path does not say which it is.
"""

from __future__ import annotations

import re

NOBODY = "nobody"
"""Refused to everybody: routes of Gradio that this studio does not use."""
EVERYBODY = "everybody"
"""Open without a session."""

_RULES: tuple[tuple[str, str], ...] = (
    (r"/login|/favicon\.ico|/robots\.txt", EVERYBODY),
    (r"/logout|/account", "annotator"),
    (r"/api/(label|look)/.*", "annotator"),
    (r"/api/review/.*", "reviewer"),
    (r"/api/find/.*", "reviewer"),
    (r"/api/(export|report)/.*", "admin"),
    # Gradio: the page and what it loads, then its events, then files.
    (r"/|/config/?|/theme\.css|/manifest\.json|/(assets|static|svelte)/.*|/pwa_icon(/\d+)?", "annotator"),
    (r"/gradio_api/(theme\.css|app_id/?|startup-events|info/?|heartbeat/[^/]+|user/?|login_check/?)", "annotator"),
    (r"/gradio_api/(queue/(join|data)|cancel|reset/?)", "annotator"),
    (r"/gradio_api/run/.*", "annotator"),
    (r"/gradio_api/((api|call|stream)/.*|deep_link/?|file=[a-zA-Z][a-zA-Z0-9+.-]+:.*)", NOBODY),
    (r"/gradio_api/file=.*", "reviewer"),
    (r"/gradio_api/upload(_progress)?", "admin"),
    (r"/gradio_api/(proxy=.*|token/?|dev/.*|vibe.*|undo-vibe.*|process_recording|component_server/?)", NOBODY),
)
_COMPILED = tuple((re.compile(pattern, re.DOTALL), role) for pattern, role in _RULES)


def least_role(path: str) -> str:
    """The least role that may ask for a path; EVERYBODY, or NOBODY."""
    return next((role for pattern, role in _COMPILED if pattern.fullmatch(path)), "admin")


def has_rule(path: str) -> bool:
    """Whether a path is named by a rule (a test asks it of every route of the studio's own)."""
    return any(pattern.fullmatch(path) for pattern, _ in _COMPILED)
