"""A camera as the kernel shows it, down to the pictures: what it gives, what is taken, what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import SourceError
from stream.live.cameras.v4l2 import examine_camera, find_camera, list_cameras
from tests.kit.fake_camera import FakeCamera
from tests.kit.media import make_video

_READ = """
from itertools import islice
from engine.errors import PolypstreamError
from stream.live.sources.address import parse_live_source
from stream.live.sources.opening import open_live_source
try:
    with open_live_source(parse_live_source("camera:" + DEVICE + OPTIONS)) as source:
        for frame in islice(source.frames(), 12):
            print(frame.index, *frame.resolution_wh, int(frame.image[5, 5, 1]), frame.image[5, 5].std())
except PolypstreamError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> FakeCamera:
    return FakeCamera(tmp_path_factory.mktemp("dev"))


def test_cameras_are_listed_with_what_they_give(camera: FakeCamera) -> None:
    said = camera.run(
        "from stream.doctor.cameras import format_cameras\n"
        "from stream.live.cameras.v4l2 import find_camera, list_cameras\n"
        "print(format_cameras(list_cameras(FOLDER)))\n"
        "print(find_camera('capture hd', FOLDER).path == DEVICE)"
    )
    assert said.splitlines() == [
        f"{camera.device}  Fake Capture HD",
        "  yuyv422 1920x1080 at 5 frames/s",
        "  yuyv422 320x240 at 30, 25 frames/s",
        "  uyvy422 320x240 at 50, 25 frames/s",
        "  nv12 160x120 at 50 frames/s",
        f"  taken for camera:{camera.device}: format=uyvy422 size=320x240 rate=50",
        "True",
    ]


@pytest.mark.parametrize(
    ("options", "size"),
    [("", "320 240"), ("?format=nv12", "160 120"), ("?format=yuyv&size=320x240&rate=25", "320 240")],
)
def test_pictures_come_in_the_mode_that_was_asked_for(camera: FakeCamera, options: str, size: str) -> None:
    lines = camera.run(f"OPTIONS = {options!r}\n{_READ}").splitlines()
    assert len(lines) == 12
    for index, line in enumerate(lines):
        level = round((40 + 2 * index - 16) * 255 / 219)  # limited range
        number, width, height, green, spread = line.split()
        assert (int(number), f"{width} {height}", float(spread)) == (index, size, 0.0)
        assert abs(int(green) - level) <= 1


def test_a_mode_that_it_lacks_is_said_with_what_it_has(camera: FakeCamera) -> None:
    said = camera.run(f"OPTIONS = '?format=mjpg&size=1920x1080'\n{_READ}")
    assert said.startswith(
        f"{camera.device} (Fake Capture HD) has no format=mjpeg size=1920x1080; it has: yuyv422 1920"
    )


def test_a_camera_that_is_unplugged_says_so(camera: FakeCamera) -> None:
    lines = camera.run(f"OPTIONS = ''\n{_READ}", frames=9).splitlines()
    assert len(lines) == 10 and "broke off: No such device" in lines[-1]


def test_what_is_no_camera_is_none(tmp_path: Path) -> None:
    assert examine_camera(str(make_video(tmp_path / "video0.mp4"))) is None
    assert examine_camera(str(tmp_path / "nowhere")) is None
    (tmp_path / "video3").touch()
    assert list_cameras(tmp_path) == []
    with pytest.raises(SourceError, match="camera:Olympus: no camera is called so; there is no camera at all"):
        find_camera("Olympus", tmp_path)
