"""What stands beside the pictures of a recording, or between them, does not come out. And what an interrupt leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import pytest
from av.sidedata.sidedata import Type
from PIL import Image as Pillow
from PIL import ImageCms, PngImagePlugin, TiffImagePlugin

from polypstream.cli import main
from tests.kit.burned_in import SIZE_WH, make_clip, planted_frame

_CAPTION = b"MUELLER OLGA "
_PATIENCE_S = 120.0


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs FFmpeg's program")
def test_subtitles_and_attachments_are_gone(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "plain.mp4", "octagon", frames=4, tags=False)
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:00,400\nOlga Mueller\n")
    (tmp_path / "letter.txt").write_text("Dear Mrs Mueller")
    source, output = tmp_path / "a.mkv", tmp_path / "clean.mp4"
    inputs = ["-i", clip, "-i", tmp_path / "a.srt", "-attach", tmp_path / "letter.txt"]
    kept = ["-map", "0", "-map", "1", "-c", "copy", "-metadata:s:t", "mimetype=text/plain", source]
    subprocess.run(["ffmpeg", "-v", "error", *map(str, [*inputs, *kept])], check=True)
    held = source.read_bytes()
    assert b"Olga Mueller" in held and b"Dear Mrs Mueller" in held
    assert main(["deidentify", str(source), "--output", str(output), "--without-ocr"]) == 0
    with av.open(str(output)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert not any(name in output.read_bytes() for name in (b"Olga", b"Mueller", b"letter"))
    dropped = json.loads((tmp_path / "clean.mp4.deid.json").read_text())["dropped"]
    assert {"stream 2: subtitle", "stream 3: attachment", "sound"} <= set(dropped)


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each format, each of which names a patient wherever its format allows."""
    folder = tmp_path_factory.mktemp("formats")
    films = folder / "films Mueller"
    films.mkdir()
    clip = make_clip(folder / "plain.mp4", "octagon", frames=4, tags=False)
    cover = planted_frame("octagon", 1).image
    assert cv2.imwrite(str(folder / "cover.jpg"), cover)
    told = [
        "-metadata",
        "title=Olga Mueller",
        "-metadata",
        "Mueller=born",
        "-metadata",
        "artist=Dr. Mueller",
        "-metadata:s:v",
        "title=Olga",
    ]
    dated = ["-metadata", "creation_time=1961-05-12T08:00:00Z", "-metadata", "location=+47.36+008.54/Mueller"]
    covered = ["-i", folder / "cover.jpg", "-map", "0:v", "-map", "1", "-disposition:v:1", "attached_pic"]
    for name, inputs in (("a.mov", []), ("b.avi", []), ("c.mkv", []), ("d.mp4", covered)):
        command = ["-i", clip, *inputs, "-c", "copy", *told, *dated, films / name]
        subprocess.run(["ffmpeg", "-v", "error", *map(str, command)], check=True)
    _write_mpeg(films / "e.mpg")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB built-in".encode("utf-16-be"), "Mueller\0\0\0\0\0\0".encode("utf-16-be"))
    picture = Pillow.fromarray(cover[:, :, ::-1])
    exif = Pillow.Exif()
    exif[0x010E], exif[0x8298] = "Olga Mueller", "Klinik Mueller"
    exif.get_ifd(0x8825)[29] = "1961:05:12"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>Olga Mueller</x:xmpmeta>"
    thumbnail = b"\xff\xe2\x00\x0fMueller thumb"  # a segment of its own, as viewers write them
    iptc = b"\x1c\x02\x78\x00\x0cOlga Mueller"
    held = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc
    picture.save(films / "f.jpg", exif=exif, icc_profile=profile, comment="Mueller", xmp=xmp, quality=95)
    data = (films / "f.jpg").read_bytes()
    segment = b"\xff\xed" + (len(held) + 2).to_bytes(2, "big") + held
    (films / "f.jpg").write_bytes(data[:2] + segment + thumbnail + data[2:] + b"Mueller after the end")
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Patient", "Olga Mueller")
    texts.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=False)
    picture.save(films / "g.png", pnginfo=texts, exif=exif, icc_profile=profile)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270], tags[315], tags[700], tags[33723] = "Olga Mueller", "Dr. Mueller", xmp, iptc
    picture.save(films / "h.tif", tiffinfo=tags, icc_profile=profile)
    return films


