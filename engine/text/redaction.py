"""What may be shown of addresses: never their secrets. All that leaves the program as text passes here.

Errors pass here when they are made, log lines when they are formatted, run records and messages of the page when they
become JSON, and complaints of the command line when they are printed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

# `Path` makes one slash of two; the schemes of networks are known by it all the same.
_ONE_SLASH = "|".join(
    f"(?<={scheme}):/" for scheme in ("rtsp", "rtsps", "http", "https", "udp", "rtp", "rtmp", "srt", "ftp")
)
_MARK = rf"(?:://|%3A%2F%2F|{_ONE_SLASH})"
_SCHEME = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*)?({_MARK})", re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{1,5})?")
# An address in a text ends at a blank or a quote, but not before the last @ of its line: a password may hold either.
_IN_TEXT = re.compile(rf"""([A-Za-z][A-Za-z0-9+.-]*)?{_MARK}(?:(?:(?!{_MARK}).)*@)?[^\s'"<>`]*""", re.IGNORECASE)
_TRAILING = re.compile(r"[:;,.!)}]+$")  # belongs to the sentence and not to the address


def redacted(source: str) -> str:
    """Return a source as it may stand in logs, on pages and in files.

    User, password, path and query of a URL may all carry secrets (cameras are known to take passwords in each of
    them), so only scheme, host and port are left. Where an `@` stands after the first slash, nobody can tell a password
    that was not escaped from a path: then the host is hidden too.

    Args:
        source: a URL, whatever stands in front of it, or any other source.

    Returns:
        For what holds a URL `scheme://host:port`, with what stands in front of it; everything else unchanged.
    """
    scheme = _SCHEME.search(source)
    if scheme is None:
        return source
    begin, rest = source[: scheme.end()], source[scheme.end() :]
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    if scheme[2] != "://" or "@" in rest[len(authority) :] or _HOST.fullmatch(host) is None:
        return f"{begin}..."
    return f"{begin}{host}"


def redacted_text(text: str) -> str:
    """Return a text of any length in which each address is shown as `redacted` shows it.

    Example:
        >>> redacted_text("camera:rtsp://doctor:secret@10.0.0.5/scope is no camera; give camera:0")
        'camera:rtsp://10.0.0.5 is no camera; give camera:0'
    """
    if _SCHEME.search(text) is None:
        return text

    def shown(found: re.Match[str]) -> str:
        end = _TRAILING.search(found[0])
        tail = "" if end is None else end[0]
        address = found[0][: len(found[0]) - len(tail)]
        # The path of a local file is no secret.
        return address + tail if address.lower().startswith("file://") else redacted(address) + tail

    return _IN_TEXT.sub(shown, text)


def redacted_record(value: Any) -> Any:
    """Return a structure of mappings, sequences and other values in which each text is redacted, keys included."""
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        return {redacted_record(key): redacted_record(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted_record(item) for item in value]
    return value


class RedactingFormatter(logging.Formatter):
    """Formats log records as its parent does, tracebacks included, and redacts what comes out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return redacted_text(super().format(record))
