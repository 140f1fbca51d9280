"""The main job on real files, through the command line and through `detect_recording`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import RunError
from polypstream import cli
from stream.record.pipeline import batches
from stream.record.recording import Outcome, RecordingSettings, detect_recording
from stream.sources.opening import open_source
from tests.kit.media import cut_file, damage_file, make_pictures, make_video, numbered_picture, packet_times
from tests.kit.tiny_bundle import make_tiny_bundle

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 60.0


def mucosa_with_spot(number: int, size_wh: tuple[int, int]) -> Image:
    """A pink picture with a bright spot that the tiny network takes for a polyp; it moves from frame to frame."""
    width, height = size_wh
    rows, columns = np.mgrid[0:height, 0:width]
    light = 0.5 + 0.15 * np.cos(columns / width * 3) * np.cos(rows / height * 2)
    image: Image = (light[..., None] * (70, 90, 150)).astype(np.uint8)
    x, y = width // 4 + number % (width // 4), height // 3
    image[y : y + height // 5, x : x + height // 5] = 250
    return image


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny").folder)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "exam.mp4", frames=40, size=(160, 128), draw=mucosa_with_spot)


@pytest.fixture
def run(model: str, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `polypstream detect` in this process: exit status, standard output, standard error."""

    def detect(*arguments: str | Path, model: str = model) -> tuple[int, str, str]:
        try:
            status = cli.main(["detect", *map(str, arguments), "--model", model])
        except SystemExit as error:
            status = int(error.code or 0)
        out, err = capfd.readouterr()
        return status, out, err

    return detect


