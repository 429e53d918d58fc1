"""Which addresses a URL that somebody typed may lead to: hosts of the internet, and private ones by name only.

Who may type a URL into the studio may not have the network that the studio's machine stands in: its own services, its
neighbours, a cloud's metadata. So a host is looked up here, every address that it has is judged, and who connects takes
the address that was judged, so that a name cannot mean another one a moment later. What it leaves out: connecting.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator

from studio.errors import BadInput

ALLOWED = "SFT_STUDIO_PRIVATE_HOSTS"
"""The environment variable that names private hosts which may be asked all the same, separated by commas: names,
addresses, networks such as 10.0.0.0/8, or * for all."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that the internet uses; the rest is of one site, of one machine, or stands for an IPv4 address."""


def allowed_address(host: str, port: int) -> str:
    """An address of a host that may be connected to. Raises BadInput for a private one, OSError for none at all."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not _is_named(host) and any(not is_allowed(address) for address in found):
        raise BadInput(refusal(host))
    return found[0]


def refuse_private(host: str) -> None:
    """Raises BadInput for a host that is private as it is written; other names are looked up when they are asked."""
    bare = host.lower().rstrip(".")
    written = _as_numbers(bare)
    private = not is_allowed(written) if written else bare == "localhost" or bare.endswith(".localhost")
    if private and not _is_named(host):
        raise BadInput(refusal(host))


def refusal(host: str) -> str:
    """The sentence about a private host."""
    return (
        f"{host[:100]} is a private address, of this machine or its network: if it is meant, name it in "
        f"{ALLOWED} and start the studio again."
    )


def is_allowed(address: str) -> bool:
    """Whether an address is one of the internet, or named in the environment."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_is_public(each) or _in_named(each) for each in _meant(found))


def _meant(address: _Address) -> Iterator[_Address]:
    """An address, or the IPv4 one that it stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            yield inner
            return
    yield address


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast


def _as_numbers(host: str) -> str:
    """An address in any form that a resolver reads (127.1, 0x7f000001) as it is usually written; '' for a name."""
    bare = host.strip("[]").partition("%")[0]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(bare))
    except (OSError, UnicodeError):
        return ""


def _named() -> list[str]:
    return [part for part in os.environ.get(ALLOWED, "").lower().replace(",", " ").split() if part]


def _is_named(host: str) -> bool:
    names = _named()
    return "*" in names or host.lower().strip("[]").rstrip(".") in names


def _in_named(address: _Address) -> bool:
    for part in _named():
        try:
            network = ipaddress.ip_network(part, strict=False)
        except ValueError:
            continue
        if address.version == network.version and address in network:
            return True
    return False
