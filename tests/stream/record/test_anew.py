"""`detect --from`: what was perceived is decided anew, without the network and without the video."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.arrays import Image
from polypstream import cli
from stream.sources.opening import open_source
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle

#: Frames by brightness of a spot: none, weak, bright, none.
_LEVELS = [0] * 4 + [130] * 20 + [250] * 20 + [0] * 6


def _spot(number: int, size_wh: tuple[int, int]) -> Image:
    image = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    image[:] = (40, 50, 110)
    image[::8, :, :] //= 2
    if _LEVELS[number]:
        image[32:96, 48:112] = _LEVELS[number]
    return image


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video, a model, and the event lines of a run with candidates."""
    folder = tmp_path_factory.mktemp("run")
    make_tiny_bundle(folder / "tiny", threshold=0.9)
    make_video(folder / "exam.mp4", frames=len(_LEVELS), size=(160, 128), draw=_spot)
    assert _detect(folder, "exam.mp4", "--events", "e.jsonl", "--candidates", "--runtime", "onnxruntime") == 0
    return folder


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "copy")
    return tmp_path / "copy"


def _detect(folder: Path, *arguments: str) -> int:
    named = [
        str(folder / one) if "." in one and not one.startswith("-") and one[0] != "0" else one for one in arguments
    ]
    return cli.main(["detect", *named, "--model", str(folder / "tiny")])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_threshold_decides_the_same(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "exam.mp4").unlink()
    assert _detect(copied, "--from", "e.jsonl", "--events", "again.jsonl") == 0
    assert f"finished: {len(_LEVELS)} frames decided anew" in capsys.readouterr().out
    first, again = _lines(copied / "e.jsonl"), _lines(copied / "again.jsonl")
    for one, other in zip(first, again, strict=True):
        assert [seen["track_id"] for seen in one["detections"]] == [seen["track_id"] for seen in other["detections"]]
        for seen, also in zip(one["detections"], other["detections"], strict=True):
            assert seen["box_xyxy"] == pytest.approx(also["box_xyxy"], abs=0.11)
            assert seen["score"] == pytest.approx(also["score"], abs=2e-4)
    assert all("candidates" not in line for line in again)
    record = json.loads((copied / "again.run.json").read_text())
    assert record["decided_anew_from"].endswith("e.jsonl") and record["counts"]["frames"] == 50
    assert record["source"]["resolution_wh"] == [160, 128]


def test_another_threshold_decides_otherwise(copied: Path) -> None:
    assert _detect(copied, "--from", "e.jsonl", "--events", "low.jsonl", "--threshold", "0.5") == 0
    high, low = _lines(copied / "e.jsonl"), _lines(copied / "low.jsonl")
    assert [bool(line["detections"]) for line in low] == [level > 0 for level in _LEVELS]
    assert sum(bool(line["detections"]) for line in high) < sum(bool(line["detections"]) for line in low)
    # As a whole run with that threshold decides.
    assert _detect(copied, "exam.mp4", "--events", "run.jsonl", "--threshold", "0.5", "--runtime", "onnxruntime") == 0
    whole = _lines(copied / "run.jsonl")
    assert [[one["track_id"] for one in line["detections"]] for line in whole] == [
        [one["track_id"] for one in line["detections"]] for line in low
    ]


def test_with_its_video_it_is_drawn_anew(copied: Path) -> None:
    assert _detect(copied, "exam.mp4", "--from", "e.jsonl", "--output", "marked.mp4", "--threshold", "0.5") == 0
    with open_source(copied / "exam.mp4") as plain, open_source(copied / "marked.mp4") as marked:
        differences = [
            int(np.abs(one.image.astype(int) - other.image).max()) for one, other in zip(plain, marked, strict=True)
        ]
    assert len(differences) == len(_LEVELS)
    box = differences[30]
    assert box > 100


def _without_candidates(folder: Path) -> None:
    lines = _lines(folder / "e.jsonl")
    for line in lines:
        del line["candidates"]
    (folder / "e.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _cut(folder: Path) -> None:
    text = (folder / "e.jsonl").read_text()
    (folder / "e.jsonl").write_text(text[: len(text) // 2])


def _one_missing(folder: Path) -> None:
    lines = (folder / "e.jsonl").read_text().splitlines(keepends=True)
    (folder / "e.jsonl").write_text("".join(lines[:10] + lines[11:]))


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"),
    [
        (_without_candidates, ["--events", "n.jsonl"], "holds no candidates; make it with `polypstream detect SOURCE"),
        (_cut, ["--events", "n.jsonl"], "is cut off or no JSON"),
        (_one_missing, ["--events", "n.jsonl"], "line 11 of .* tells of frame 11, not 10"),
        (
            lambda folder: (folder / "e.run.json").unlink(),
            ["--events", "n.jsonl"],
            "beside them, the record 'e.run.json'",
        ),
        (lambda folder: (folder / "e.jsonl").unlink(), ["--events", "n.jsonl"], "No such file"),
        (lambda folder: (folder / "e.jsonl").write_text("[1]\n"), ["--events", "n.jsonl"], "is no event"),
        (lambda folder: None, [], "nothing would be written"),
        (lambda folder: None, ["--output", "n.mp4"], "needs the video"),
        (lambda folder: None, ["--events", "n.jsonl", "--threshold", "0.05"], "holds candidates from 0.05 on"),
        (lambda folder: None, ["--events", "e.jsonl"], "e.jsonl"),
        (lambda folder: None, ["--events", "n.jsonl", "--classify"], "--classify has no effect with --from"),
    ],
)
def test_bad_input(
    copied: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    arguments: list[str],
    said: str,
) -> None:
    spoil(copied)
    before = sorted(copied.iterdir())
    assert _detect(copied, "--from", "e.jsonl", *arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(said, line), line
    assert sorted(copied.iterdir()) == before, "nothing was written"


def test_another_video_is_told_apart(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_video(copied / "other.mp4", frames=len(_LEVELS), size=(160, 128), rate=30, draw=_spot)
    assert _detect(copied, "other.mp4", "--from", "e.jsonl", "--events", "n.jsonl") == 2
    assert "is of another video: frame 1 is at 0.033 s" in capsys.readouterr().err
    make_video(copied / "short.mp4", frames=20, size=(160, 128), draw=_spot)
    assert _detect(copied, "short.mp4", "--from", "e.jsonl", "--events", "m.jsonl") == 2
    assert "more than the 20 frames" in capsys.readouterr().err
    assert not (copied / "n.jsonl").exists() and not (copied / "m.jsonl").exists()


def test_a_source_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["detect", "--events", "n.jsonl"]) == 2
    assert "SOURCE is missing" in capsys.readouterr().err