def _events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_frame_gets_its_line_and_its_picture(
    clip: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = run(clip, "--output", tmp_path / "out.mp4", "--events", tmp_path / "out.jsonl")
    assert (status, err) == (0, "")
    assert out.count("\n") == 1 and out.startswith("finished: 40 frames at ") and "polyp" in out
    assert str(tmp_path / "out.mp4") in out and str(tmp_path / "out.jsonl") in out
    events = _events(tmp_path / "out.jsonl")
    assert [event["frame"] for event in events] == list(range(40))
    assert [event["time_s"] for event in events] == pytest.approx([n / 25 for n in range(40)])
    for number, event in enumerate(events):
        found = event["detections"][0]
        x1, y1, x2, y2 = found["box_xyxy"]
        spot = 160 // 4 + number % 40 + 12
        assert abs((x1 + x2) / 2 - spot) < 25 and abs((y1 + y2) / 2 - (42 + 12)) < 25
        assert found["label"] == "polyp" and found["track_id"] == 1
    assert packet_times(tmp_path / "out.mp4") == packet_times(clip)
    record = json.loads((tmp_path / "out.run.json").read_text())
    assert record["outcome"] == "finished" and record["counts"]["frames"] == 40
    assert {stage["name"] for stage in record["timings"]["stages"]} >= {
        "decode",
        "field of view",
        "inference",
        "encode",
    }
    assert record["runtime"]["name"] == "openvino" and record["settings"]["threshold"] == 0.5


def test_runtimes_give_the_same_events(clip: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    found = []
    for runtime in ("openvino", "onnxruntime"):
        path = tmp_path / f"{runtime}.jsonl"
        assert run(clip, "--events", path, "--runtime", runtime, "--threshold", "0.0")[0] == 0
        found.append([seen for event in _events(path) for seen in event["detections"]])
    assert len(found[0]) == len(found[1]) > 40
    for one, other in zip(*found, strict=True):
        assert abs(one["score"] - other["score"]) <= 1e-3
        assert max(abs(a - b) for a, b in zip(one["box_xyxy"], other["box_xyxy"], strict=True)) <= 1


def test_variable_rate_is_kept(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    times = [Fraction(n * n, 100) for n in range(20)]
    source = make_video(tmp_path / "vfr.mkv", frames=20, pts=times, draw=mucosa_with_spot)
    assert run(source, "--output", tmp_path / "out.mp4", "--events", tmp_path / "out.jsonl")[0] == 0
    written = [float(time) for time in packet_times(tmp_path / "out.mp4")]
    assert written == pytest.approx([float(time) for time in times], abs=1e-3)
    assert [event["time_s"] for event in _events(tmp_path / "out.jsonl")] == pytest.approx(written, abs=1e-3)


def test_folder_of_pictures_with_one_that_cannot_be_read(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures(tmp_path / "frames", ["10.png", "2.png", "1.jpg"])
    (folder / "3.png").write_bytes(b"no picture")
    status, out, _ = run(folder, "--events", tmp_path / "out.jsonl")
    assert status == 0 and "1 unreadable picture" in out and "3.png" in caplog.text
    assert [event["image"] for event in _events(tmp_path / "out.jsonl")] == ["1.jpg", "2.png", "10.png"]


def test_black_frames_have_no_detections(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    def draw(number: int, size_wh: tuple[int, int]) -> Image:
        return mucosa_with_spot(number, size_wh) if number < 10 else np.zeros((size_wh[1], size_wh[0], 3), np.uint8)

    clip = make_video(tmp_path / "exam.mp4", frames=60, size=(160, 128), draw=draw)
    assert run(clip, "--events", tmp_path / "out.jsonl")[0] == 0
    events = _events(tmp_path / "out.jsonl")
    assert all(event["detections"] for event in events[:10])
    assert not any(event["detections"] for event in events[10:])
    assert json.loads((tmp_path / "out.run.json").read_text())["counts"]["frames_without_picture"] >= 25


def test_resolution_that_changes_in_the_middle(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    parts = [
        make_video(tmp_path / f"{n}.ts", codec="mpeg2video", frames=20, size=size, draw=mucosa_with_spot)
        for n, size in enumerate([(160, 128), (320, 256)])
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    status, _, _ = run(joined, "--output", tmp_path / "out.mp4", "--events", tmp_path / "out.jsonl")
    assert status == 0
    boxes = [event["field_of_view_xyxy"] for event in _events(tmp_path / "out.jsonl")]
    assert boxes[0][2] <= 160 < boxes[-1][2] <= 320
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = [frame.width for frame in container.decode(video=0)]
    assert set(frames) == {160} and len(frames) == len(boxes) >= 38


def _make_bad(kind: str, folder: Path) -> Path:
    path = folder / "exam.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no video\n" * 100)
    elif kind == "no index":
        cut_file(make_video(path), 0.6)
    elif kind == "no frames":
        make_video(folder / "exam.mkv", frames=0, audio="aac", audio_s=0.5)
        return folder / "exam.mkv"
    elif kind == "one pixel":
        return make_video(folder / "exam.avi", codec="ffv1", size=(1, 1), frames=3, draw=_flat)
    elif kind == "no pictures":
        (folder / "frames").mkdir()
        return folder / "frames"
    return path


def _flat(number: int, size_wh: tuple[int, int]) -> Image:
    return np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "no index", "no frames", "one pixel", "no pictures"])
def test_unusable_source_is_one_line_and_2(tmp_path: Path, run: Callable[..., tuple[int, str, str]], kind: str) -> None:
    path = _make_bad(kind, tmp_path)
    before = sorted(tmp_path.iterdir())
    status, out, err = run(path, "--output", tmp_path / "out.mp4", "--events", tmp_path / "out.jsonl")
    assert (status, out) == (2, "")
    assert err.startswith("polypstream: ") and err.count("\n") == 1 and str(path) in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "gone/out.mp4"], "does not exist; make it first"),
        (["--events", "gone/out.jsonl"], "does not exist; make it first"),
        (["--output", "exam.mp4", "--overwrite"], "would replace the input"),
        (["--events", "exam.mp4", "--overwrite"], "must end in .jsonl"),
        (["--output", "old.mp4"], "--overwrite"),
        (["--events", "old.jsonl"], "--overwrite"),
        (["--output", "file/out.mp4"], "is not a folder"),
        (["--output", "out.avi"], "must end in"),
        (["--threshold", "1.5"], "threshold must be within 0 to 1. Received: 1.5"),
        (["--threshold", "nan"], "threshold must be within 0 to 1"),
        (["--threshold", "high"], "invalid float value"),
        (["--runtime", "cuda"], "unknown runtime 'cuda': choose one of auto, "),
        (["--runtime"], "expected one argument"),
        (["--strategy", "windows"], "has the strategy 'dense', not 'windows'"),
        (["--strategy", "sparse"], "known: dense, windows"),
    ],
)
def test_wrong_usage_is_2_and_harms_nothing(
    clip: Path,
    run: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(clip.parent)
    for name in ("old.mp4", "old.jsonl", "file"):
        Path(name).write_text("kept")
    before = {path.name: path.read_bytes() for path in clip.parent.iterdir()}
    status, _, err = run("exam.mp4", *arguments)
    assert status == 2 and said in err
    assert {path.name: path.read_bytes() for path in clip.parent.iterdir()} == before


@pytest.mark.parametrize("said", ["is missing", "was changed or damaged"])
def test_spoilt_model_is_refused(
    clip: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]], said: str
) -> None:
    folder = make_tiny_bundle(tmp_path / "model").folder
    network = folder / "model.fp32.onnx"
    if said == "is missing":
        network.unlink()
    else:
        network.write_bytes(network.read_bytes()[:-1])
    status, _, err = run(clip, "--output", tmp_path / "out.mp4", model=str(folder))
    assert status == 2 and said in err and not (tmp_path / "out.mp4").exists()


