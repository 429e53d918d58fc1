"""The three roles, in the order of what they may do, and who there is while there are no accounts."""

from __future__ import annotations

from storage.records import User
from studio.settings import USER

ROLES: dict[str, str] = {
    "annotator": "labels",
    "reviewer": "labels, reviews, and reads data and figures",
    "admin": "everything, accounts included",
}
"""Roles from the least to the most, with what each may do."""

ALONE = User(USER, "admin")
"""Who works in a studio without accounts."""


def may(user: User, least: str) -> bool:
    """Whether a user's role reaches `least`. A role that is not known reaches nothing."""
    order = list(ROLES)
    return user.role in ROLES and order.index(user.role) >= order.index(least)
