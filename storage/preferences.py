"""What a user has set for themselves (keys, views): one JSON object a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from storage.database import Database
from studio.errors import BadInput

_LONGEST = 20_000


def get_preferences(db: Database, user: str) -> dict[str, Any]:
    """A user's settings; {} for one who has set nothing."""
    row = db.one("SELECT settings FROM preferences WHERE user_name = ?", [user])
    return dict(json.loads(row[0])) if row else {}


def set_preferences(db: Database, user: str, settings: dict[str, Any]) -> None:
    """Replace a user's settings. Raises BadInput when they are longer than 20,000 characters as JSON."""
    merge_preferences(db, user, lambda _: settings)


def merge_preferences(db: Database, user: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Store what `change` makes of a user's settings, in one transaction; the settings afterwards. Raises as
    `set_preferences`."""
    with db.write() as cursor:
        row = cursor.execute("SELECT settings FROM preferences WHERE user_name = ?", [user]).fetchone()
        settings = change(dict(json.loads(row[0])) if row else {})
        stored = json.dumps(settings, ensure_ascii=False)
        if len(stored) > _LONGEST:
            raise BadInput(f"Settings of one person take at most {_LONGEST:,} characters: remove some.")
        cursor.execute(
            "INSERT INTO preferences (user_name, settings) VALUES (?, ?) "
            "ON CONFLICT (user_name) DO UPDATE SET settings = excluded.settings",
            [user, stored],
        )
    return settings
