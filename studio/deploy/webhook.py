"""Alerts sent to a URL that the user set, and to no other: figures and names only, never a text, a prompt or a key.

On a thread of its own with a short time-out, no redirect followed, no proxy of the environment used and the answer not
read, so that nobody waits for it. Private hosts are refused where the environment does not name them
(studio.contract.outward).
What it leaves out: trying again. What became of a message stands with its alert.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from storage.database import Database
from storage.serving_records import Alert
from storage.watches import note_delivery
from studio.contract.outward import allowed_address, refuse_private
from studio.deploy import sentences
from studio.errors import BadInput, StudioError

_SECONDS = 5.0
_LONGEST_URL = 2000
_AT_ONCE = threading.BoundedSemaphore(8)
_log = logging.getLogger(__name__)
_ON_THE_WAY: dict[int, threading.Thread] = {}


def checked_url(url: str) -> str:
    """A URL that can be sent to, without white space around it; '' stays ''. Raises BadInput."""
    url = url.strip()
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise BadInput(sentences.NO_URL) from None
    odd = any(ord(letter) <= 32 or ord(letter) > 126 for letter in url)
    if not sound or odd or len(url) > _LONGEST_URL or "@" in parts.netloc:
        raise BadInput(sentences.NO_URL)
    refuse_private(parts.hostname or "")
    return url


def message(project: str, alert: Alert) -> dict[str, object]:
    """What is sent of an alert."""
    return {
        "project": project,
        "alert": alert.kind,
        "value": alert.value,
        "threshold": alert.threshold,
        "at": alert.created_at.isoformat(timespec="seconds"),
    }


def send(db: Database, url: str, project: str, alert: Alert) -> None:
    """Send an alert; at once back. More than eight at the same time are not sent, and that is noted."""
    thread = threading.Thread(target=_send, args=(db, url, message(project, alert), alert.number), daemon=True)
    _ON_THE_WAY[alert.number] = thread
    thread.start()


def wait_for_delivery(alert: Alert) -> None:
    """Wait until an alert's message was sent or given up: some seconds at the most."""
    if thread := _ON_THE_WAY.get(alert.number):
        thread.join(3 * _SECONDS)


def _send(db: Database, url: str, said: dict[str, object], number: int) -> None:
    if not _AT_ONCE.acquire(blocking=False):
        outcome = sentences.NOT_SENT_FOR.format(why=sentences.CROWDED)
    else:
        try:
            outcome = post(url, said)
        finally:
            _AT_ONCE.release()
    try:
        note_delivery(db, number, outcome)
    except StudioError as error:  # the app is closing, or the disk is full: the alert itself is kept
        _log.warning("What became of an alert's message cannot be noted: %s", error)
    finally:
        _ON_THE_WAY.pop(number, None)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **named: Any) -> None:
        """Never: the user named one address."""
        return None


class _Judged(HTTPConnection):
    def connect(self) -> None:
        """To an address that was judged, so that a name cannot mean another one a moment later."""
        self.sock = socket.create_connection((allowed_address(self.host, self.port), self.port), self.timeout)


class _JudgedSecure(HTTPSConnection):
    def connect(self) -> None:
        """The same, the certificate checked against the name."""
        plain = socket.create_connection((allowed_address(self.host, self.port), self.port), self.timeout)
        self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)


class _Outward(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        """See urllib."""
        return self.do_open(_Judged, req)


class _OutwardSecure(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        """See urllib."""
        return self.do_open(_JudgedSecure, req)


def post(url: str, said: dict[str, object], seconds: float = _SECONDS) -> str:
    """Send a JSON object; what became of it, in words."""
    try:
        url = checked_url(url)
    except BadInput as error:
        return sentences.NOT_SENT_FOR.format(why=error)
    request = urllib.request.Request(  # noqa: S310 (checked_url: http and https alone)
        url,
        data=json.dumps(said, ensure_ascii=True).encode("ascii"),
        headers={"Content-Type": "application/json", "User-Agent": "sft-studio"},
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirect, _Outward, _OutwardSecure, urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=seconds) as answer:
            return sentences.SENT.format(status=answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return sentences.REFUSED.format(status=error.code)
    except BadInput as error:
        return sentences.NOT_SENT_FOR.format(why=error)
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error
        told = type(why).__name__ if isinstance(why, BaseException) else str(why)[:100]
        return sentences.FAILED.format(why=told)
