"""The files that a page is made of: what each is to a browser, and the headers that keep other sites away from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Kinds of the files of a page, by their endings."""

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer: nothing is stored, framed, guessed or told to others."""

NOTHING = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
"""Content security policy of what may load nothing at all."""

OWN_FILES = f"{NOTHING}; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'"
"""Content security policy of a page that loads its own scripts, styles and pictures, and talks to nobody."""


def read_assets(*folders: Path) -> Mapping[str, bytes]:
    """The files of a page by their names; a name in a later folder takes the place of an earlier one."""
    return {
        path.name: path.read_bytes() for folder in folders for path in sorted(folder.iterdir()) if path.suffix in KINDS
    }


def kind_of(name: str) -> str:
    """What a file is to a browser, by its name."""
    return KINDS[Path(name).suffix]
