"""Encapsulated video: read out of its object as from a file of its own, in one fragment or many."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine.errors import SourceError
from stream.doctor.contents import examine_contents, format_contents
from stream.sources.opening import open_source
from stream.sources.source import SourceKind
from stream.study.listing import list_folder
from stream.study.probing import probe
from tests.kit.media import make_video, numbered_picture, picture_number

pytest.importorskip("pydicom", reason="needs polypstream[dicom]")
from pydicom import uid
from pydicom.dataset import Dataset

from tests.kit.dicom_media import make_picture_object, make_video_object, new_object, rgb

FRAMES = 20


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos as they go into objects."""
    folder = tmp_path_factory.mktemp("streams")
    make_video(folder / "h264.mp4", frames=FRAMES, audio="aac")
    make_video(folder / "h264.ts", frames=FRAMES)
    make_video(folder / "mpeg2.mpg", codec="mpeg2video", frames=FRAMES)
    for name, pix_fmt in (("hevc.mp4", "yuv420p"), ("hevc.ts", "yuv420p"), ("hevc10.mp4", "yuv420p10le")):
        make_video(folder / name, codec="libx265", frames=FRAMES, pix_fmt=pix_fmt)
    with av.open(str(folder / "h264.mp4")) as source, av.open(str(folder / "bare.h264"), "w", format="h264") as bare:
        stream = bare.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                bare.mux(packet)
    return folder


@pytest.mark.parametrize(
    ("stream", "syntax", "options"),
    [
        ("h264.mp4", uid.MPEG4HP41, {}),
        ("h264.mp4", uid.MPEG4HP41F, {"fragments": 7, "offsets": True}),
        ("h264.mp4", uid.MPEG4HP41F, {"fragments": 3}),
        ("h264.ts", uid.MPEG4HP422D, {}),
        ("mpeg2.mpg", uid.MPEG2MPML, {}),
        ("hevc.mp4", uid.HEVCMP51, {}),
        ("hevc.ts", uid.HEVCMP51, {"fragments": 3}),
        ("hevc10.mp4", uid.HEVCM10P51, {}),
    ],
)
def test_frames_are_those_of_the_stream(
    tmp_path: Path, streams: Path, stream: str, syntax: str, options: dict[str, Any]
) -> None:
    path = make_video_object(tmp_path / "recording", streams / stream, syntax, frames=FRAMES, **options)
    with open_source(streams / stream) as plain, open_source(path) as source:
        assert source.info.kind is SourceKind.VIDEO
        assert (source.info.codec, source.info.has_audio) == (plain.info.codec, plain.info.has_audio)
        expected, shown = list(plain), list(source)
        assert source.end_s == plain.end_s
        assert not source.problems
    assert [frame.pts for frame in shown] == [frame.pts for frame in expected]
    for one, other in zip(shown, expected, strict=True):
        for plane, same in zip(one.picture.planes, other.picture.planes, strict=True):
            np.testing.assert_array_equal(plane, same)


def test_a_stream_without_times_has_those_of_its_object(tmp_path: Path, streams: Path) -> None:
    path = make_video_object(tmp_path / "a", streams / "bare.h264", uid.MPEG4HP41, frames=FRAMES, FrameTime="20")
    with open_source(path) as source:
        times = [frame.time_s for frame in source]
    assert times == pytest.approx([0.02 * number for number in range(FRAMES)])


@pytest.mark.parametrize("fragments", [1, 5])
def test_an_object_that_is_cut(tmp_path: Path, streams: Path, fragments: int) -> None:
    path = make_video_object(tmp_path / "a", streams / "h264.ts", uid.MPEG4HP41F, frames=FRAMES, fragments=fragments)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    with open_source(path) as source:
        shown = len(list(source))
        assert source.problems.broke_off is not None and "are there; send the object again" in source.problems.broke_off
    assert 0 < shown < FRAMES
    probed = probe(path)
    assert probed.error == "" and probed.left_out == ""


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:700])


def _no_index(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4000])


@pytest.mark.parametrize(
    ("harm", "said"),
    [(_cut, "is cut off before its pixel data"), (_no_index, "is a DICOM object whose video cannot be read")],
)
def test_what_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, streams: Path, harm: Callable[[Path], None], said: str
) -> None:
    path = make_video_object(tmp_path / "a.dcm", streams / "h264.mp4", uid.MPEG4HP41, frames=FRAMES)
    harm(path)
    with pytest.raises(SourceError, match=said) as raised:
        open_source(path)
    assert "\n" not in str(raised.value)
    assert probe(path).error == str(raised.value)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({}, "holds no pixel data \\(Comprehensive SR Storage\\)"),
        ({"EncryptedAttributesSequence": [Dataset()]}, "is encrypted and shows no pixels; decrypt it first"),
        ({"PixelDataProviderURL": "https://somewhere/else"}, "only names a server that has its pixels"),
        ({"DirectoryRecordSequence": [Dataset()]}, "is the directory of a medium"),
    ],
)
def test_objects_without_pixels(tmp_path: Path, attributes: dict[str, Any], said: str) -> None:
    made = new_object("1.2.840.10008.5.1.4.1.1.88.33", uid.ExplicitVRLittleEndian, **attributes)
    made.save_as(tmp_path / "report", enforce_file_format=True)
    with pytest.raises(SourceError, match=said):
        open_source(tmp_path / "report")
    assert "taken: nothing" in format_contents(examine_contents(tmp_path / "report"))


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Ünal^Ödön"),
        ("ISO 9999", "Nobody^Knows"),  # no such set
    ],
)
def test_names_in_any_character_set(tmp_path: Path, charset: Any, name: str) -> None:
    """Names, private elements and values that break the rules keep no picture from being read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what is wrong on purpose
        path = make_picture_object(
            tmp_path / "a.dcm",
            [rgb(numbered_picture(3))],
            **{"SpecificCharacterSet": charset, "PatientName": name, "StudyDate": "soon"},
        )
    with open_source(path) as source:
        assert [picture_number(frame.image) for frame in source] == [3]
    said = format_contents(examine_contents(path))
    assert "VL Endoscopic Image Storage" in said and name.split("^")[0] not in said


def test_private_elements_are_passed_over(tmp_path: Path) -> None:
    made = new_object("1.2.840.10008.5.1.4.1.1.7", uid.ExplicitVRLittleEndian)
    made.private_block(0x0009, "SOMEBODY", create=True).add_new(1, "OB", os.urandom(1 << 20))
    path = make_picture_object(tmp_path / "a.dcm", [rgb(numbered_picture(3))])
    from tests.kit.dicom_media import read

    found = read(path)
    found.update(dict(made.group_dataset(0x0009)))
    found.save_as(path)
    with open_source(path) as source:
        assert [picture_number(frame.image) for frame in source] == [3]


_READ_ALL = """
import resource, sys
from pathlib import Path
from stream.sources.containers.dicom.media import encapsulated_video
from stream.sources.opening import open_source
with open_source(Path(sys.argv[1])) as source:
    next(iter(source))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
