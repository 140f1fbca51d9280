"""`polypstream calibrate` from data sets to a bundle, with a detector that answers where a picture is bright."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="reports are an extra: pip install polypstream[train]")

from calibration.decisions.calibrating import CalibrationPlan, calibrate
from calibration.decisions.data import write_training_frames
from calibration.decisions.operating_point import Aim, Goal
from calibration.decisions.time_rule import MOST_A_MINUTE, choose_rule, measure_rules
from engine.bundle import load_bundle
from polypstream import cli
from stream.decision.rule import TimeRule, time_rule_of_model
from stream.detection.detector import Detector
from stream.frame import Detection
from tests.kit.media import make_video
from tests.kit.tiny_bundle import change_record, make_tiny_bundle, make_tiny_windows_bundle
from train.data.datasets import read_dataset
from train.data.video_truth import ClipTruth, PolypTruth, read_clip
from train.judging.clips import ClipsResult, JudgedClip, SeenFrame
from train.judging.stills import evaluate_stills, still_of_sample

_SIDE = 128
_SQUARE = (32, 32, 96, 96)
_FRAMES = 160


def _picture(brightness: int, seed: int) -> np.ndarray:
    image = np.random.default_rng(seed).integers(60, 80, (_SIDE, _SIDE, 3)).astype(np.uint8)
    x1, y1, x2, y2 = _SQUARE
    image[y1:y2, x1:x2] = brightness
    return image


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Validation frames with one bright square each: the brighter, the likelier a polyp; the model's scores are off."""
    folder = tmp_path_factory.mktemp("data") / "squares"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = ["image,sequence"]
    for number in range(_FRAMES):
        brightness = int(random.integers(75, 130))
        mask = np.zeros((_SIDE, _SIDE), np.uint8)
        if random.random() < (brightness - 75) / 55:
            mask[32:96, 32:96] = 255
        cv2.imwrite(str(folder / "images" / f"f{number}.png"), _picture(brightness, number))
        cv2.imwrite(str(folder / "masks" / f"f{number}.png"), mask)
        rows.append(f"f{number},{number // 8}")
    (folder / "sequences.csv").write_text("\n".join(rows) + "\n")
    (folder / "split_val.txt").write_text("\n".join(f"f{number}" for number in range(_FRAMES)))
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_tiny_bundle(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Four seconds at 10 frames/s: nothing, a false alarm of one frame, a polyp."""

    def draw(index: int, size: tuple[int, int]) -> np.ndarray:
        return _picture(170 if index == 5 or index >= 20 else 70, index)

    path = make_video(tmp_path / "clip.mp4", frames=40, size=(_SIDE, _SIDE), rate=10, draw=draw, options={"crf": "5"})
    polyp = [{"id": 1, "box_xyxy": list(_SQUARE)}]
    lines = [json.dumps({"frame": index, "polyps": polyp if index >= 20 else []}) for index in range(40)]
    path.with_suffix(".truth.jsonl").write_text("\n".join(lines))
    return path


def _calibrate(*arguments: str | Path) -> int:
    return cli.main(["calibrate", *map(str, arguments)])


def _complaint(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert _calibrate(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1]


def _files(folder: Path) -> Iterator[str]:
    return (path.name for path in sorted(folder.iterdir()))


def test_the_bundle_does_what_it_promises(
    bundle: Path, frames: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, report = tmp_path / "calibrated", tmp_path / "report.html"
    target = ("--target", "sensitivity=0.8", "--tolerance", "0.1")
    assert _calibrate(bundle, "--data", frames, clip, *target, "--output", output, "--report", report) == 0
    assert "threshold" in capsys.readouterr().out
    calibrated = load_bundle(output)
    assert not calibrated.calibration.is_identity
    before = json.loads((bundle / "model.json").read_text())
    record = json.loads((output / "model.json").read_text())
    assert record["files"] == before["files"] and before["threshold"] == 0.5
    assert list(_files(output)) == ["README.md", "manifest.json", "model.fp32.onnx", "model.json"]

    # The model as it runs has exactly the figures that were told.
    with Detector.open(str(output), threshold=0.0) as detector:
        result = evaluate_stills(detector, read_dataset(frames))
    point = record["operating_point"]
    counts = result.outcome.counts(calibrated.threshold)
    assert point["threshold"] == calibrated.threshold and point["target"] == "sensitivity=0.8"
    assert round(counts.recall, 4) == point["expected"]["sensitivity"] >= 0.8
    assert round(counts.precision, 4) == point["expected"]["precision"]
    # Only what reaches the threshold is given, and its score is what it was among all candidates.
    with Detector.open(str(output)) as detector:
        shown = evaluate_stills(detector, read_dataset(frames))
    assert shown.outcome.counts(0.0) == counts
    errors = [record["metrics"]["validation"][f"calibration_error_{when}"] for when in ("before", "after")]
    before_error, after_error = (error["scores_from_0.1"]["error_equal_mass"] for error in errors)
    assert after_error < before_error - 0.02  # few detections: what is left is mostly their number

    rule = time_rule_of_model(record)
    assert record["decision"] == rule.as_record()
    assert record["operating_point"]["decision"]["false_alarms_per_minute"] == 0
    card = (output / "README.md").read_text()
    assert f"Threshold {calibrated.threshold:.4f}" in card and f"found a track from {rule.found:g}" in card
    page = report.read_text()
    assert "data:image/svg+xml" in page and "sensitivity=0.8" in page


def test_clips_that_no_rule_satisfies_leave_the_threshold_alone(bundle: Path, frames: Path, tmp_path: Path) -> None:
    def draw(index: int, size: tuple[int, int]) -> np.ndarray:
        return _picture(170 if 3 <= index < 15 or index >= 25 else 70, index)

    path = make_video(tmp_path / "clip.mp4", frames=40, size=(_SIDE, _SIDE), rate=10, draw=draw, options={"crf": "5"})
    polyp = [{"id": 1, "box_xyxy": list(_SQUARE)}]
    lines = [json.dumps({"frame": index, "polyps": polyp if index >= 25 else []}) for index in range(40)]
    path.with_suffix(".truth.jsonl").write_text("\n".join(lines))
    model, stills = load_bundle(str(bundle)), [still_of_sample(sample) for sample in read_dataset(frames)]
    plan = CalibrationPlan(goal=Goal(Aim.F1, 0.01))
    with_clip = calibrate(model, stills, [read_clip(path)], plan=plan)
    assert min(one.false_alarms_per_minute for one in with_clip.rules) > MOST_A_MINUTE
    best = calibrate(model, stills, plan=plan).point.threshold
    assert with_clip.point.threshold == best
    assert with_clip.rule is not None and with_clip.rule.threshold == best


def test_in_place_and_again(bundle: Path, frames: Path, tmp_path: Path) -> None:
    picture = tmp_path / "report.png"
    common = ("--data", frames, "--in-place", "--target", "specificity=0.9", "--tolerance", "0.2")
    assert _calibrate(bundle, *common, "--report", picture, "--method", "temperature") == 0
    first = json.loads((bundle / "model.json").read_text())
    assert first["calibration"]["method"] == "temperature" and "decision" not in first
    assert picture.read_bytes().startswith(b"\x89PNG")
    # A calibrated bundle is calibrated from the network's own scores, not on top of what it had.
    assert _calibrate(bundle, *common, "--method", "temperature") == 0
    assert json.loads((bundle / "model.json").read_text()) == first
    assert (bundle / "README.md").read_text().count("## Calibration and threshold") == 1
    assert list(_files(bundle)) == ["README.md", "manifest.json", "model.fp32.onnx", "model.json"]


@pytest.mark.slow
def test_rate_of_false_alarms_on_clips(
    bundle: Path, frames: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = _complaint(
        capsys, bundle, "--data", frames, clip, "--target", "fp-per-minute=1", "--output", tmp_path / "out"
    )
    assert "to tell fp-per-minute=1 takes 3.0 minutes of clips, there are 0.1" in few
    assert not (tmp_path / "out").exists()
    output = tmp_path / "out"
    assert _calibrate(bundle, "--data", frames, clip, "--target", "fp-per-minute=60", "--output", output) == 0
    record = json.loads((output / "model.json").read_text())
    assert record["operating_point"]["target"] == "fp-per-minute=60"
    assert record["operating_point"]["decision"]["polyps_never_shown"] == 0


def test_bad_input_is_told_before_any_work(
    bundle: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--output", tmp_path / "out")
    assert "nothing to calibrate on" in _complaint(capsys, bundle, *out)
    assert "either --output DIR or --in-place" in _complaint(capsys, bundle, "--data", frames)
    assert "either --output DIR or --in-place" in _complaint(capsys, bundle, "--data", frames, *out, "--in-place")
    assert "exists already" in _complaint(capsys, bundle, "--data", frames, "--output", bundle)
    gone = tmp_path / "gone" / "out"
    assert "make it first" in _complaint(capsys, bundle, "--data", frames, "--output", gone)
    assert "target must be like" in _complaint(capsys, bundle, "--data", frames, *out, "--target", "best")
    assert "must end in" in _complaint(capsys, bundle, "--data", frames, *out, "--report", tmp_path / "a.pdf")
    assert "holds no frame of the split 'test'" in _complaint(capsys, bundle, "--data", frames, *out, "--split", "test")
    assert "data sets follow --data" in _complaint(capsys, bundle, frames, *out)
    few = _complaint(capsys, bundle, "--data", frames, *out, "--target", "sensitivity=0.9", "--tolerance", "0.01")
    assert "takes 3458 polyps" in few
    assert not (tmp_path / "out").exists()


def test_models_of_another_task(frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_tiny_windows_bundle(tmp_path / "windows")
    change_record(made.folder, task="classify", background=None)
    line = _complaint(capsys, made.folder, "--data", frames, "--output", tmp_path / "out")
    assert "'colours' is made to classify" in line


def test_frames_that_the_model_knows_are_refused(
    bundle: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--output", tmp_path / "out")
    kept = tmp_path / "cvc-colondb"
    shutil.copytree(frames, kept)
    line = _complaint(capsys, bundle, "--data", frames, kept, "--split", "all", *out)
    assert "'cvc-colondb' is kept for testing" in line

    # Test groups of a set whose other groups train.
    groups = tmp_path / "kvasir-normal"
    shutil.copytree(frames, groups)
    for listed in groups.glob("split_*.txt"):
        listed.unlink()
    pictures = sorted((groups / "images").iterdir())
    rows = [f"{picture.name},{number % 10}" for number, picture in enumerate(pictures)]
    (groups / "sequences.csv").write_text("\n".join(["image,sequence", *rows]))
    for split in ("test", "all"):
        line = _complaint(capsys, bundle, "--data", groups, "--split", split, *out)
        assert f"32 frames of {str(groups)!r} are kept for testing" in line

    # By the split of a data set that the record names.
    trained = tmp_path / "copy" / "squares"
    shutil.copytree(frames, trained)
    names = [f"f{number}" for number in range(_FRAMES)]
    (trained / "split_val.txt").write_text("\n".join(names[:-1]))
    (trained / "split_train.txt").write_text(names[-1])
    change_record(bundle, training={"data": {"squares": {"with_polyp": 1}}})
    line = _complaint(capsys, bundle, "--data", trained, "--split", "all", *out)
    assert "1 frames of" in line and "trained the model 'tiny', the first is 'f159.png'" in line

    # By the files themselves, under whatever name.
    sample = read_dataset(frames)[3]
    write_training_frames(bundle, [sample])
    moved = tmp_path / "elsewhere"
    shutil.copytree(frames, moved)
    line = _complaint(capsys, bundle, "--data", moved, *out)
    assert "1 of 160 frames trained the model 'tiny'" in line and sample.image.name in line
    assert not (tmp_path / "out").exists()


def _rule(show: float, found: float = 0.8) -> TimeRule:
    return TimeRule(found=found, continued=0.4, show=show, keep=show / 2)


def test_rules_trade_false_alarms_for_time() -> None:
    on, off = (10.0, 10.0, 40.0, 40.0), (70.0, 70.0, 90.0, 90.0)
    frames = []
    for index in range(100):
        found = [Detection(on, 0.8)] if index >= 60 else []
        found += [Detection(off, 0.7)] if index in (0, 27, 28, 29, 30) else []
        frames.append(SeenFrame(index, index / 25, tuple(found)))
    truth = ClipTruth(
        Path("clip.mp4"), "clip", "clip", (PolypTruth(1, boxes_xyxy={index: on for index in range(60, 100)}),)
    )
    rules = [_rule(show) for show in (0.0, 0.15, 0.5, 0.8)]
    clips = ClipsResult((JudgedClip(truth, tuple(frames)),))
    measured = measure_rules(clips, [0.5, 0.9], rules=rules)
    low = [one for one in measured if one.threshold == 0.5]
    # Shown at once; four frames of 0.7 are evidence of 0.22 over half a second, one frame of 0.056.
    assert [one.false_alarms for one in low] == [2, 1, 0, 0]
    assert [one.delay_s for one in low] == pytest.approx([0.0, 0.04, 0.12, 0.24])
    assert low[0].minutes == pytest.approx(4 / 60, abs=1e-3) and low[0].false_alarms_per_minute == pytest.approx(30)
    assert all(one.shown == 1.0 for one in low), "in recordings a polyp is shown from its first frame on"
    assert choose_rule(low).rule == _rule(0.5)
    # 0.08 s less are not worth a false alarm that would be allowed.
    assert choose_rule(low, most_a_minute=15).rule == _rule(0.5)
    # A higher threshold does without waiting.
    best = choose_rule(measured)
    assert (best.threshold, best.rule, best.delay_s) == (0.9, _rule(0.0), 0.0)
    # Where no rule is good enough, the one with the fewest false alarms is taken.
    assert choose_rule(low[:2]).rule == _rule(0.15)


def test_stills_are_moved_to_choose_the_rule(
    bundle: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data", frames, "--target", "specificity=0.9", "--tolerance", "0.2", "--moved-stills", "6")
    assert _calibrate(bundle, *options, "--output", tmp_path / "out") == 0
    assert "tracks from" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "model.json").read_text())
    expected = record["operating_point"]["decision"]
    assert expected["clips_minutes"] == pytest.approx(6 * 2 / 60) and expected["polyps"] == 3
    line = _complaint(capsys, bundle, "--data", frames, "--moved-stills", "-1", "--output", tmp_path / "other")
    assert "--moved-stills" in line and "-1" in line
