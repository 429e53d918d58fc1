"""httpx transports that connect to an address which studio.contract.outward has judged, and to no other.

The name stays in the Host header and in the TLS handshake, so certificates are checked as ever.
"""

from __future__ import annotations

import asyncio

import httpx

from studio.contract.outward import allowed_address


class Outward(httpx.HTTPTransport):
    """For httpx.Client. Raises BadInput for a private host, httpx.ConnectError for one that is not found."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        return super().handle_request(_pinned(request, _looked_up(request)))


class AsyncOutward(httpx.AsyncHTTPTransport):
    """The same for httpx.AsyncClient; names are looked up in a thread."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        return await super().handle_async_request(_pinned(request, await asyncio.to_thread(_looked_up, request)))


def _looked_up(request: httpx.Request) -> str:
    url = request.url
    try:
        return allowed_address(url.host, url.port or (443 if url.scheme == "https" else 80))
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"{url.host} is not found", request=request) from error


def _pinned(request: httpx.Request, address: str) -> httpx.Request:
    """The request to that address; its Host header was written when it was made."""
    extensions = {**request.extensions, "sni_hostname": request.url.host}
    url = request.url.copy_with(host=address)
    return httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)