video = encapsulated_video(Path(sys.argv[1]))
assert video is not None
video.seek(-4, 2)
assert video.read() == b"last", "the end of the stream"
total = video.tell()
with open_source(Path(sys.argv[1])) as source:
    shown = sum(1 for _ in source)
print(total, shown, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux counts it")
def test_an_object_of_four_gigabytes_takes_no_memory(tmp_path: Path, streams: Path) -> None:
    """The video is at the beginning of the stream, and a hole in the file makes up the rest."""
    stream = (streams / "h264.mp4").read_bytes()
    path = make_video_object(tmp_path / "large", streams / "h264.mp4", uid.MPEG4HP41, frames=FRAMES)
    data = path.read_bytes()
    at = data.index(stream)
    large = 0xFFFFFFF0
    with path.open("r+b") as file:
        file.seek(at - 4)
        file.write(large.to_bytes(4, "little"))
        file.seek(at + len(stream))
        file.write((large - len(stream)).to_bytes(4, "big") + b"free")  # an MP4's box of nothing
        file.seek(at + large - 4)
        file.write(b"last\xfe\xff\xdd\xe0\0\0\0\0")
    done = subprocess.run([sys.executable, "-c", _READ_ALL, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    total, shown, more_kib = map(int, done.stdout.split())
    assert (total, shown) == (large, FRAMES)
    assert more_kib < 64 << 10


def _examination(folder: Path, streams: Path) -> dict[str, Path]:
    """Two examinations, a picture and a report, as a medium holds them."""
    folder.mkdir()
    study, other = uid.generate_uid(), uid.generate_uid()
    made = {}
    for name, number, of in (("IM3", "2", study), ("IM1", "1", study), ("IM2", "1", other)):
        made[name] = make_video_object(
            folder / name,
            streams / "h264.ts",
            uid.MPEG4HP41,
            StudyInstanceUID=of,
            SeriesInstanceUID=f"{of[:60]}.1",
            InstanceNumber=number,
        )
    made["picture"] = make_picture_object(folder / "IM4", [rgb(numbered_picture(1))], StudyInstanceUID=study)
    report = new_object("1.2.840.10008.5.1.4.1.1.88.33", uid.ExplicitVRLittleEndian)
    report.save_as(folder / "SR1", enforce_file_format=True)
    return made


def test_objects_of_one_examination_are_one_procedure(tmp_path: Path, streams: Path) -> None:
    made = _examination(tmp_path / "medium", streams)
    listing = list_folder(tmp_path / "medium", results=tmp_path / "results")
    assert [[path.name for path in one.recordings] for one in listing.procedures] == [["IM1", "IM3"], ["IM2"]]
    assert {path.name: why for path, why in listing.left_out.items()} == {
        "IM4": "a picture",
        "SR1": "a DICOM object without pictures",
    }
    with pytest.raises(SourceError, match="holds 4 DICOM objects, 3 of them recordings; give one of them"):
        open_source(tmp_path / "medium")
    for name in ("IM2", "IM3", "picture"):
        made[name].unlink()
    with open_source(tmp_path / "medium") as source:
        assert source.info.path == made["IM1"]


def test_pictures_of_a_medium_come_in_their_order(tmp_path: Path) -> None:
    from pydicom.fileset import FileSet

    series = uid.generate_uid()
    files = FileSet()
    for number in (2, 0, 1):
        files.add(
            make_picture_object(
                tmp_path / f"{number}.dcm",
                [rgb(numbered_picture(number))],
                StudyInstanceUID="1.2.3",
                SeriesInstanceUID=series,
                InstanceNumber=str(number),
            )
        )
    medium = tmp_path / "medium"
    files.write(medium)
    with open_source(medium) as source:
        assert source.info.kind is SourceKind.FOLDER
        assert [picture_number(frame.image) for frame in source] == [0, 1, 2]
    assert "3 x DICOM object" in format_contents(examine_contents(medium))


def test_doctor_describes_an_object(tmp_path: Path, streams: Path) -> None:
    path = make_video_object(tmp_path / "a", streams / "h264.mp4", uid.MPEG4HP41F, frames=FRAMES, fragments=2)
    said = format_contents(examine_contents(path))
    assert "DICOM: Video Endoscopic Image Storage, Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1" in said
    assert "2 fragments" in said and "stream 0: video: h264" in said and "sound: stream 1" in said
    assert "Doe" not in said
