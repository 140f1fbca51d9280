from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from stream.decision.rule import TimeRule, decision_rule
from stream.frame import Detection
from tests.kit.media import make_video, picture_number
from train.data.video_truth import ClipTruth, PolypTruth
from train.evaluation.data import JudgingSet
from train.evaluation.figures import stills_figures
from train.evaluation.report import build_report
from train.evaluation.report_charts import Line, _draw, event_chart
from train.evaluation.report_events import decide, false_events, missed_polyps
from train.evaluation.report_pictures import as_jpeg, worst_false_alarms, worst_misses
from train.evaluation.run import Evaluation, Judged, ModelEvaluation
from train.judging.clips import CURVE_THRESHOLDS, ClipsResult, JudgedClip, SeenFrame, Way
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


#: A track is shown at once, and goes out with its last sighting but for the shortest hold.
_AT_ONCE = TimeRule(found=1.0, continued=1.0, show=0.0, keep=0.0)
_POLYP, _FOAM = (20.0, 80.0, 60.0, 120.0), (150.0, 100.0, 200.0, 150.0)


def _clip(folder: Path, *, polyp: str = "...###....", foam: str = "", seconds: float = 1.0) -> ClipsResult:
    """A clip at 10 frames/s: where the detector is on the polyp and on foam, frame by frame (`-`: weakly)."""
    frames = max(len(polyp), len(foam))
    video = make_video(folder / "clip.mp4", frames=frames, size=(256, 192), rate=10)
    seen = []
    for index in range(frames):
        found = [Detection(_POLYP, 0.9)] if polyp[index : index + 1] == "#" else []
        found += [Detection(_FOAM, 0.8 + index / 1000)] if foam[index : index + 1] == "#" else []
        found += [Detection(_POLYP, 0.25)] if polyp[index : index + 1] == "-" else []
        found += [Detection(_FOAM, 0.25)] if foam[index : index + 1] == "-" else []
        seen.append(SeenFrame(index, index / 10, tuple(found)))
    boxes = {index: _POLYP for index in range(round(seconds * 10))}
    truth = ClipTruth(video, "clip", "clip", (PolypTruth(1, boxes_xyxy=boxes),))
    return ClipsResult((JudgedClip(truth, tuple(seen)),))


def test_every_false_event_has_its_picture(tmp_path: Path) -> None:
    # The polyp is to be seen for a moment longer than it is detected: a box is held for some frames.
    foam = "." * 30 + "####" + "." * 15 + "#" * 12 + "." * 14
    result = _clip(tmp_path, polyp="#" * 10, foam=foam, seconds=1.3)
    events = false_events(decide(result, decision_rule(0.5, _AT_ONCE)))
    # The longest first, at its frame of the highest score; live and recorded are one event.
    assert [event.case.frame for event in events] == [60, 33]
    assert "clip, recorded and live, frame 60: 0.86" in events[0].case.title
    assert [[mark.right for mark in event.case.marks] for event in events] == [[False], [False]]
    assert all(mark.shown for event in events for mark in event.case.marks)
    pictures = as_jpeg([event.case for event in events])
    assert [picture_number(_decoded(code)) for code in pictures] == [60, 33]


def test_a_false_event_that_only_live_shows(tmp_path: Path) -> None:
    """What follows it says that it was little: recordings know that in time."""
    result = _clip(tmp_path, polyp="", foam="." * 30 + "##" + "-" * 10, seconds=0.0)
    decided = decide(result, decision_rule(0.8, TimeRule(found=1.0, continued=0.3, show=1.0, keep=0.5, span_s=0.2)))
    assert [len(decided.events[way][0].activations) for way in (Way.LIVE, Way.RECORDED)] == [1, 0]
    (event,) = false_events(decided)
    assert event.case.title.startswith("clip, live, frame 31: 0.83, frames 31 to ")


@pytest.mark.parametrize(
    ("polyp", "seconds", "titles"),
    [
        ("#" * 50, 5.0, []),
        ("." * 50, 5.0, ["polyp 1 never found, frames 0 to 49"]),
        ("-" * 50, 5.0, ["polyp 1 never found, frames 0 to 49"]),
        ("." * 35 + "#" * 15, 5.0, ["polyp 1 found after 3.50 s, frames 0 to 34"]),
        ("." * 20 + "#" * 30, 5.0, ["polyp 1 without a box for 2.00 s, frames 0 to 19"]),
        ("#" * 10 + "." * 30 + "#" * 10, 5.0, ["polyp 1 without a box for"]),
        ("..#" + "#" * 47, 5.0, []),  # 0.2 s late
    ],
)
def test_polyps_missed_late_and_without_a_box(tmp_path: Path, polyp: str, seconds: float, titles: list[str]) -> None:
    found = missed_polyps(decide(_clip(tmp_path, polyp=polyp, seconds=seconds), decision_rule(0.5, _AT_ONCE)))
    assert len(found) == len(titles)
    for event, title in zip(found, titles, strict=True):
        assert f"clip, recorded and live, frame {event.case.frame}: {title}" in event.case.title
        assert event.case.truth_xyxy == (_POLYP,)
        # What was not shown is drawn where there is any.
        assert [mark.shown for mark in event.case.marks] == ([False] if polyp[0] == "-" else [])


