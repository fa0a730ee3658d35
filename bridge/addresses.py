"""What a host and a port mean on this machine: one answer for all who bind there, ask there or see whether it is free.

A name may stand for several addresses (localhost often for ::1 and 127.0.0.1): the first of IPv4, if there is one.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final, NamedTuple

#: Where on this machine to reach what listens on all of its addresses.
_NEAR: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class Address(NamedTuple):
    """What a socket is made of (family, kind, protocol), and what it is bound or connected to."""

    family: socket.AddressFamily
    kind: socket.SocketKind
    protocol: int
    place: Any


def resolve(host: str, port: int, kind: socket.SocketKind) -> Address:
    """The address that a host (a name, or an address of IPv4 or IPv6) and a port stand for.

    Raises:
        OSError: no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except UnicodeError as fault:  # a name with a part of no letters, or of more than 63
        raise socket.gaierror(socket.EAI_NONAME, f"{host} is no host name") from fault
    family, kind, protocol, _, place = min(found, key=lambda info: info[0] != socket.AF_INET)
    return Address(family, kind, protocol, place)


def near(host: str) -> str:
    """The host to ask, from this machine, for what listens on `host`."""
    return _NEAR.get(host, host)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`: an address, or the name localhost."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