def _write_mpeg(path: Path) -> None:
    """MPEG-2 whose stream of pictures holds user data, as some recorders write."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "yuv420p"
        frames = [av.VideoFrame.from_ndarray(planted_frame("octagon", index).image, "bgr24") for index in range(4)]
        for packet in [one for frame in (*frames, None) for one in stream.encode(frame)]:
            head, group, rest = bytes(packet).partition(b"\0\0\x01\xb8")
            made = av.Packet(head + group + rest[:4] + (b"\0\0\x01\xb2Olga Mueller" if group else b"") + rest[4:])
            made.pts, made.dts, made.time_base, made.stream = packet.pts, packet.dts, packet.time_base, stream
            container.mux(made)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs FFmpeg's program")
def test_nothing_that_was_planted_in_any_format_is_left(formats: Path, tmp_path: Path) -> None:
    planted = (
        b"mueller",
        b"olga",
        b"1961",
        "Mueller".encode("utf-16-be").lower(),
        "Mueller".encode("utf-16-le").lower(),
    )
    for path in formats.iterdir():
        assert b"mueller" in path.read_bytes().lower(), path
    output, key = tmp_path / "out", tmp_path / "key.json"
    arguments = [str(formats.parent), "--output", str(output), "--key", str(key), "--without-ocr"]
    for rest in ("plain.mp4", "cover.jpg"):
        (formats.parent / rest).unlink()
    assert main(["deidentify", *arguments]) == 0
    written = [path for path in output.rglob("*") if path.is_file()]
    assert len([path for path in written if path.suffix in (".mp4", ".png")]) == 8
    for path in written:
        held = path.read_bytes().lower()
        assert [one for one in planted if one in held] == [], path
        assert "mueller" not in str(path.relative_to(output)).lower()
    for path in formats.iterdir():
        os.utime(path, (0, 0))  # times of the source are not those of the output
    assert min(path.stat().st_mtime for path in written) > max(path.stat().st_mtime for path in formats.iterdir())
    assert main(["deidentify", "--verify", str(output), "--key", str(key), "--without-ocr"]) == 0


def test_closed_captions_between_the_pictures_are_gone(tmp_path: Path) -> None:
    """Captions (CTA-708, of ATSC A/53) travel in the stream of pictures; FFmpeg's encoders copy them by themselves."""
    plain = make_clip(tmp_path / "plain.mp4", "octagon", frames=4, tags=False)
    source, output = tmp_path / "a.mp4", tmp_path / "clean.mp4"
    with av.open(str(plain)) as read, av.open(str(source), "w") as written:
        video = read.streams.video[0]
        stream = written.add_stream_from_template(video)
        for packet in read.demux(video):
            if packet.dts is None:
                continue
            made = av.Packet(_caption_unit() + bytes(packet))
            made.pts, made.dts, made.time_base, made.duration = (
                packet.pts,
                packet.dts,
                packet.time_base,
                packet.duration,
            )
            made.is_keyframe, made.stream = packet.is_keyframe, stream
            written.mux(made)
    assert _captions(source) == 4
    assert main(["deidentify", str(source), "--output", str(output), "--without-ocr"]) == 0
    assert _captions(output) == 0 and b"GA94" not in output.read_bytes()


def _caption_unit() -> bytes:
    """A unit of an H.264 stream in an MP4 with captions: supplemental information of registered user data."""
    pairs = b"".join(b"\xfc" + _CAPTION[at : at + 2].ljust(2) for at in range(0, len(_CAPTION), 2))
    data = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | len(pairs) // 3, 0xFF]) + pairs + b"\xff"
    unit = bytes([6, 4, len(data)]) + data + b"\x80"
    return len(unit).to_bytes(4, "big") + unit


def _captions(path: Path) -> int:
    """How many frames carry captions."""
    with av.open(str(path)) as container:
        return sum(Type.A53_CC in frame.side_data for frame in container.decode(video=0))


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on Linux and Macs")
@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished_and_leaves_nothing_else(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    clip = make_clip(tmp_path / "clip.mp4", "octagon", frames=8)
    for number in range(30):
        shutil.copy(clip, source / f"{number}.mp4")
    arguments = ["deidentify", str(source), "--output", str(output), "--without-ocr"]
    command = [sys.executable, "-m", "polypstream", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            end_s = time.monotonic() + _PATIENCE_S
            while not _is_finished(output / "0002.mp4.deid.json") and time.monotonic() < end_s:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=_PATIENCE_S)
            assert process.returncode == 130, said
        finally:
            process.kill()
    assert "run the same again" in said[1] and "Traceback" not in said[1]
    done = sorted(output.glob("*.mp4"))
    assert 2 <= len(done) < 30
    kept = {path.name for path in output.iterdir() if path.is_file() and not path.name.startswith(".")}
    assert kept == {path.name for path in done} | {f"{path.name}.deid.json" for path in done}
    for number in range(len(done) + 1, 30):
        (source / f"{number}.mp4").unlink()
    before = {path: path.stat().st_mtime_ns for path in done}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == before
    assert len(list(output.glob("*.mp4"))) == len(done) + 1


def _is_finished(record: Path) -> bool:
    return record.exists() and "unfinished" not in json.loads(record.read_text())
