"""Where the page is served: `[HOST:]PORT` read, the socket opened, and whether other machines can reach it."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass

from engine.errors import InputError

_LOOPBACK = "127.0.0.1"
_EXAMPLES = "write PORT, HOST:PORT or [IPV6]:PORT, such as 8000, 0.0.0.0:8000 or [::1]:8000"
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Where the page is served.

    Attributes:
        host: name or address of an interface of this machine; 0.0.0.0 or :: for all of them.
        port: 0 to 65535; 0 takes any free one.
    """

    host: str = _LOOPBACK
    port: int = 8000

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_page_address(text: str) -> PageAddress:
    """Reads `PORT`, `HOST:PORT` or `[IPV6]:PORT`; without a host only this machine can reach the page.

    Raises:
        InputError: the text is none of these.
    """
    found = re.fullmatch(r"(?:(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\]/@]+)):)?(?P<port>[0-9]{1,5})", text)
    if found is None or int(found["port"]) > _LARGEST_PORT:
        raise InputError(f"address of the page must be [HOST:]PORT. Received: {text!r}; {_EXAMPLES}")
    if found["v6"] is not None and not _is_ip(found["v6"], version=6):
        raise InputError(f"address of the page holds no IPv6 address in its brackets. Received: {text!r}; {_EXAMPLES}")
    return PageAddress(found["v6"] or found["host"] or _LOOPBACK, int(found["port"]))


def open_socket(address: PageAddress) -> socket.socket:
    """Opens a listening socket.

    Raises:
        InputError: the port is taken or needs rights, or the host is none of this machine's.
    """
    try:
        family, place = _resolve(address)
        # `::` takes IPv4 too, as users of `0.0.0.0` expect.
        both = place[0] == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(place, family=family, dualstack_ipv6=both)
    except OSError as error:
        raise InputError(f"the page cannot be served at {address}: {_reason(error)}") from error


def is_loopback(address: PageAddress) -> bool:
    """Whether only this machine can reach the address.

    Raises:
        InputError: the host is unknown.
    """
    try:
        _, place = _resolve(address)
    except OSError as error:
        raise InputError(f"the page cannot be served at {address}: {_reason(error)}") from error
    return ipaddress.ip_address(place[0].partition("%")[0]).is_loopback


def host_of(netloc: str) -> str:
    """The host of `HOST`, `HOST:PORT` or `[IPV6]:PORT`, in lower case, without brackets."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0].lower()
    return netloc.rpartition(":")[0].lower() if re.search(r":[0-9]*$", netloc) else netloc.lower()


def is_ip(host: str) -> bool:
    """Whether a host, as `host_of` gives it, is an address and no name."""
    return _is_ip(host)


def _is_ip(host: str, version: int | None = None) -> bool:
    try:
        return version in (None, ipaddress.ip_address(host.partition("%")[0]).version)
    except ValueError:
        return False


def _resolve(address: PageAddress) -> tuple[socket.AddressFamily, tuple[str, int]]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # `localhost` has two addresses on many machines; browsers try both, so one is enough, the older kind first.
    family, _, _, _, place = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(place[0]), int(place[1]))


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no machine of this name is known; choose an address of this machine, such as 127.0.0.1 or 0.0.0.0"
    if error.errno == errno.EADDRINUSE:
        return "the port is taken; choose another, or end the program that uses it"
    if error.errno == errno.EACCES:
        return "this port needs special rights; choose one of 1024 or above"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this is no address of this machine; choose one that is, such as 127.0.0.1 or 0.0.0.0"
    return f"{error.strerror or error}; choose another address or port"
