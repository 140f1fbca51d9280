"""What the rooms are called, and what each of them writes: NAME=SOURCE, and files with the name in theirs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import InputError
from engine.text.redaction import redacted
from stream.live.outputs.outputs import OutputSettings
from stream.live.sources.address import parse_live_source

#: Names go into those of files and into addresses: no dots, as a name such as "partial" after one means something.
_NAME = re.compile(r"\w[\w-]{0,39}")
_ALLOWED = "letters, digits, _ and - (40 at most, the first no -)"
#: What stands in front of `=` in a source that has no name: `camera:0?width`, `rtsp://host/?channel`.
_OF_SOURCE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|-?\?|-$")


@dataclass(frozen=True, slots=True)
class Room:
    """One source, and what it is called.

    Attributes:
        name: for people, addresses and names of files.
        source: as `stream.live.sources.address.parse_live_source` takes it. It may hold secrets.
    """

    name: str
    source: str

    def __repr__(self) -> str:
        """Without the source's secrets."""
        return f"Room({self.name!r}, {redacted(self.source)!r})"


def parse_rooms(sources: Sequence[str]) -> tuple[Room, ...]:
    """Reads SOURCE or NAME=SOURCE of each room; those without a name are called room1, room2, ... by their place.

    Raises:
        InputError: a name that no file or address can have, two rooms of one name, or a name without a source.
        SourceError: a source that cannot be understood.
    """
    rooms = tuple(_parse(text, f"room{number}") for number, text in enumerate(sources, 1))
    taken: dict[str, Room] = {}
    for room in rooms:
        # Some systems take `Or` and `OR` for the same file.
        other = taken.setdefault(room.name.casefold(), room)
        if other is not room:
            raise InputError(
                f"two rooms are called {room.name}: {redacted(other.source)} and {redacted(room.source)}; "
                "give each a name of its own: NAME=SOURCE"
            )
    return rooms


def outputs_of(outputs: OutputSettings, room: Room) -> OutputSettings:
    """The outputs of one room: exam.mp4 becomes exam.NAME.mp4, exam.jsonl becomes exam.NAME.jsonl, DIR DIR/NAME."""
    return replace(
        outputs,
        record=None if outputs.record is None else _named(outputs.record, room),
        events=None if outputs.events is None else _named(outputs.events, room),
        snapshots=None if outputs.snapshots is None else outputs.snapshots / room.name,
    )


def _named(path: Path, room: Room) -> Path:
    return path.with_name(f"{path.stem}.{room.name}{path.suffix}")


def _parse(text: str, otherwise: str) -> Room:
    head, separator, tail = text.partition("=")
    if not separator or _OF_SOURCE.match(head) or _is_file(text):
        name, source = otherwise, text
    else:
        name, source = unicodedata.normalize("NFC", head.strip()), tail
        if not name:
            raise InputError(f"{redacted(text)!r}: no name stands before the =; give NAME=SOURCE, or the SOURCE alone")
        if _NAME.fullmatch(name) is None:
            raise InputError(
                f"{redacted(head)!r} cannot be the name of a room, as files and addresses hold it: use {_ALLOWED}; "
                f"there is no file {redacted(text)!r} either"
            )
        if not source.strip():
            raise InputError(f"room {name} has no source; give {name}=SOURCE, such as {name}=camera:0")
    parse_live_source(source)
    return Room(name, source)


def _is_file(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
