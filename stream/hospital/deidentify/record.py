"""`OUT.deid.json`: what was done to a file, for those who answer for its release. It quotes no word and no name.

While a file is worked on, its record says that it is unfinished: what a killed run leaves is known, and done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any

from engine.files import partial_path, write_bytes, write_text
from engine.reading.bounded import MALFORMED, read_json_bounded
from engine.reading.digests import quick_digest
from stream.hospital.deidentify.looking.regions import Region, Stretch
from stream.hospital.deidentify.planning import Item

_VERSION = 1
_QUICK = "sha256_of_ends_and_size"


class Before(Enum):
    """What an earlier run left of a file."""

    NOTHING = 0
    BROKEN = 1  # it was killed while it wrote the file, or the file was changed or cut off since
    DONE = 2


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to one file.

    Attributes:
        frames: how many it has.
        resolution_wh: of the first one, in pixels.
        regions: that are covered inside the field of view.
        black: frames that are black as a whole: outside the body, doubtful, or without field of view.
        dropped: names of what stood beside the pictures.
        notes: what else a person should know.
    """

    frames: int
    resolution_wh: tuple[int, int]
    regions: tuple[Region, ...]
    black: tuple[Stretch, ...]
    dropped: tuple[str, ...]
    notes: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def black_frames(self) -> int:
        """How many frames are black as a whole."""
        return sum(one.last - one.first + 1 for one in self.black)

    def __str__(self) -> str:
        """In one line."""
        parts = [f"{self.frames} frames, {self.black_frames} of them black"]
        parts += [f"{len(self.regions)} regions covered"] if self.regions else []
        parts += [f"{len(self.dropped)} pieces of metadata dropped"] if self.dropped else []
        return "; ".join([*parts, *self.notes])


@contextmanager
def unfinished(item: Item, *, source_digest: str) -> Iterator[None]:
    """Says in the record of a file that it is unfinished, while the `with` block works on it.

    When the block fails, what stood there before stands there again.

    Raises:
        WriteError: the record cannot be written.
    """
    try:
        before = item.record.read_bytes()
    except OSError:
        before = None
    written_before = item.output.exists()
    record = {"version": _VERSION, "unfinished": True, "source": {_QUICK: source_digest}}
    write_text(item.record, json.dumps(record, indent=1) + "\n", what="record", private=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if before is not None:
                write_bytes(item.record, before, what="record", private=True)
            elif written_before or not item.output.exists():
                item.record.unlink()
        raise


def write_record(item: Item, done: Done, *, settings: dict[str, Any], source_digest: str, output_digest: str) -> None:
    """Writes the record of a file that is finished.

    Raises:
        WriteError: it cannot be written.
        OSError: the output cannot be read.
    """
    from stream.record.recording import library_versions

    record = {
        "version": _VERSION,
        "kind": item.kind.value,
        "frames": done.frames,
        "resolution_wh": list(done.resolution_wh),
        "regions": [
            {"box_xyxy": list(one.box_xyxy), "first": one.first, "last": one.last, "reason": one.reason.value}
            for one in done.regions
        ],
        "black": [{"first": one.first, "last": one.last} for one in done.black],
        "black_frames": done.black_frames,
        "dropped": list(done.dropped),
        "notes": list(done.notes),
        **done.more,
        "settings": settings,
        "versions": library_versions(),
        "source": {_QUICK: source_digest},
        "output": {"sha256": output_digest, _QUICK: quick_digest(item.output)},
    }
    write_text(item.record, json.dumps(record, indent=1) + "\n", what="record", private=True)


def found_before(item: Item, *, settings: dict[str, Any], source_digest: str) -> Before:
    """What an earlier run left of a file, from the same source and with the same settings."""
    record = record_of(item.output)
    try:
        if record["source"][_QUICK] != source_digest:
            return Before.NOTHING
        if record.get("unfinished") is True:
            return Before.BROKEN
        if record["settings"] != settings:
            return Before.NOTHING
        same = quick_digest(item.output) == record["output"][_QUICK]
    except OSError:
        return Before.BROKEN
    except MALFORMED:
        return Before.NOTHING
    return Before.DONE if same else Before.BROKEN


def remove_rests(item: Item) -> None:
    """Removes the unfinished files that killed runs left of an output. Raises OSError when one cannot be removed."""
    for number in count(1):
        rest = partial_path(item.output, number)
        if not rest.is_file():
            return
        rest.unlink()


def record_of(output: Path) -> dict[str, Any]:
    """The record of an output; nothing where there is none that can be read."""
    from stream.hospital.deidentify.planning import record_path

    try:
        record = read_json_bounded(record_path(output))
    except (OSError, *MALFORMED):
        return {}
    return record if isinstance(record, dict) else {}
