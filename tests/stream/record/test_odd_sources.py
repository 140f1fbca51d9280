"""`polypstream detect` on files as odd programs write them: what it says, what it writes, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import tifffile
from av.stream import Disposition as D
from PIL import Image as Pillow

from polypstream import cli
from stream.record.command import _summary
from stream.record.recording import RecordingSettings, detect_recording
from tests.kit.media import make_pictures, make_video, numbered_picture, packet_times
from tests.kit.odd_files import Film, Tone, write_heif, write_motion_jpeg_avi, write_streams
from tests.kit.tiny_bundle import make_tiny_bundle

Detect = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny").folder)


@pytest.fixture
def detect(model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Detect:
    """Runs `polypstream detect` with all outputs: exit status, standard output, errors and log."""

    def run(source: Path, *arguments: str) -> tuple[int, str, str]:
        outputs = ["--output", str(tmp_path / "out.mp4"), "--events", str(tmp_path / "out.jsonl")]
        chosen = ["--model", model, "--runtime", "onnxruntime"]
        status = cli.main(["detect", str(source), *outputs, *chosen, *arguments])
        out, err = capfd.readouterr()
        return status, out, err + caplog.text

    return run


def events(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def record(tmp_path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((tmp_path / "out.run.json").read_text())
    return loaded


def length_s(path: Path) -> float:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None and stream.time_base is not None
        return float(stream.duration * stream.time_base)


def test_a_film_behind_a_thumbnail(tmp_path: Path, detect: Detect) -> None:
    film = Film(range(12), disposition=D.default)
    source = write_streams(tmp_path / "exam.mp4", [Film([99], (64, 48), codec="mjpeg"), film])
    status, out, said = detect(source)
    assert status == 0 and "finished: 12 frames" in out
    assert "1 (h264, 128x96" in said and "has 1 frame only; --stream N takes another one" in said
    source_record = record(tmp_path)["source"]
    assert (source_record["stream"], source_record["resolution_wh"]) == (1, [128, 96])
    assert "has 1 frame only" in source_record["stream_choice"]
    assert len(events(tmp_path)) == 12


def test_a_stream_by_its_number(tmp_path: Path, detect: Detect) -> None:
    source = write_streams(tmp_path / "exam.mkv", [Film(range(12)), Film(range(7), (64, 48))])
    status, out, said = detect(source, "--stream", "1")
    assert (status, said) == (0, "") and "finished: 7 frames" in out
    assert record(tmp_path)["source"]["stream"] == record(tmp_path)["settings"]["stream"] == 1


def test_a_stream_that_is_not_there(tmp_path: Path, detect: Detect) -> None:
    source = write_streams(tmp_path / "exam.mkv", [Film(range(3))])
    status, _, said = detect(source, "--stream", "4")
    assert status == 2 and "--stream 4" in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["exam.mkv"]


def test_the_default_sound_is_copied(tmp_path: Path, detect: Detect) -> None:
    sounds = [Tone(loudness=0, length_s=0.4), Tone(hertz=880, length_s=0.4, disposition=D.default)]
    source = write_streams(tmp_path / "exam.mkv", [Film(range(10), disposition=D.default), *sounds])
    status, _, said = detect(source)
    assert status == 0 and "holds 2 sound streams: 2 (aac" in said and "is not the default" in said
    with av.open(str(tmp_path / "out.mp4")) as container:
        (stream,) = container.streams.audio
        loudest = max(np.abs(frame.to_ndarray()).max() for frame in container.decode(stream))
    assert loudest > 0.1
    assert record(tmp_path)["source"]["audio_stream"] == 2


@pytest.mark.parametrize("name", ["exam.mp4", "exam.mkv"])
def test_the_last_picture_stays_as_long_as_in_the_source(tmp_path: Path, detect: Detect, name: str) -> None:
    status, _, said = detect(write_streams(tmp_path / name, [Film(range(10))], last_s=5))
    assert (status, said) == (0, "")
    assert length_s(tmp_path / "out.mp4") == pytest.approx(9 / 25 + 5)
    assert packet_times(tmp_path / "out.mp4")[-1] == F(9, 25)


def test_sound_goes_on_under_the_last_picture(tmp_path: Path, detect: Detect) -> None:
    detect(write_streams(tmp_path / "exam.mp4", [Film(range(10)), Tone(length_s=4)], last_s=3))
    assert float(packet_times(tmp_path / "out.mp4", "audio")[-1]) == pytest.approx(4, abs=0.1)


def test_a_gap_stretches_no_picture(tmp_path: Path, detect: Detect) -> None:
    times = [F(index, 25) for index in range(5)] + [3600 + F(index, 25) for index in range(5)]
    status, _, said = detect(make_video(tmp_path / "exam.mp4", pts=times))
    assert (status, said) == (0, "")
    assert packet_times(tmp_path / "out.mp4") == times
    assert length_s(tmp_path / "out.mp4") == pytest.approx(3600.2)


@pytest.mark.parametrize("at_end", [0, 15])
def test_pictures_that_stay_are_no_fault(tmp_path: Path, detect: Detect, at_end: int) -> None:
    chunks = [0, None, 2, None, None, 5, 6, *[None] * at_end]
    status, out, said = detect(write_motion_jpeg_avi(tmp_path / "exam.avi", chunks))
    assert (status, said) == (0, "") and "finished: 4 frames" in out
    assert [round(event["time_s"] * 25) for event in events(tmp_path)] == [0, 2, 5, 6]
    assert length_s(tmp_path / "out.mp4") == pytest.approx(len(chunks) / 25)


def test_a_file_that_grows_is_said_with_the_result(
    tmp_path: Path, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = make_video(tmp_path / "exam.mp4", frames=50, options={"g": "5"}, container_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    def grow(_: object) -> None:
        with path.open("ab") as file:
            file.write(data[len(data) // 2 : -500])

    settings = RecordingSettings(
        str(path), events=tmp_path / "out.jsonl", model=model, runtime="onnxruntime", output=tmp_path / "out.mp4"
    )
    result = detect_recording(settings, on_open=grow)
    assert result.error is None, "what was read is whole"
    growing = record(tmp_path)["problems"]["still_growing"]
    assert growing and "was still growing" in growing and growing in caplog.text
    assert "the source was still growing: run again when it is complete" in _summary(result)


def test_everything_in_a_folder_is_looked_at_or_named(tmp_path: Path, detect: Detect) -> None:
    folder = make_pictures(tmp_path / "exam", ["0.jpg", "1.png", "2.bmp", "3.webp", "4.jp2", "5.ppm", "6.avif"])
    Pillow.fromarray(numbered_picture(7)[:, :, ::-1]).save(folder / "7.tga")
    write_heif(folder / "8.heic", numbered_picture(8), codec="hvc1")
    tifffile.imwrite(folder / "9.tif", np.stack([numbered_picture(n)[:, :, ::-1] for n in (9, 10)]), photometric="rgb")
    write_heif(folder / "tiles.heic", numbered_picture(8, (256, 256)), columns=2, rows=2, codec="hvc1")
    for name in ("boxes.csv", "1.txt", "2.txt", ".hidden.png", "film.mkv"):
        (folder / name).write_text("no picture")
    status, out, said = detect(folder)
    assert status == 0 and "finished: 11 frames" in out and "1 unreadable picture" in out
    left_out = "2 x .txt (1.txt, 2.txt), 1 x .csv (boxes.csv), 1 x .mkv (film.mkv), 1 x hidden (.hidden.png)"
    assert said.count(f"{folder}: left out: {left_out}\n") == 1
    told = [(event["image"], event.get("page")) for event in events(tmp_path)]
    assert told[:2] == [("0.jpg", None), ("1.png", None)] and told[-2:] == [("9.tif", 1), ("9.tif", 2)]
    assert len(told) == 11
    written = record(tmp_path)
    assert [(one["what"], one["count"]) for one in written["source"]["left_out"]] == [
        (".txt", 2),
        (".csv", 1),
        (".mkv", 1),
        ("hidden", 1),
    ]
    assert "tiles.heic is a picture of 4 tiles" in written["problems"]["unreadable"][0]


def test_the_pages_of_a_tiff_and_an_animation(tmp_path: Path, detect: Detect) -> None:
    pages = np.stack([numbered_picture(number)[:, :, ::-1] for number in range(4)])
    tifffile.imwrite(tmp_path / "scan.tif", pages, photometric="rgb")
    status, out, said = detect(tmp_path / "scan.tif")
    assert (status, said) == (0, "") and "finished: 4 frames" in out
    assert [(event["image"], event["page"]) for event in events(tmp_path)] == [("scan.tif", n) for n in (1, 2, 3, 4)]
    first, *others = [Pillow.fromarray(page) for page in pages]
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=[100, 100, 300, 500], lossless=True)
    status, out, said = detect(tmp_path / "a.webp", "--overwrite")
    assert (status, said) == (0, "") and "finished: 4 frames" in out
    assert [event["time_s"] for event in events(tmp_path)] == [0, 0.1, 0.2, 0.5]
    assert length_s(tmp_path / "out.mp4") == pytest.approx(1.0)


def test_a_picture_of_twelve_bits_is_no_black_one(tmp_path: Path, detect: Detect) -> None:
    tissue = np.random.default_rng(3).integers(60, 110, (96, 128)).astype(np.uint16)
    tissue[30:66, 46:82] = 250
    tifffile.imwrite(tmp_path / "a.tif", tissue << 4, photometric="minisblack")
    status, _, said = detect(tmp_path / "a.tif")
    assert status == 0 and said.count("values use 12 of 16 bits") == 1
    assert events(tmp_path)[0]["detections"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).to_ndarray(format="gray").max() > 200
