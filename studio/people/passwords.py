"""Passwords: what one must be like, and argon2id hashes (argon2-cffi, its own current parameters).

No rule about kinds of characters: length is what resists guessing (NIST SP 800-63B, 3.1.1).
"""

from __future__ import annotations

import secrets
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from studio.errors import BadInput
from studio.language import tr

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST = 10
_LONGEST = 1000


def check_password(password: str, name: str = "") -> None:
    """Raises BadInput for a password that is too short to resist guessing, too long, or the user's own name."""
    if len(password) < SHORTEST:
        short = tr(
            "A password has at least {count} characters: shorter ones can be guessed in hours by whoever gets hold of "
            "the database; a few words in a row are easy to remember.",
            count=SHORTEST,
        )
        raise BadInput(short)
    if len(password) > _LONGEST:
        raise BadInput(tr("A password has at most {count:,} characters.", count=_LONGEST))
    if len(set(password)) < 4 or (name and password.casefold() == name.casefold()):
        raise BadInput("This password would be guessed at once: take a few words in a row instead.")


def hash_password(password: str) -> str:
    """The argon2id hash that is stored. Takes about a tenth of a second and 64 MiB."""
    return _hasher().hash(_normal(password))


def verify(password_hash: str | None, password: str) -> bool:
    """Whether a password is the one of that hash. With None (no such user) it is False after the same time."""
    from argon2.exceptions import InvalidHashError, VerificationError

    stand_in = _stand_in()
    given = _normal(password[: _LONGEST + 1])
    try:
        return _hasher().verify(password_hash or stand_in, given) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(password_hash: str) -> bool:
    """Whether a hash was made with weaker parameters than new ones are."""
    return _hasher().check_needs_rehash(password_hash)


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()


@lru_cache(maxsize=1)
def _stand_in() -> str:
    return hash_password(secrets.token_urlsafe(16))


def _normal(password: str) -> bytes:
    """The same bytes on every keyboard; a lone surrogate, which UTF-8 cannot say, is no error here."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
