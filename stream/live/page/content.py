"""What the page's server asks of whoever knows a room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Name of the one room of a page that shows no other: its page lies at the home itself.
ONLY_ROOM = ""


@dataclass(frozen=True, slots=True)
class PageContent:
    """What the server asks of a room. Called in the server's thread; each returns at once.

    Attributes:
        greet: tells a new browser how things stand, by `Audience.tell_one`.
        want_frame: a browser has room for a picture of another frame than that of this index; None when it has none.
        obey: a browser asks for something.
        thumbnail: the JPEG of a polyp on the timeline, by its track.
    """

    greet: Callable[[object], None]
    want_frame: Callable[[int | None], None]
    obey: Callable[[object, str], None]
    thumbnail: Callable[[int], bytes | None]
