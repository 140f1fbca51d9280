"""What a browser plays of a recording: decided by looking at it, made by a real process, kept in bounds."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import InputError, SourceError
from stream.review.media.cache import FileCache
from stream.review.media.clock import follows
from stream.review.media.copies import Copies, Standing
from stream.review.media.making import make_file
from stream.review.media.material import Material, Pictures
from stream.review.media.plan import How, plan_for
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from tests.kit.media import make_video, numbered_picture, picture_number
from tests.kit.rates import make_rate, material_of

_PATIENCE_S = 120.0


@pytest.mark.parametrize(
    ("name", "make", "how", "reason"),
    [
        ("plain.mp4", {}, How.DIRECT, ""),
        ("plain.webm", {"codec": "libvpx", "options": {"deadline": "realtime"}}, How.DIRECT, ""),
        ("plain.mov", {}, How.COPIED, "browsers do not play h264 in mov"),
        ("plain.mkv", {}, How.COPIED, "browsers do not play h264 in mkv"),
        ("plain.ts", {}, How.COPIED, "browsers do not play h264 in mpegts"),
        ("old.mpg", {"codec": "mpeg2video"}, How.ENCODED, "browsers do not play mpeg2video"),
        ("old.avi", {"codec": "mpeg4"}, How.ENCODED, "browsers do not play mpeg4"),
        ("fine.mp4", {"pix_fmt": "yuv422p"}, How.ENCODED, "browsers do not play h264 with pixels of yuv422p"),
        ("deep.mp4", {"pix_fmt": "yuv420p10le"}, How.ENCODED, "browsers do not play h264 with pixels of yuv420p10le"),
        ("late.mp4", {"pts": [Fraction(i + 12, 25) for i in range(10)], "audio": "aac"}, How.COPIED, "its own times"),
        ("uneven.webm", {"pts": [Fraction(i * i, 50) for i in range(10)], "codec": "libvpx"}, How.ENCODED, "its rate"),
    ],
)
def test_a_look_at_the_file_decides_what_is_played(
    tmp_path: Path, name: str, make: dict[str, object], how: How, reason: str
) -> None:
    path = make_video(tmp_path / name, **{"frames": 10, **make})  # type: ignore[arg-type]
    plan = plan_for(material_of(path))
    assert plan.how is how
    assert plan.reason.startswith(reason)
    assert bool(plan.reason) is bool(reason)


def test_a_file_with_other_times_than_its_events_is_not_played_directly(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=10)
    times_s = material_of(path).times_s
    assert plan_for(Material(path, None, np.delete(times_s, 3))).how is How.ENCODED
    moved = times_s.copy()
    moved[5] += 0.01
    assert plan_for(Material(path, None, moved)).how is How.ENCODED


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.mpg", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.mkv", {"options": {"bf": "2"}}),
        ("odd.avi", {"codec": "ffv1", "size": (127, 95)}),
    ],
)
def test_a_copy_holds_the_same_frames_at_the_same_times(tmp_path: Path, name: str, make: dict[str, object]) -> None:
    material = material_of(make_video(tmp_path / name, **{"frames": 40, "rate": 30, **make}))  # type: ignore[arg-type]
    with Copies(FileCache(tmp_path / "copies", most_bytes=1e9)) as copies:
        made = _made(copies, material)
    assert made.file is not None
    assert follows(made.file, 0, material.times_s)
    with open_source(made.file) as source:
        numbers = [picture_number(frame.image) for frame in source]
    assert numbers == list(range(40))


def test_pictures_are_a_recording_of_a_second_each_in_the_order_of_their_events(tmp_path: Path) -> None:
    numbers = [7, 3, 200, 41]
    for number in numbers:
        size_wh = (128, 96) if number != 3 else (96, 64)
        cv2.imwrite(str(tmp_path / f"{number}.png"), numbered_picture(number, size_wh))
    cv2.imwritemulti(str(tmp_path / "pages.tif"), [numbered_picture(number) for number in (11, 12)])
    names, pages = [*(f"{number}.png" for number in numbers), "pages.tif", "pages.tif"], [1, 1, 1, 1, 1, 2]
    material = Material.of(tmp_path, None, np.arange(6.0), pictures=Pictures(names, pages, (128, 96)))
    with Copies(FileCache(tmp_path / "copies", most_bytes=1e9)) as copies:
        made = _made(copies, material)
    assert made.file is not None
    with open_source(made.file) as source:
        shown = [(frame.time_s, picture_number(_own(frame.image, frame.index))) for frame in source]
    assert shown == list(zip(np.arange(6.0).tolist(), [*numbers, 11, 12], strict=True))
    (tmp_path / "3.png").write_bytes((tmp_path / "7.png").read_bytes())
    with Copies(FileCache(tmp_path / "copies", most_bytes=1e9)) as copies:
        assert copies.ask(material).file is None  # another picture: another copy
    small = Material.of(tmp_path, None, np.arange(6.0), pictures=Pictures(names, pages, (127, 96)))
    with pytest.raises(SourceError, match="more than the 127x96"):
        small.picture(0)


def _own(image: Image, index: int) -> Image:
    """The part of a canvas on which a smaller picture lies."""
    return image[:64, :96] if index == 1 else image


@pytest.mark.parametrize("name", ["a.mkv", "a.mov", "a.ts"])
def test_what_an_mp4_can_hold_is_copied_without_encoding(tmp_path: Path, name: str) -> None:
    # Matroska does not say when packets are decoded: with B-frames FFmpeg knows it of all but the first ones.
    material = material_of(make_video(tmp_path / name, frames=40, options={"bf": "3"}))
    target = tmp_path / "copy.mp4"
    assert make_file(material, target, How.COPIED, lambda _: None) is How.COPIED
    with open_source(target) as source:
        assert [picture_number(frame.image) for frame in source] == list(range(40))


def test_a_copy_is_made_once_and_anew_when_the_recording_changes(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", codec="mpeg4", frames=10)
    cache = FileCache(tmp_path / "copies", most_bytes=1e9)
    with Copies(cache) as copies:
        first = _made(copies, material_of(path)).file
    with Copies(cache) as copies:  # as after a new start of the page
        assert copies.ask(material_of(path)).file == first
        make_video(path, codec="mpeg4", frames=12)
        changed = material_of(path)
        assert copies.ask(changed).file is None
        assert _made(copies, changed).file != first


def test_what_cannot_be_copied_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", codec="mpeg4", frames=10)
    material = material_of(path)
    other = Material(path, None, material.times_s[:-2])
    with Copies(FileCache(tmp_path / "copies", most_bytes=1e9)) as copies:
        failed = _made(copies, other)
        assert failed.file is None
        assert "does not hold the frames that its events tell of" in failed.error
        path.unlink()
        with pytest.raises(SourceError, match="bring it back"):
            copies.ask(material)
    assert [one.suffix for one in (tmp_path / "copies").iterdir()] == [".json"]


def test_closing_ends_the_process_and_removes_what_is_unfinished(tmp_path: Path) -> None:
    material = material_of(make_video(tmp_path / "a.avi", codec="mpeg4", frames=250))
    with Copies(FileCache(tmp_path / "copies", most_bytes=1e9)) as copies:
        assert copies.want(material).working
        deadline = time.monotonic() + _PATIENCE_S
        while not any((tmp_path / "copies").glob(".making-*/*.mp4")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert not list((tmp_path / "copies").glob(".making-*"))
    assert not list((tmp_path / "copies").glob("*.mp4"))


def test_pictures_of_fields_are_those_of_the_events(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=15)
    with open_source(path, deinterlace=Deinterlace.FIELD) as source:
        times_s = np.array([round(frame.time_s, 6) for frame in source])
    material = Material.of(path, None, times_s, Deinterlace.FIELD)
    assert plan_for(material).how is How.ENCODED
    with Copies(FileCache(tmp_path / "copies", most_bytes=1e9)) as copies:
        made = _made(copies, material)
    assert made.file is not None
    assert follows(made.file, 0, material.times_s)
    assert len(times_s) == 30


def test_the_cache_removes_what_nobody_used_for_longest(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, most_bytes=250)
    for name in ("a", "b", "c"):
        with cache.making(name) as path:
            path.write_bytes(bytes(100))
        time.sleep(0.02)  # file systems count in steps
        cache.find("a")
        time.sleep(0.02)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
    with pytest.raises(OSError, match="full"), cache.making("d") as path:
        path.write_bytes(b"half")
        raise OSError("full")
    assert cache.find("d") is None
    with pytest.raises(InputError, match="cache"):
        FileCache(tmp_path, most_bytes=0)


def test_times_of_browsers_agree_with_those_of_events_at_every_rate(tmp_path: Path) -> None:
    for rate in ("25", "29.97", "59.94", "uneven"):
        material = material_of(make_rate(tmp_path, rate, frames=60))
        assert plan_for(material).how is How.DIRECT, rate


def _made(copies: Copies, material: Material) -> Standing:
    copies.want(material)
    deadline = time.monotonic() + _PATIENCE_S
    while (standing := copies.ask(material)).working:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return standing
