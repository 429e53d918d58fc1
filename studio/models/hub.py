"""Base models by Hub id: from the local cache, or downloaded after one short probe. Never a hang in retries.

Only what a safetensors model needs is fetched: no pickles, no code.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from studio.errors import BadModel, DiskFull
from studio.models.disk import is_disk_full

PROBE_SECONDS = 3.0

_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"
_HUB_ID = re.compile(f"{_PART}(?:/{_PART})?", re.ASCII)
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "tokenizer*"]
_UNWANTED = ["*/*", "consolidated*", "adapter_*", "*.py"]


def is_hub_id(name: str) -> bool:
    """True for `name` or `owner/name` as the Hub allows them."""
    allowed = not name.endswith(".git") and ".." not in name and "--" not in name
    return allowed and bool(_HUB_ID.fullmatch(name))


def is_offline() -> bool:
    """True when the user asked for no hub at all (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)."""
    wanted = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return wanted.upper() in {"1", "ON", "YES", "TRUE"}


def endpoint() -> str:
    """Address of the hub (HF_ENDPOINT, else huggingface.co)."""
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    if not address.startswith(("https://", "http://")):
        raise BadModel(f"HF_ENDPOINT is '{address}', which is no web address: unset it or correct it.")
    return address


def reachable(seconds: float = PROBE_SECONDS) -> bool:
    """One request to the hub; False unless any answer came within `seconds`."""
    answered = threading.Event()
    request = Request(endpoint(), method="HEAD")  # noqa: S310 (endpoint() lets only http and https through)

    def ask() -> None:
        try:
            urlopen(request, timeout=seconds).close()  # noqa: S310
        except HTTPError:
            pass
        except (OSError, ValueError):
            return
        answered.set()

    # A thread, because looking up the name can hang far longer than the time-out of the connection.
    probe = threading.Thread(target=ask, daemon=True)
    probe.start()
    probe.join(seconds)
    return answered.is_set()


def cached(hub_id: str) -> Path | None:
    """The folder of an earlier download in the local Hugging Face cache; None without one that is known to be whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # The patterns of `download`: without them the cache misses whatever that left out.
        folder = snapshot_download(hub_id, local_files_only=True, allow_patterns=_WANTED, ignore_patterns=_UNWANTED)
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None
    return Path(str(folder))


def download(hub_id: str) -> Path:
    """Fetch a model from the hub into the Hugging Face cache; the folder. Raises BadModel or DiskFull in seconds."""
    if is_offline() or not reachable():
        raise BadModel(
            f"The model hub ({endpoint()}) cannot be reached, so '{hub_id}' cannot be fetched: pick 'starter' or a "
            "local folder with safetensors weights, or download it where there is a network and copy the folder here."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        return Path(
            str(snapshot_download(hub_id, endpoint=endpoint(), allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
        )
    except GatedRepoError:
        raise BadModel(f"'{hub_id}' is gated: accept its terms on the hub and set HF_TOKEN, then try again.") from None
    except RepositoryNotFoundError:
        raise BadModel(f"The hub has no public model '{hub_id}': check the spelling, or set HF_TOKEN for it.") from None
    except Exception as error:  # those of the hub's HTTP client (ReadTimeout, ProxyError) have no nearer common base
        if is_disk_full(error):
            raise DiskFull(f"No room left on the disk for '{hub_id}': free some space and try again.") from error
        raise BadModel(f"The download of '{hub_id}' broke off ({type(error).__name__}): try again.") from error
