"""API keys of the servers: made, listed, revoked. A key is shown once, when it is made; only its hash is kept.

What it leaves out: who checks them (studio.serving.keys), and accounts of people, who are something else.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from studio.contract.serving import KEYS_FILE, Key, Keys, hash_of, read_keys, write_keys
from studio.errors import BadInput, NotFound
from studio.jobs.locking import locked
from studio.language import mark, tr
from studio.settings import Workspace

_PREFIX = "sft-"
_BYTES = 32
_MOST_KEYS = 10_000
_MOST_DAYS = 36_500


def keys_file(workspace: Workspace) -> Path:
    """Where the keys of all servers of a workspace lie."""
    return workspace.root / "serving" / KEYS_FILE


def add_key(
    workspace: Workspace,
    name: str,
    models: Sequence[str] = (),
    days: float | None = None,
    a_minute: int | None = None,
) -> tuple[str, Key]:
    """A new key and its record; running servers know it within a second. The key itself is kept nowhere.

    `models`: the names that it may ask for, none = all; `days` until it expires. Raises BadInput, DiskFull.
    """
    if days is not None and not 0 < days <= _MOST_DAYS:
        raise BadInput(tr("A key is good for more than 0 and at most {days:,} days.", days=_MOST_DAYS))
    token, now = _PREFIX + secrets.token_urlsafe(_BYTES), datetime.now(UTC).replace(microsecond=0)
    fields = {
        "id": f"key-{secrets.token_hex(4)}",
        "name": name.strip(),
        "hash": hash_of(token),
        "models": tuple(models),
        "a_minute": a_minute,
        "created": now,
        "expires": None if days is None else now + timedelta(days=days),
    }
    try:
        made = Key.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        told = tr("This {field} of a key cannot be used: {why}.", field=first["loc"][0], why=first["msg"])
        raise BadInput(told) from None
    with _changing(workspace) as keys:
        if len(keys) >= _MOST_KEYS:
            told = tr("There are {count:,} keys already: use one key for more than one client.", count=_MOST_KEYS)
            raise BadInput(told)
        keys.append(made)
    return token, made


def list_keys(workspace: Workspace) -> list[Key]:
    """All keys that were ever made, oldest first. Raises BadSpec for a damaged file."""
    return list(read_keys(keys_file(workspace)).keys)


def revoke_key(workspace: Workspace, key: str) -> Key:
    """End a key, by its id or its name where only one that works has it. Raises NotFound, BadInput, DiskFull."""
    with _changing(workspace) as keys:
        living = [one for one in keys if one.revoked is None]
        found = [one for one in living if one.id == key] or [one for one in living if one.name == key]
        if not found:
            raise NotFound(tr("There is no key '{name}' that works: `key list` shows them.", name=key[:100]))
        if len(found) > 1:
            told = mark("{count} keys have the name '{name}': give the id of one; `key list` shows them.")
            raise BadInput(tr(told, count=len(found), name=key[:100]))
        ended = found[0].model_copy(update={"revoked": datetime.now(UTC).replace(microsecond=0)})
        keys[keys.index(found[0])] = ended
    return ended


@contextmanager
def _changing(workspace: Workspace) -> Iterator[list[Key]]:
    """The keys, to be changed by nobody else meanwhile; written when the block ends well."""
    path = keys_file(workspace)
    with locked(path):
        keys = list(read_keys(path).keys)
        yield keys
        write_keys(path, Keys(keys=tuple(keys)))
