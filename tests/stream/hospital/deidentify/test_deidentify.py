"""Rendered clips with planted names through the command: nothing of them is left, and what is shown stays as it was."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engine.arrays import Image
from polypstream.cli import main
from stream.hospital.deidentify.looking.recogniser import Recogniser, Word
from stream.hospital.deidentify.looking.words import COVERING, find_words
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.sources.opening import open_source
from stream.sources.picture_reader import read_picture
from tests.kit.burned_in import BAR, LAYOUTS, NAME, SIZE_WH, TAGS, make_clip, planted_frame, room_frame

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tesseract") is None, reason="needs Tesseract: apt-get install tesseract-ocr"),
]
_FRAMES = 32
_LOOKED_AT = (3, 17, 30)
_OUTSIDE = 16


@dataclass(frozen=True)
class Released:
    """A folder with a clip of each layout, and what came of it."""

    source: Path
    output: Path
    key: Path
    status: int


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Clips of all layouts, in folders that are called by a patient, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("deidentify")
    source, output, key = folder / "archive", folder / "release", folder / "key.json"
    (source / "Mueller_Olga").mkdir(parents=True)
    for layout in LAYOUTS:
        make_clip(source / "Mueller_Olga" / f"{layout} MUELLER.mp4", layout, frames=_FRAMES)
    (source / "letter.txt").write_text("Dear Mrs Mueller")
    status = main(["deidentify", str(source), "--output", str(output), "--key", str(key), "--text-every", "1.5"])
    return Released(source, output, key, status)


def _videos(released: Released) -> list[Path]:
    return sorted(released.output.rglob("*.mp4"))


def _frames(path: Path) -> list[tuple[Image, float]]:
    with open_source(path, deinterlace=Deinterlace.OFF) as source:
        return [(frame.image.copy(), frame.time_s) for frame in source]


def _read_of(word: str, words: Sequence[Word]) -> bool:
    return any(SequenceMatcher(None, word, one.text).ratio() > 0.6 for one in words)


def test_every_planted_word_is_read_before_and_none_after(released: Released) -> None:
    assert released.status == 0
    videos = _videos(released)
    assert len(videos) == len(LAYOUTS)
    before = [planted_frame(layout, 17, frames=_FRAMES) for layout in LAYOUTS]
    reader = Recogniser.find()
    for planted, words in zip(before, find_words([one.image for one in before], reader, COVERING), strict=True):
        assert [one for one in planted.words if not _read_of(one, words)] == []
    after = [_frames(path)[_LOOKED_AT[1]][0] for path in videos]
    assert [words for words in find_words(after, reader, COVERING) if words] == []


def test_what_is_covered_is_black_and_the_rest_stays_as_it_was(released: Released) -> None:
    by_layout = dict(zip(sorted(LAYOUTS), _videos(released), strict=True))
    for layout, path in by_layout.items():
        frames = _frames(path)
        for index in _LOOKED_AT:
            planted, image = planted_frame(layout, index, frames=_FRAMES), frames[index][0]
            for x1, y1, x2, y2 in planted.places:
                assert image[y1:y2, x1:x2].max() <= 16, (layout, index)
            assert image[~planted.field].max(initial=0) <= 16, (layout, index)
            shown = image.max(axis=2) > 40
            assert shown[planted.field].mean() > 0.75, (layout, index)
            inner = cv2.erode(shown.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
            assert np.abs(image.astype(int) - planted.image)[inner].mean() < 3, (layout, index)


def test_frames_and_times_stay(released: Released) -> None:
    for path in _videos(released):
        times = [time_s for _, time_s in _frames(path)]
        assert times == pytest.approx([index / 8 for index in range(_FRAMES)])


def test_nothing_else_is_left(released: Released) -> None:
    planted = [text.encode().lower() for text in (*TAGS.values(), NAME, "Olga", "2019-03-04", "1961")]
    source = next(released.source.rglob("octagon*.mp4")).read_bytes().lower()
    assert all(one in source for one in planted[:2])
    files = [path for path in released.output.rglob("*") if path.is_file()]
    assert len(files) >= 3 * len(LAYOUTS) + 1
    for path in files:
        held = path.read_bytes().lower()
        assert [one for one in planted if one in held] == [], path
        assert "mueller" not in str(path.relative_to(released.output)).lower()
    for path in _videos(released):
        with av.open(str(path)) as container:
            assert [stream.type for stream in container.streams] == ["video"]
            assert container.chapters() == []
            assert "creation_time" not in container.metadata


def test_the_record_says_what_was_done(released: Released) -> None:
    for path in _videos(released):
        record = json.loads(path.with_name(f"{path.name}.deid.json").read_text())
        assert record["frames"] == _FRAMES and record["black_frames"] == 0
        assert {one["reason"] for one in record["regions"]} == {"word", "static overlay"}
        assert {"tag title", "1 chapters", "sound"} <= set(record["dropped"])
    page = (released.output / "contact-sheet" / "index.html").read_text()
    assert page.count("<img") == len(LAYOUTS)
    assert len(list((released.output / "contact-sheet").glob("*.jpg"))) == len(LAYOUTS)


def test_the_key_leads_back_and_is_for_its_owner_alone(released: Released) -> None:
    key = json.loads(released.key.read_text())
    assert key["names"]["Mueller_Olga"] == "0001"
    assert key["names"][str(Path("Mueller_Olga") / "octagon MUELLER.mp4")] == str(Path("0001") / "0003")
    assert stat.S_IMODE(released.key.stat().st_mode) == 0o600


def test_a_second_run_does_nothing(released: Released, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in _videos(released)}
    arguments = ["--output", str(released.output), "--key", str(released.key), "--text-every", "1.5"]
    assert main(["deidentify", str(released.source), *arguments]) == 0
    assert f"{len(LAYOUTS)} done before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in _videos(released)} == before


def test_verify_finds_nothing_in_the_output_and_words_in_the_source(
    released: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = _videos(released)[0]
    assert main(["deidentify", "--verify", str(one), "--text-every", "3", "--key", str(released.key)]) == 0
    source = next(released.source.rglob("message*.mp4"))
    assert main(["deidentify", "--verify", str(source), "--text-every", "6"]) == 1
    said = capsys.readouterr().out
    assert "readable words in frame " in said and "metadata: tag title" in said
    assert not any(word in said for word in (NAME + " ", "4711", BAR))


def test_frames_outside_the_body_are_black(tmp_path: Path) -> None:
    """The camera lies in a room, with a face and a name plate, before it enters."""

    def draw(index: int) -> Image:
        return room_frame(index) if index < _OUTSIDE else planted_frame("full frame", index, names=False).image

    source = make_clip(tmp_path / "room.mp4", "full frame", frames=76, draw=draw)
    output = tmp_path / "clean.mp4"
    assert main(["deidentify", str(source), "--output", str(output), "--without-ocr"]) == 0
    frames = [image for image, _ in _frames(output)]
    assert max(int(image.max()) for image in frames[:_OUTSIDE]) <= 16
    assert frames[-1].mean() > 60
    record = json.loads((tmp_path / "clean.mp4.deid.json").read_text())
    assert record["black"][0]["first"] == 0 and record["black"][0]["last"] >= _OUTSIDE + 8
    assert "stays unless" in record["without_ocr"]


def test_lossless_keeps_what_is_shown_to_the_bit_and_sound_only_where_wanted(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", "full frame", frames=8, draw=lambda i: planted_frame("full frame", i).image)
    output = tmp_path / "clean.mp4"
    options = ["--without-ocr", "--lossless", "--keep-sound"]
    assert main(["deidentify", str(source), "--output", str(output), *options]) == 0
    with open_source(source) as before, open_source(output) as after:
        for one, other in zip(before, after, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one.picture.planes, other.picture.planes, strict=True))
        assert after.info.has_audio
    assert b"mueller" not in output.read_bytes().lower()


def test_user_data_between_the_pictures_is_gone(tmp_path: Path) -> None:
    """As some recorders write the patient's name into the H.264 stream itself."""
    plain = make_clip(tmp_path / "plain.mp4", "octagon", frames=4, tags=False)
    source, output = tmp_path / "a.mp4", tmp_path / "clean.mp4"
    with av.open(str(plain)) as read, av.open(str(source), "w") as written:
        video = read.streams.video[0]
        stream = written.add_stream_from_template(video)
        user_data = "086f3693-b7b3-4f2c-9653-21492feee5b8+Olga Mueller"
        adds = av.bitstream.BitStreamFilterContext(f"h264_metadata=sei_user_data={user_data}", video, stream)
        for packet in read.demux(video):
            for one in adds.filter(packet if packet.dts is not None else None):
                one.stream = stream
                written.mux(one)
    assert b"Olga Mueller" in source.read_bytes()
    assert main(["deidentify", str(source), "--output", str(output), "--without-ocr"]) == 0
    assert b"Olga" not in output.read_bytes() and len(_frames(output)) == 4


