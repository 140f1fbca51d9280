"""Which of a camera's modes is taken."""

from __future__ import annotations

import pytest

from engine.errors import SourceError
from stream.live.cameras.modes import CameraDevice, CameraMode, Wish, choose_mode, layout_of

_CARD = CameraDevice(
    "/dev/video0",
    "Capture HD",
    (
        CameraMode("yuyv422", (3840, 2160), (30.0,)),
        CameraMode("yuyv422", (1920, 1080), (5.0,)),
        CameraMode("mjpeg", (1920, 1080), (60.0, 50.0, 25.0)),
        CameraMode("uyvy422", (1280, 720), (60.0, 50.0)),
        CameraMode("yuyv422", (1280, 720), (60.0, 50.0)),
        CameraMode("nv12", (640, 480), (120.0, 30.0)),
    ),
)


@pytest.mark.parametrize(
    ("wish", "layout", "size_wh", "rate"),
    [
        (Wish(), "mjpeg", (1920, 1080), 60.0),  # full HD is fluent as JPEG only
        (Wish(rate=50), "mjpeg", (1920, 1080), 50.0),
        (Wish(resolution_wh=(1280, 720)), "uyvy422", (1280, 720), 60.0),  # uncompressed, by the order of layouts
        (Wish("yuyv422"), "yuyv422", (1280, 720), 60.0),  # full HD has 5 frames/s only, 4K is not taken unasked
        (Wish("yuyv422", (1920, 1080)), "yuyv422", (1920, 1080), 5.0),  # asked for
        (Wish("yuyv422", (3840, 2160)), "yuyv422", (3840, 2160), 30.0),
        (Wish("nv12"), "nv12", (640, 480), 120.0),
        (Wish("nv12", rate=29.97), "nv12", (640, 480), 30.0),  # what is nearly meant
    ],
)
def test_the_best_mode_that_fits_is_taken(wish: Wish, layout: str, size_wh: tuple[int, int], rate: float) -> None:
    mode, taken = choose_mode(_CARD, wish)
    assert (mode.layout, mode.resolution_wh, taken) == (layout, size_wh, rate)


def test_a_camera_that_names_no_rates_is_taken_at_its_own() -> None:
    camera = CameraDevice("/dev/video1", "Old", (CameraMode("yuyv422", (640, 480)),))
    assert choose_mode(camera, Wish(rate=50)) == (camera.modes[0], None)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish("h264"), "has no format=h264; it has: yuyv422 3840x2160 at 30 frames/s; yuyv422 1920x1080"),
        (Wish("nv12", (1920, 1080), 50.0), r"has no format=nv12 size=1920x1080 rate=50; it has: "),
        (Wish(rate=24), r"has no rate=24; it has: .*nv12 640x480 at 120, 30 frames/s"),
    ],
)
def test_what_a_camera_lacks_is_said_with_what_it_has(wish: Wish, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        choose_mode(_CARD, wish)
    assert "/dev/video0 (Capture HD)" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "layout"), [("UYVY", "uyvy422"), ("yuy2", "yuyv422"), ("MJPG", "mjpeg"), ("nv12", "nv12"), ("", "")]
)
def test_names_of_layouts(name: str, layout: str) -> None:
    assert layout_of(name) == layout
