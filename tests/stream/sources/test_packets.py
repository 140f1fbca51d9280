from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from stream.sources.packets import READ_FAILURES, decode_packet, read_packets
from tests.kit.media import damage_file, make_video


class Container:
    """Gives packets and raises errors as they stand in its script."""

    def __init__(self, *script: Any) -> None:
        self._script = list(script)

    def demux(self, _: object) -> Iterator[Any]:
        while self._script:
            step = self._script.pop(0)
            if isinstance(step, BaseException):
                raise step
            yield step


def damage() -> BaseException:
    return av.error.InvalidDataError(1, "Invalid data found")


@pytest.mark.parametrize(
    ("script", "packets", "damaged"),
    [
        ([1, 2], [1, 2], 0),
        ([], [], 0),
        ([1, damage(), 2, damage(), damage()], [1, 2], 3),
        ([*[damage()] * (READ_FAILURES - 1), 1, *[damage()] * (READ_FAILURES - 1)], [1], 2 * READ_FAILURES - 2),
    ],
)
def test_places_that_cannot_be_parsed_are_passed_and_told(script: list[Any], packets: list[int], damaged: int) -> None:
    told: list[str] = []
    found: list[object] = list(read_packets(Container(*script), None, on_damage=told.append))  # type: ignore[arg-type, type-var]
    assert found == packets
    assert told == ["Invalid data found"] * damaged


@pytest.mark.parametrize(
    ("script", "error", "damaged"),
    [
        ([1, *[damage()] * READ_FAILURES, 2], av.error.InvalidDataError, READ_FAILURES),
        ([1, OSError(5, "Input/output error")], OSError, 0),
    ],
)
def test_a_stream_that_gives_nothing_more_is_given_up(
    script: list[Any], error: type[BaseException], damaged: int
) -> None:
    told: list[str] = []
    with pytest.raises(error):
        list(read_packets(Container(*script), None, on_damage=told.append))  # type: ignore[arg-type, type-var]
    assert len(told) == damaged


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (av.error.EOFError(1, "End of file"), []),
        (av.error.InvalidDataError(1, "Invalid data found"), ["Invalid data found"]),
        (OSError("odd"), ["OSError"]),
    ],
)
def test_a_packet_that_cannot_be_decoded_gives_nothing(error: BaseException, told: list[str]) -> None:
    def decode(_: object) -> list[Any]:
        raise error

    said: list[str] = []
    stream: Any = SimpleNamespace(decode=decode)
    assert decode_packet(stream, None, on_damage=said.append) == []
    assert said == told


def test_a_damaged_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mpg", codec="mpeg1video", frames=60, options={"b": "4M", "g": "6"})
    damage_file(path, begin=0.45, end=0.5)
    told: list[str] = []
    frames = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in read_packets(container, stream, on_damage=told.append):
            frames += len(decode_packet(stream, packet, on_damage=told.append))
    assert frames >= 50
