from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from stream.frame import Detection
from tests.kit.media import make_video, picture_number
from train.data.video_truth import ClipTruth, PolypTruth
from train.evaluation.data import JudgingSet
from train.evaluation.figures import stills_figures
from train.evaluation.report import build_report
from train.evaluation.report_pictures import as_jpeg, worst_false_alarms, worst_misses
from train.evaluation.run import Evaluation, Judged, ModelEvaluation
from train.judging.clips import ClipsResult, JudgedClip, SeenFrame
from train.judging.stills import JudgedStill, StillsResult
from train.metrics.matching import FramePrediction, Ranking, Rule, match_frame, outcome_of, truth_of_mask

ROOT = Path(__file__).resolve().parents[3]
_ON, _OFF = (10.0, 10.0, 50.0, 50.0), (70.0, 60.0, 100.0, 90.0)


def _still(
    folder: Path, name: str, group: str, *found: tuple[tuple[float, ...], float], polyp: bool = True
) -> JudgedStill:
    mask = np.zeros((96, 128), np.uint8)
    mask[10:50, 10:50] = 255 * polyp
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    prediction = FramePrediction(boxes, np.array([score for _, score in found], np.float32))
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), np.full((96, 128, 3), 80, np.uint8))
    return JudgedStill(name, path, group, 96 * 128, match_frame(truth_of_mask(mask), prediction))


def _result(*stills: JudgedStill) -> StillsResult:
    matches = [still.match for still in stills]
    ap50 = Ranking.of(matches, least_iou=0.5).average_precision()
    return StillsResult(stills, outcome_of(matches, Rule.CENTROID), ap50)


def _stills(folder: Path) -> StillsResult:
    return _result(
        _still(folder, "found", "a", (_ON, 0.9)),
        _still(folder, "nearly", "b", (_ON, 0.45)),
        _still(folder, "lost", "b"),
        _still(folder, "lost too", "b"),
        _still(folder, "false", "c", (_ON, 0.8), (_OFF, 0.7)),
        _still(folder, "worse", "d", (_OFF, 0.95), polyp=False),
        _still(folder, "quiet", "d", (_OFF, 0.3), polyp=False),
    )


def test_the_worst_come_first_and_no_sequence_fills_the_page(tmp_path: Path) -> None:
    result = _stills(tmp_path)
    missed = worst_misses(result, 0.5, most=5)
    assert [case.title for case in missed] == ["lost: no candidate on it", "lost too: no candidate on it"]  # two of "b"
    assert [case.title for case in worst_misses(result, 0.85, most=5)][-1] == "false: best candidate 0.80"
    false = worst_false_alarms(result, 0.5, most=5)
    assert [case.title for case in false] == ["worse: 0.95", "false: 0.70"]
    assert [mark.score for mark in false[1].marks] == pytest.approx([0.8, 0.7])
    assert [mark.right for mark in false[1].marks] == [True, False]
    assert len(worst_false_alarms(result, 0.5, most=1)) == 1


def _decoded(code: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_pictures_carry_their_marks(tmp_path: Path) -> None:
    (case,) = worst_false_alarms(_stills(tmp_path), 0.9, most=5)
    (code,) = as_jpeg([case])
    picture = _decoded(code).astype(int)
    assert picture.shape == (315, 420, 3)
    scale = 420 / 128
    blue, _, red = picture[round(75 * scale), round(_OFF[0] * scale)]
    assert red > 150 and blue < 110  # the side of the box of a false detection
    assert abs(picture[round(75 * scale), round(85 * scale)] - 80).max() < 12  # its inside is the frame


def _clip(folder: Path) -> ClipsResult:
    video = make_video(folder / "clip.mp4", frames=20, size=(256, 192), rate=10)
    frames = []
    for index in range(20):
        found = [Detection((20, 80, 60, 120), 0.9)] if 3 <= index < 6 else []
        found += [Detection((150, 100, 200, 150), 0.6 + index / 100)] if 12 <= index < 15 else []
        frames.append(SeenFrame(index, index / 10, tuple(found)))
    boxes = {index: (20.0, 80.0, 60.0, 120.0) for index in range(10)}
    return ClipsResult(
        (JudgedClip(ClipTruth(video, "clip", "clip", (PolypTruth(1, boxes_xyxy=boxes),)), tuple(frames)),)
    )


def test_frames_of_clips_are_the_right_ones(tmp_path: Path) -> None:
    result = _clip(tmp_path)
    missed = worst_misses(result, 0.5, most=5)
    assert [case.frame for case in missed] == [7, 1]  # the middles of 6 to 9, and of 0 to 2
    (false,) = worst_false_alarms(result, 0.5, most=5)
    assert false.frame == 14 and "0.74" in false.title and "frames 12 to 14" in false.title
    assert [picture_number(_decoded(code)) for code in as_jpeg([*missed, false])] == [7, 1, 14]


def test_the_page_is_whole_and_escaped(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    stills, clips = _stills(tmp_path), _clip(tmp_path)
    name = "<b>set & 'co'</b>"
    judged = (
        Judged(JudgingSet(name, tmp_path, notes=("a <note>",)), stills, stills_figures(stills, 0.5)),
        Judged(JudgingSet("clips", tmp_path), clips, clips.figures(0.5)),
    )
    model = ModelEvaluation("<model>", 0.5, {"threshold_from": "the model", "trained_on": ["a&b"]}, judged)
    other = ModelEvaluation("other", 0.5, {}, judged)
    page = build_report(Evaluation((model, other)))
    assert "<b>set" not in page and "&lt;b&gt;set &amp; " in page and "<note>" not in page and "<model>" not in page
    assert page.count("<html") == page.count("</html>") == 1
    assert page.count("<figure>") == page.count("</figure>") == page.count("<img ")
    assert page.count("those in which least is found first</h3>") == 1
    # Curves, sizes, three heat maps, a time line; misses and false alarms of frames and of the clip.
    assert page.count("data:image/svg+xml") == 3 + 3 + 1 and page.count("data:image/jpeg") == (2 + 2) + (2 + 1)
    alone = build_report(Evaluation((model,)), pictures=0)
    assert alone.count("data:image/svg+xml") == 3 + 1 and "data:image/jpeg" not in alone
    assert build_report(Evaluation((model,)), pictures=1).count("data:image/jpeg") == (1 + 1) + (1 + 1)


def test_no_page_with_pictures_is_under_version_control() -> None:
    done = subprocess.run(["git", "ls-files", "-z", "*.htm", "*.html"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("these sources are no git repository")
    pages = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    assert [page for page in pages if page.is_file() and "data:image/jpeg" in page.read_text(encoding="utf-8")] == []


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, train.evaluation.job, train.metrics.matching; "
        "print(*({'torch', 'matplotlib', 'pycocotools', 'onnx'} & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