def test_unknown_model(clip: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    status, _, err = run(clip, model="polyps")
    assert status == 2 and "unknown model 'polyps'" in err


def test_video_cut_in_the_middle_keeps_what_there_is(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    source = make_video(
        tmp_path / "exam.mp4",
        frames=60,
        size=(160, 128),
        draw=mucosa_with_spot,
        container_options={"movflags": "faststart"},
    )
    cut_file(source, 0.6)
    status, out, err = run(source, "--output", tmp_path / "out.mp4", "--events", tmp_path / "out.jsonl")
    events = _events(tmp_path / "out.jsonl")
    assert status == 1 and 10 <= len(events) < 60 and f"{len(events)} frames" in out
    assert err.splitlines()[-1].startswith("polypstream: ")
    assert len(packet_times(tmp_path / "out.mp4")) == len(events)


def test_damaged_packets_are_counted_and_passed_over(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    source = make_video(tmp_path / "exam.mpg", codec="mpeg2video", frames=80, size=(160, 128), draw=mucosa_with_spot)
    damage_file(source, begin=0.4, end=0.45)
    status, out, _ = run(source, "--events", tmp_path / "out.jsonl")
    assert status == 0 and "corrupt piece" in out
    assert 60 <= len(_events(tmp_path / "out.jsonl")) <= 80


@pytest.mark.slow
def test_8k_video(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    def draw(number: int, size_wh: tuple[int, int]) -> Image:
        return cv2.resize(mucosa_with_spot(4 * number, (160, 90)), size_wh)  # type: ignore[return-value]

    source = make_video(tmp_path / "8k.mp4", frames=2, size=(7680, 4320), options={"preset": "ultrafast"}, draw=draw)
    assert run(source, "--output", tmp_path / "out.mp4", "--events", tmp_path / "out.jsonl")[0] == 0
    assert [len(event["detections"]) for event in _events(tmp_path / "out.jsonl")] == [1, 1]
    with open_source(tmp_path / "out.mp4") as written:
        assert written.info.resolution_wh == (7680, 4320)


_DISK_FULL = """
import resource, signal, sys
from polypstream import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file size")
def test_full_disk_keeps_what_was_written(tmp_path: Path, model: str) -> None:
    def noise(number: int, size_wh: tuple[int, int]) -> Image:
        picture = mucosa_with_spot(number, size_wh)
        picture[::2] ^= np.random.default_rng(number).integers(0, 64, picture[::2].shape, dtype=np.uint8)
        return picture

    source = make_video(tmp_path / "exam.mp4", frames=60, size=(320, 256), draw=noise, options={"preset": "ultrafast"})
    command = [sys.executable, "-c", _DISK_FULL, "detect", str(source), "--model", model]
    command += ["--output", str(tmp_path / "out.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE_S)
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert done.stdout.startswith("failed: ")
    assert not (tmp_path / "out.mp4").exists()
    assert 0 < len(packet_times(tmp_path / "out.partial.mp4")) < 60


_TOLD = """
import sys
import stream.record.recording, stream.record.pipeline
from polypstream import cli
count = stream.record.pipeline.CompletePipeline._count
def told(self, results):
    count(self, results)
    if results:
        print("counted", flush=True)
stream.record.pipeline.CompletePipeline._count = told
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def long_exam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that takes a while."""
    pictures = [numbered_picture(number, (640, 480)) for number in range(8)]
    return make_video(
        tmp_path_factory.mktemp("long") / "exam.mp4",
        frames=600,
        size=(640, 480),
        draw=lambda number, _: pictures[number % len(pictures)],
        options={"preset": "ultrafast"},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signal to one process")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_keeps_its_work_and_exits_130(
    tmp_path: Path, model: str, long_exam: Path, end: signal.Signals
) -> None:
    command = [sys.executable, "-c", _TOLD, "detect", str(long_exam), "--model", model]
    command += ["--output", str(tmp_path / "out.mp4"), "--events", str(tmp_path / "out.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        process.send_signal(end)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, err
    assert out.splitlines()[-1].startswith("interrupted: ")
    events = _events(tmp_path / "out.partial.jsonl")
    assert 0 < len(events) < 600
    assert not (tmp_path / "out.mp4").exists() and not (tmp_path / "out.jsonl").exists()
    assert 0 < len(packet_times(tmp_path / "out.partial.mp4")) <= len(events)
    assert json.loads((tmp_path / "out.run.json").read_text())["outcome"] == "interrupted"


def test_a_failing_stage_ends_all_threads_and_keeps_the_work(
    clip: Path, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.runtimes.openvino import OpenVinoRuntime

    infer = OpenVinoRuntime.run
    calls = iter(range(1000))

    def failing(self: OpenVinoRuntime, pictures: Any) -> Any:
        if next(calls) == 5:
            raise RunError("the processor is on fire")
        return infer(self, pictures)

    monkeypatch.setattr(OpenVinoRuntime, "run", failing)
    settings = RecordingSettings(str(clip), tmp_path / "out.mp4", tmp_path / "out.jsonl", model, "openvino")
    result = detect_recording(settings)
    assert result.outcome is Outcome.FAILED and "on fire" in str(result.error)
    assert {
        thread.name for thread in threading.enumerate() if thread.name.split("-")[0] in ("decode", "encode")
    } == set()
    assert not (tmp_path / "out.mp4").exists()
    assert json.loads((tmp_path / "out.run.json").read_text())["error"] == "the processor is on fire"


def test_pictures_of_a_folder_are_looked_at_one_by_one(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    """Nothing of one picture is carried to the next: the folder gives what each picture gives alone."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, margin in enumerate((0, 30, 0, 16)):
        mucosa = mucosa_with_spot(9 * number, (160, 128))
        picture = cv2.copyMakeBorder(mucosa, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(picture, (160, 128)))
    assert run(folder, "--events", tmp_path / "all.jsonl", "--threshold", "0.0")[0] == 0
    for number, together in enumerate(_events(tmp_path / "all.jsonl")):
        alone = tmp_path / f"{number}.jsonl"
        assert run(folder / f"{number}.png", "--events", alone, "--threshold", "0.0")[0] == 0
        (single,) = _events(alone)
        assert together["field_of_view_xyxy"] == single["field_of_view_xyxy"]
        boxes = [[seen["box_xyxy"] for seen in one["detections"]] for one in (together, single)]
        assert boxes[0] == boxes[1] != []


def test_batches_are_small_for_large_frames(tmp_path: Path) -> None:
    small = make_video(tmp_path / "small.mp4", frames=10, size=(64, 64))
    large = make_video(tmp_path / "large.mp4", frames=3, size=(1920, 1080), options={"preset": "ultrafast"})
    with open_source(small) as source:
        assert [len(batch) for batch in batches(source)] == [4, 4, 2]
    with open_source(large) as source:
        assert [len(batch) for batch in batches(source)] == [1, 1, 1]


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["--help"], ["detect", "--help"], ["train", "--help"], ["evaluate", "--help"]):
        with pytest.raises(SystemExit) as error:
            cli.main(command)
        assert error.value.code == 0
    assert "examples:" in capsys.readouterr().out
