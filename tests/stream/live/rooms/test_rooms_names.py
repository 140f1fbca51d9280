"""Names of rooms: what is one, what is a source with an `=`, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import InputError, SourceError
from stream.live.outputs.outputs import OutputSettings
from stream.live.rooms.names import Room, outputs_of, parse_rooms


@pytest.mark.parametrize(
    ("sources", "rooms"),
    [
        (["camera:0"], [Room("room1", "camera:0")]),
        (["camera:0", "B=camera:1", "pattern:"], [("room1", "camera:0"), ("B", "camera:1"), ("room3", "pattern:")]),
        (["OR-1=rtsp://h/s?a=b=c"], [("OR-1", "rtsp://h/s?a=b=c")]),
        (["camera:0?width=640&height=480"], [("room1", "camera:0?width=640&height=480")]),
        (["rtsp://h/s?a=b"], [("room1", "rtsp://h/s?a=b")]),
        (["Süd_2=exam.mp4"], [("Süd_2", "exam.mp4")]),
        (["Su\u0308d=exam.mp4"], [("Süd", "exam.mp4")]),  # one letter, written as two
        (["x=y.mp4"], [("room1", "x=y.mp4")]),  # there is a file of this name
        (["A=x=y.mp4"], [("A", "x=y.mp4")]),
        ([" A =pattern:"], [("A", "pattern:")]),
    ],
)
def test_names(
    sources: list[str], rooms: list[tuple[str, str] | Room], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x=y.mp4").touch()
    assert parse_rooms(sources) == tuple(room if isinstance(room, Room) else Room(*room) for room in rooms)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (["A=pattern:", "A=camera:0"], "two rooms are called A"),
        (["A=pattern:", "a=camera:0"], "two rooms are called a"),
        (["pattern:", "room1=pattern:"], "two rooms are called room1"),
        (["A=", "pattern:"], "room A has no source"),
        (["A=  "], "room A has no source"),
        (["=pattern:"], "no name"),
        (["or/1=pattern:"], "'or/1' cannot be the name"),
        (["../a=pattern:"], "cannot be the name"),
        (["a b=pattern:"], "cannot be the name"),
        (["a.b=pattern:"], "cannot be the name"),
        (["a\x1b[2J=pattern:"], "cannot be the name"),
        ([f"{'a' * 41}=pattern:"], "40 at most"),
        (["-a=pattern:"], "cannot be the name"),
        (["A=gopher://host/"], "gopher"),
        (["A=pattern:1x1"], "pattern:1x1"),
        (["A="], "A=camera:0"),
    ],
)
def test_what_is_no_room(sources: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_rooms(sources)
    assert said in str(caught.value)


def test_secrets_of_sources_are_not_shown() -> None:
    secret = "rtsp://doctor:geheim@10.0.0.5/scope"
    assert "geheim" not in repr(Room("A", secret))
    with pytest.raises(InputError) as caught:
        parse_rooms([f"A={secret}", f"A={secret}2"])
    assert "geheim" not in str(caught.value) and "10.0.0.5" in str(caught.value)
    with pytest.raises(SourceError) as refused:
        parse_rooms(["A=rtsps:doctor:geheim@host"])
    assert "geheim" not in str(refused.value)


def test_each_room_has_files_of_its_own() -> None:
    outputs = OutputSettings(record=Path("a/exam.mp4"), events=Path("exam.jsonl"), snapshots=Path("pictures"))
    own = outputs_of(outputs, Room("OR1", "pattern:"))
    assert (own.record, own.events) == (Path("a/exam.OR1.mp4"), Path("exam.OR1.jsonl"))
    assert own.snapshots == Path("pictures/OR1")
    none = outputs_of(OutputSettings(show=True), Room("OR1", "pattern:"))
    assert (none.record, none.events, none.snapshots) == (None, None, None)