def test_the_curve_has_few_points_and_the_one_in_use(tmp_path: Path) -> None:
    result = _clip(tmp_path, polyp="#" * 40, foam="." * 45 + "#" * 10 + "....", seconds=4.0)
    figures = result.figures(0.5, _AT_ONCE)
    for way in ("live", "recorded"):
        curve = figures["curve"][way]
        assert curve["threshold"] == sorted({*CURVE_THRESHOLDS, 0.5}, reverse=True) and len(CURVE_THRESHOLDS) < 20
        at = curve["threshold"].index(0.5)
        for key in ("any_length", "over_0.5_s", "over_1_s", "over_2_s"):
            assert curve["recall_within_3_s"][key][at] == figures[way][f"recall_within_3_s_{key}"] == 1.0
            rates = curve["false_activations_per_minute"][key]
            assert rates[at] == figures[way][f"false_activations_per_minute_{key}"]
        high = curve["threshold"].index(0.98)  # above the polyp's score
        assert curve["recall_within_3_s"]["any_length"][high] == 0.0
        assert curve["recall_within_3_s"]["any_length"][-1] == 1.0


def test_the_curve_is_drawn_where_there_is_no_false_event(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = _clip(tmp_path, polyp="#" * 20, seconds=2.0)
    curve = result.figures(0.5, _AT_ONCE)["curve"]["live"]
    assert set(curve["false_activations_per_minute"]["any_length"]) == {0.0}
    assert event_chart(curve, 0.5).startswith("data:image/svg+xml;base64,")


@pytest.mark.slow
def test_the_page_is_whole_and_escaped(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    stills, clips = _stills(tmp_path), _clip(tmp_path, foam="." * 12 + "###" + "." * 5)
    name = "<b>set & 'co'</b>"
    judged = (
        Judged(JudgingSet(name, tmp_path, notes=("a <note>",)), stills, stills_figures(stills, 0.5)),
        Judged(JudgingSet("clips", tmp_path), clips, clips.figures(0.5, _AT_ONCE), _AT_ONCE),
    )
    model = ModelEvaluation("<model>", 0.5, {"threshold_from": "the model", "trained_on": ["a&b"]}, judged)
    other = ModelEvaluation("other", 0.5, {}, judged)
    page = build_report(Evaluation((model, other)))
    assert "<b>set" not in page and "&lt;b&gt;set &amp; " in page and "<note>" not in page and "<model>" not in page
    assert page.count("<html") == page.count("</html>") == 1
    assert page.count("<figure>") == page.count("</figure>") == page.count("<img ")
    assert page.count("those in which least is found first</h3>") == 1
    # Curves, sizes, three heat maps, curves over time, strips; misses and false alarms of frames and of the clip.
    shown = decide(clips, decision_rule(0.5, _AT_ONCE))
    events = len(missed_polyps(shown)) + len(false_events(shown))
    assert events >= 1 and len(false_events(shown)) == 1
    assert page.count("data:image/svg+xml") == 3 + 3 + 3 and page.count("data:image/jpeg") == (2 + 2) + events
    assert "<h3>False events: 1</h3>" in page
    alone = build_report(Evaluation((model,)), pictures=0)
    assert alone.count("data:image/svg+xml") == 3 + 3 and "data:image/jpeg" not in alone
    assert build_report(Evaluation((model,)), pictures=1).count("data:image/jpeg") == (1 + 1) + events


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


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        pytest.param(
            "bad$\\frac{$ a\x00\x1b[2J\nb \udcff", id="mathematics, control, surrogate", marks=pytest.mark.slow
        ),
        pytest.param("x" * 255, id="255 letters", marks=pytest.mark.slow),
    ],
)
def test_names_of_others_break_no_page(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    stills, clips = _stills(tmp_path), _clip(tmp_path)
    (judged_clip,) = clips.clips
    clips = ClipsResult((replace(judged_clip, truth=replace(judged_clip.truth, name=name)),))
    judged = (
        Judged(JudgingSet(name, tmp_path, notes=(name,)), stills, stills_figures(stills, 0.5)),
        Judged(JudgingSet("clips", tmp_path), clips, clips.figures(0.5)),
    )
    models = tuple(ModelEvaluation(f"{name}{n}", 0.5, {"trained_on": [name]}, judged) for n in range(2))
    page = build_report(Evaluation(models)).encode()  # surrogates could not be encoded
    assert b"<script>" not in page and b"\x00" not in page and b"\x1b" not in page


def test_a_hidden_name_stands_in_the_legend() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    _draw(axes, [Line("_hidden", [0, 1], [0, 1])])
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == [" _hidden"]
