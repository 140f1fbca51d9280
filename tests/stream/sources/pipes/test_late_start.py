"""A recording that is being written is begun near its end: what is read from there plays."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from stream.sources.pipes import late_start as module
from stream.sources.pipes.late_start import late_start
from tests.kit.media import make_video, picture_number

_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


@pytest.mark.parametrize(
    ("ending", "codec", "container"),
    [
        ("mkv", "libx264", {"cluster_time_limit": "400"}),
        ("mp4", "libx264", _FRAGMENTS),
        ("ts", "libx264", {}),
        ("mpg", "mpeg2video", {}),
    ],
)
def test_what_is_read_from_there_ends_as_the_file_does(
    ending: str, codec: str, container: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TAIL_BYTES", (12_000, 1 << 26))
    options = {"g": "12", "preset": "ultrafast"} if codec == "libx264" else {"g": "12"}
    path = make_video(tmp_path / f"a.{ending}", codec=codec, frames=100, options=options, container_options=container)
    found = late_start(path)
    assert found is not None
    data = path.read_bytes()
    assert 0 <= found.head < found.begin < len(data)
    (tmp_path / "late").write_bytes(data[: found.head] + data[found.begin :])
    with av.open(str(tmp_path / "late")) as late:
        numbers = [picture_number(frame.to_ndarray(format="bgr24")) for frame in late.decode(video=0)]
    assert numbers[-1] == 99 and len(numbers) < 90
    assert numbers == list(range(numbers[0], 100))


@pytest.mark.parametrize(
    ("ending", "container"),
    [
        ("mp4", {}),  # an index at its end
        ("mp4", {"movflags": "frag_keyframe+empty_moov"}),  # fragments that count from the beginning of the file
        ("avi", {}),
    ],
)
def test_others_are_read_from_their_beginning(ending: str, container: dict[str, str], tmp_path: Path) -> None:
    path = make_video(tmp_path / f"a.{ending}", codec="mpeg4", frames=30, container_options=container)
    assert late_start(path) is None


def test_what_is_short_is_read_from_its_beginning(tmp_path: Path) -> None:
    assert late_start(make_video(tmp_path / "a.ts", frames=5)) is None