def test_a_jpeg_with_exif_becomes_a_png_with_nothing_beside_its_pixels(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    planted = planted_frame("octagon", 5)
    exif = Pillow.Exif()
    exif[0x010E], exif[0x9003] = "Olga Mueller", "1961:05:12 10:00:00"
    Pillow.fromarray(planted.image[:, :, ::-1]).save(tmp_path / "frame.jpg", quality=95, exif=exif, comment="Mueller")
    assert b"Olga" in (tmp_path / "frame.jpg").read_bytes()
    output = tmp_path / "clean.png"
    assert main(["deidentify", str(tmp_path / "frame.jpg"), "--output", str(output)]) == 0
    held = output.read_bytes()
    assert b"Olga" not in held and b"Exif" not in held and b"tEXt" not in held
    image, before = read_picture(output), read_picture(tmp_path / "frame.jpg")
    for x1, y1, x2, y2 in planted.places:
        assert image[y1:y2, x1:x2].max() == 0
    shown = image.any(axis=2)
    assert image.shape == (SIZE_WH[1], SIZE_WH[0], 3) and shown.mean() > 0.4
    assert np.array_equal(image[shown], before[shown])
    record = json.loads((tmp_path / "clean.png.deid.json").read_text())
    assert "APP1 Exif" in record["dropped"] and "comment" in record["dropped"]
