"""What may be shown of a source's address: never its secrets."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{1,5})?")


def redacted(source: str) -> str:
    """A source as it may stand in logs, on pages and in files.

    User, password, path and query of a URL may all carry secrets (cameras are known to take passwords in each of
    them), so only scheme, host and port are left. Where an `@` stands after the first slash, nobody can tell a password
    that was not escaped from a path: then the host is hidden too.

    Args:
        source: a URL, or any other source.

    Returns:
        For a URL `scheme://host:port`; everything else unchanged.
    """
    scheme = _SCHEME.match(source)
    if scheme is None:
        return source
    rest = source[scheme.end() :]
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    if "@" in rest[len(authority) :] or _HOST.fullmatch(host) is None:
        return f"{scheme[1]}://..."
    return f"{scheme[1]}://{host}"
