"""Evaluation from data sets to files, with a detector that answers where a picture is bright."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.arrays import Image
from engine.errors import InputError
from polypstream import cli
from stream.detection.detector import Detector
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from tests.kit.media import cut_file, make_video
from tests.kit.tiny_bundle import make_tiny_bundle
from train.data.datasets import Split, read_dataset
from train.data.video_truth import ClipTruth, PolypTruth, read_clip_list
from train.evaluation.data import ALL, read_judging_sets
from train.evaluation.figures import PolypSize, stills_figures
from train.judging.clips import evaluate_clips
from train.judging.stills import evaluate_stills

_WH = (128, 128)
#: A bright square that fills a cell of the network's coarsest level, and its mask.
_SQUARE = (32, 32, 96, 96)


def _picture(*, bright: bool) -> Image:
    random = np.random.default_rng(int(bright))
    image = random.integers(60, 80, (_WH[1], _WH[0], 3)).astype(np.uint8)
    if bright:
        x1, y1, x2, y2 = _SQUARE
        image[y1:y2, x1:x2] = 250
    return image


def _add(folder: Path, name: str, *, bright: bool, polyp: bool) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    mask = np.zeros((_WH[1], _WH[0]), np.uint8)
    if polyp:
        x1, y1, x2, y2 = _SQUARE
        mask[y1:y2, x1:x2] = 255
    cv2.imwrite(str(folder / "images" / f"{name}.png"), _picture(bright=bright))
    cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_tiny_bundle(tmp_path / "tiny", threshold=0.6)
    return tmp_path / "tiny"


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Ten frames of five sequences: six polyps found, two missed, one false alarm, one quiet frame."""
    folder = tmp_path / "frames"
    kinds = [(True, True)] * 6 + [(False, True)] * 2 + [(True, False), (False, False)]
    for number, (bright, polyp) in enumerate(kinds):
        _add(folder, f"f{number}", bright=bright, polyp=polyp)
    rows = "".join(f"f{number},{number // 2}\n" for number in range(10))
    (folder / "sequences.csv").write_text("image,sequence\n" + rows)
    (folder / "split_test.txt").write_text("".join(f"f{number}\n" for number in range(10)))
    return folder


def _draw(index: int, size: tuple[int, int]) -> Image:
    return _picture(bright=10 <= index < 20)


def _clip(folder: Path) -> Path:
    return make_video(folder / "clip.mp4", frames=30, size=_WH, rate=10, draw=_draw, options={"crf": "5"})


def test_figures_by_hand(bundle: Path, frames: Path) -> None:
    with Detector.open(str(bundle), threshold=0.0) as detector:
        result = evaluate_stills(detector, read_dataset(frames))
    figures = stills_figures(result, 0.6)
    assert (figures["frames"], figures["polyps"], figures["frames_without_polyp"], figures["groups"]) == (10, 8, 2, 5)
    found = [figures[f"centroid_{kind}_positives"] for kind in ("true", "false")]
    assert found[0] == 6 and figures["centroid_false_negatives"] == 2 and found[1] >= 1
    assert figures["centroid_recall"] == 0.75
    assert figures["centroid_precision"] == pytest.approx(6 / (6 + found[1]), abs=1e-4)
    assert figures["frame_sensitivity"] == 0.75 and figures["frame_specificity"] == 0.5
    # Six bright of eight with polyp, one bright of two without; ties count one half.
    assert figures["frame_auc"] == pytest.approx((6 + 6 * 0.5 + 2 * 0.5) / 16, abs=0.13)
    low, high = figures["interval_95"]["centroid_recall"]
    assert low < 0.75 < high
    assert figures["by_size"]["large"]["polyps"] == 8 and figures["by_size"]["small"]["centroid_recall"] is None
    assert figures["by_size"]["large"]["centroid_recall"] == 0.75
    assert figures["froc"]["sensitivity"][-1] == figures["precision_recall"]["recall"][-1] >= 0.75
    groups = figures["by_group"]
    # Sequence 3 has the two that are missed, 4 no polyp and the false alarm; of the others everything is found.
    assert [(one["group"].split("-")[-1], one["frames"], one["polyps"], one["centroid_recall"]) for one in groups] == [
        ("3", 2, 2, 0.0),
        *((str(number), 2, 2, 1.0) for number in range(3)),
        ("4", 2, 0, None),
    ]
    assert sum(one["false_positives"] for one in groups) == found[1] and groups[-1]["false_positives"] >= 1
    json.dumps(figures, allow_nan=False)
    # The short form, which goes into bundles, says the same.
    short = result.figures(0.6)
    assert {key: figures[key] for key in short if key in figures} == {k: v for k, v in short.items() if k in figures}


def test_models_run_in_the_precision_asked_for(
    bundle: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", str(bundle), str(frames), "--runtime", "onnxruntime", "--precision"]
    assert cli.main([*command, "fp32", "--json", str(tmp_path / "figures.json")]) == 0
    [model] = json.loads((tmp_path / "figures.json").read_text())["models"]
    assert "fp32" in model["runtime"]
    capsys.readouterr()
    for precision in ("int8", "int9"):  # one that the model has no network for, one that there is not
        assert cli.main([*command, precision]) == 2
        assert precision in capsys.readouterr().err


def test_frames_without_any_polyp(bundle: Path, tmp_path: Path) -> None:
    for number in range(3):
        _add(tmp_path / "normal", f"n{number}", bright=number == 0, polyp=False)
    with Detector.open(str(bundle), threshold=0.0) as detector:
        result = evaluate_stills(detector, read_dataset(tmp_path / "normal"))
    figures = stills_figures(result, 0.6)
    assert figures["centroid_f1"] is None and figures["ap50"] is None and figures["frame_sensitivity"] is None
    assert figures["frame_specificity"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["sensitivity_at_false_positives_per_frame"] is None
    json.dumps(figures, allow_nan=False)


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Frames of which only the folder's name tells what they show: three with a polyp, three without."""
    for part, brights in (("polyp", (True, True, False)), ("non_polyp", (True, False, False))):
        (tmp_path / "named" / part).mkdir(parents=True)
        for number, bright in enumerate(brights):
            cv2.imwrite(str(tmp_path / "named" / part / f"x{number}.png"), _picture(bright=bright))
    return tmp_path / "named"


def test_frames_whose_polyps_nobody_outlined(bundle: Path, named: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "figures.json", tmp_path / "report.html"
    command = ["evaluate", str(bundle), str(named), "--split", "all", "--json", str(out), "--report", str(report)]
    assert cli.main(command) == 0
    [model] = json.loads(out.read_text())["models"]
    figures = model["results"]["named"]
    assert (figures["frames"], figures["frames_with_polyp"], figures["frames_without_polyp"]) == (6, 3, 3)
    assert figures["frame_sensitivity"] == figures["frame_specificity"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["frame_auc"] is not None and figures["interval_95"]["frame_auc"] is not None
    # Where the polyp lies is not known, so what stands in such a frame is neither right nor false.
    assert figures["polyps"] == 0 and figures["centroid_f1"] is None and figures["ap50"] is None
    with Detector.open(str(bundle), threshold=0.6) as detector:
        alarms = len(detector.detect([_picture(bright=True)], [find_field_of_view(_picture(bright=True))])[0])
    assert figures["centroid_false_positives"] == alarms >= 1  # those of the one bright frame without polyp
    assert any("3 frames show a polyp that nobody outlined" in note for note in figures["notes"])
    assert figures["froc"]["false_positives_per_frame"][-1] >= alarms / 3  # a frame of those that can be judged
    page = report.read_text()
    assert "x2: " in page and "Worst misses" in page


def test_frames_without_outlines_belong_to_no_split(
    bundle: Path, named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = [("x0", True), ("x1", True), ("x2", True), ("x0", False), ("x1", False), ("x2", False)]
    [whole] = read_judging_sets([named], split=ALL)
    assert sorted(f"{still.path.parent.name}/{still.name}" for still in whole.stills) == sorted(
        f"{'polyp' if polyp else 'non_polyp'}/{name}" for name, polyp in everything
    )
    sides = [sample.split.value for sample in read_dataset(named)]
    [one] = read_judging_sets([named], split=sides[0])
    assert {still.path.parent.name for still in one.stills} == {"non_polyp"}
    assert (
        one.notes == ("the 3 frames in polyp/ belong to no split; judge them with --split all",) or sides[0] == "train"
    )
    (named / "non_polyp").rename(tmp_path / "elsewhere")
    assert cli.main(["evaluate", str(bundle), str(named)]) == 2
    assert "no frame of the split 'test' (it holds 3 of none, in polyp/); ask with --split" in capsys.readouterr().err
    assert cli.main(["evaluate", str(bundle), str(named), "--split", "all", "--coco", str(tmp_path)]) == 2
    assert "'named' has polyps that nobody outlined, which COCO needs" in capsys.readouterr().err


@pytest.mark.parametrize(("share", "size"), [(0.0, "SMALL"), (0.0199, "SMALL"), (0.02, "MEDIUM"), (0.1, "LARGE")])
def test_sizes(share: float, size: str) -> None:
    assert PolypSize.of(share) is PolypSize[size]


def test_a_clip_of_which_only_the_frames_are_known(bundle: Path, tmp_path: Path) -> None:
    truth = ClipTruth(_clip(tmp_path), "clip", "clip", (PolypTruth(1, frames=((5, 19),)),), judged=((0, 24),))
    with Detector.open(str(bundle), threshold=0.0) as detector:
        result = evaluate_clips(detector, [truth])
    figures = result.figures(0.6)
    seen = figures["detections"]
    assert (seen["frames"], seen["frames_with_polyp"]) == (25, 15)
    assert seen["frame_sensitivity"] == pytest.approx(10 / 15, abs=1e-4) and seen["frame_specificity"] == 1.0
    assert seen["time_to_first_detection_median_s"] == pytest.approx(0.5)
    assert seen["polyp_detection_rate_over_1_s"] == 1.0
    assert figures["recorded"]["frame_sensitivity"] == pytest.approx(10 / 15, abs=1e-4)
    assert 0 < figures["live"]["frame_sensitivity"] <= 10 / 15  # a box is shown when there is evidence
    assert figures["recorded"]["recall_within_3_s_over_1_s"] == 1.0
    assert figures["by_clip"]["clip"]["polyps"][0]["found_frames"] == 10
    assert "no boxes known" in figures["right_when"]


def test_a_clip_with_boxes_tells_right_from_false_in_one_frame(bundle: Path, tmp_path: Path) -> None:
    elsewhere = {frame: (0.0, 0.0, 20.0, 20.0) for frame in range(10, 20)}
    polyp = {frame: tuple(map(float, _SQUARE)) for frame in range(10, 20)}
    polyps = (PolypTruth(1, boxes_xyxy=polyp), PolypTruth(2, boxes_xyxy=elsewhere))  # type: ignore[arg-type]
    clip = _clip(tmp_path)
    with Detector.open(str(bundle), threshold=0.0) as detector:
        result = evaluate_clips(detector, [ClipTruth(clip, "clip", "clip", polyps)])
        wrong = evaluate_clips(detector, [ClipTruth(clip, "clip", "clip", polyps[1:])])
    figures = result.figures(0.6)["detections"]
    assert figures["polyps"] == 2 and figures["polyps_never_detected"] == 1
    assert figures["polyp_detection_rate_any_length"] == 0.5 and figures["frame_sensitivity"] == 1.0
    figures = wrong.figures(0.6)["detections"]
    assert figures["frame_sensitivity"] == 0.0
    assert figures["false_activations_per_minute_any_length"] == pytest.approx(60 / 3)
    assert figures["false_activations_per_minute_over_1_s"] == pytest.approx(60 / 3)


def _with_intervals(folder: Path, rows: str, boxes: str = "") -> Path:
    """A folder of videos with one clip, its intervals in `video_labels` beside it."""
    (folder / "videos").mkdir()
    (folder / "video_labels").mkdir()
    video = _clip(folder / "videos")
    (folder / "video_labels" / "clip.mp4.visible.csv").write_text(f"first,last,label\n{rows}")
    if boxes:
        (folder / "video_labels" / "clip.mp4.boxes.csv").write_text(f"frame,x0,y0,x1,y1\n{boxes}")
    return video


def test_intervals_and_boxes_of_some_frames_through_the_command(bundle: Path, tmp_path: Path) -> None:
    """Bright from 10 to 19. Unsure frames count neither way; the box of frame 12 is elsewhere."""
    video = _with_intervals(
        tmp_path, "0,9,none\n10,15,polyp\n16,24,unsure\n25,29,none\n", "12,0,0,20,20\n14,20,20,99,99\n"
    )
    out = tmp_path / "out.json"
    assert _evaluate(bundle, video, "--json", out) == 0
    figures = json.loads(out.read_text())["models"][0]["results"]["clip"]
    assert "where one is known, else" in figures["right_when"]
    seen = figures["detections"]
    assert (seen["frames"], seen["frames_with_polyp"], seen["polyps"]) == (10 + 6 + 5, 6, 1)
    assert seen["frame_sensitivity"] == pytest.approx(5 / 6, abs=1e-4)  # all but frame 12
    (event,) = figures["by_clip"]["clip"]["false_activation_runs"]
    assert event == {"frames": [12, 12], "length_s": 0.1}
    assert seen["gaps_in_view"] == 1
    assert set(figures["curve"]) == {"live", "recorded"}


def test_a_folder_of_clips_through_the_command(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = _with_intervals(tmp_path, "0,9,none\n10,19,polyp\n20,29,none\n")
    for name, rows in (("mixed", "0,29,polyp\n,,unordered\n"), ("dark", "0,29,unsure\n")):
        (video.parent / f"{name}.mp4").touch()
        (tmp_path / "video_labels" / f"{name}.mp4.visible.csv").write_text(f"first,last,label\n{rows}")
    (video.parent / "bare.avi").touch()
    assert _evaluate(bundle, video.parent) == 0
    printed = capsys.readouterr().out
    assert "videos (clips: 1, 0.05 min)" in printed and "polyps found within 3 s 1.000" in printed
    assert "note: clip 'mixed' is not judged: its frames are not in the order of time" in printed
    assert "note: clip 'dark' is not judged: it is known of none of its frames" in printed
    assert "note: left out, as no truth says what they show: bare.avi" in printed


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "0,29,polyp\n,,unordered\n",
            "clip 'clip' cannot be judged over time: its frames are not in the order of time",
        ),
        ("0,29,unsure\n", "clip 'clip' cannot be judged over time: it is known of none of its frames"),
        ("0,29,maybe\n", "says no interval"),
    ],
)
@pytest.mark.parametrize("whole_folder", [False, True])
def test_clips_that_cannot_be_judged_over_time(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, message: str, whole_folder: bool
) -> None:
    video = _with_intervals(tmp_path, rows)
    assert _evaluate(bundle, video.parent if whole_folder else video) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.strip().splitlines()) == 1


def test_a_truth_that_speaks_of_other_frames(bundle: Path, tmp_path: Path) -> None:
    truth = ClipTruth(_clip(tmp_path), "clip", "clip", judged=((100, 200),))
    with (
        Detector.open(str(bundle), threshold=0.0) as detector,
        pytest.raises(InputError, match="none of its 30 frames"),
    ):
        evaluate_clips(detector, [truth])
    with Detector.open(str(bundle), threshold=0.0) as detector, pytest.raises(InputError, match="there is no clip"):
        evaluate_clips(detector, [])
    mixed = ClipTruth(truth.video, "clip", "clip", in_order=False)
    with Detector.open(str(bundle), threshold=0.0) as detector, pytest.raises(InputError, match="order of time"):
        evaluate_clips(detector, [mixed])


def test_a_clip_that_breaks_off_is_judged_in_part_and_says_so(bundle: Path, tmp_path: Path) -> None:
    whole = make_video(tmp_path / "clip.avi", codec="mjpeg", frames=30, size=_WH, rate=10, draw=_draw)
    broken = ClipTruth(cut_file(whole, 0.6), "clip", "clip")
    with Detector.open(str(bundle), threshold=0.0) as detector:
        result = evaluate_clips(detector, [broken])
    figures = result.figures(0.6)["by_clip"]["clip"]
    assert 5 < figures["frames"] < 30
    assert figures["broke_off"] and "clip.avi" in figures["broke_off"]


def _evaluate(*arguments: object) -> int:
    return cli.main(["evaluate", *map(str, arguments)])


def test_the_command_writes_everything(
    bundle: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    _clip(tmp_path)
    clips = tmp_path / "clips.json"
    clips.write_text(json.dumps({"clips": [{"video": "clip.mp4", "polyps": [{"frames": [[5, 19]]}]}]}))
    make_tiny_bundle(tmp_path / "other", threshold=0.9, name="other")
    out, page, coco = tmp_path / "out.json", tmp_path / "out.html", tmp_path / "coco"
    options = ("--compare", tmp_path / "other", "--json", out, "--report", page, "--coco", coco)
    assert _evaluate(bundle, frames, clips, *options) == 0
    printed = capsys.readouterr().out
    assert "tiny, threshold 0.600" in printed and "frames (test, 10 frames)  F1 0." in printed
    record = json.loads(out.read_text())
    assert [model["name"] for model in record["models"]] == ["tiny", "other"]
    assert set(record["models"][0]["results"]) == {"frames", "clips"}
    assert record["matrices"]["centroid_f1"]["data"] == ["frames"]
    assert len(record["matrices"]["centroid_f1"]["values"]) == 2

    # The COCO files, judged as detections of another program, give the same figures.
    again = tmp_path / "again.json"
    detections, truth = coco / "frames.detections.json", coco / "frames.truth.json"
    for data in (truth, frames):
        assert _evaluate(detections, data, "--threshold", 0.6, "--json", again) == 0
        (judged,) = json.loads(again.read_text())["models"][0]["results"].values()
        expected: dict[str, Any] = record["models"][0]["results"]["frames"]
        for key in ("centroid_f1", "iou50_f1", "ap50", "ap50_95", "frame_auc", "frame_specificity"):
            assert judged[key] == expected[key], key

    text = page.read_text(encoding="utf-8")
    assert "This page shows pictures of patients" in text and text.count("data:image/jpeg") >= 3
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text  # nothing is fetched
    assert _evaluate(bundle, frames, "--report", page, "--no-pictures") == 0
    text = page.read_text(encoding="utf-8")
    assert "data:image/jpeg" not in text and "pictures of patients" not in text


def test_what_cannot_be_judged(bundle: Path, frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file.json").write_text('{"a": 1}')
    (tmp_path / "found.json").write_text("[]")
    for arguments, message in (
        ((bundle, tmp_path / "missing"), "missing' does not exist"),
        ((bundle, tmp_path), "is no data set"),
        ((bundle, tmp_path / "file.json"), 'holds neither "clips" nor COCO'),
        ((bundle, frames, "--split", "validation"), "no frame of the split 'validation' (it holds 10 test)"),
        ((bundle, frames, frames), "a data set is given twice"),
        ((bundle, frames, "--compare", bundle), "a model is given twice"),
        ((bundle, frames, "--threshold", 1.5), "threshold must be within 0 to 1. Received: 1.5"),
        ((tmp_path / "nothing", frames), "unknown model"),
        ((tmp_path / "found.json", frames), "give --threshold"),
        ((bundle, frames, "--json", tmp_path / "no" / "out.json"), "does not exist"),
        ((bundle, frames, "--json", tmp_path / "out.txt"), "must end in .json"),
        ((bundle, frames, "--report", tmp_path / "out.json"), "must end in .htm or .html"),
        ((bundle, frames, "--coco", tmp_path / "file.json"), "it is a file; name a folder"),
        ((bundle, tmp_path / "file.json", "--json", tmp_path / "file.json"), "would replace the input"),
    ):
        assert _evaluate(*arguments) == 2, arguments
        said = capsys.readouterr().err
        assert message in said and len(said.strip().splitlines()) == 1


def test_data_sets_of_one_name_are_told_apart_and_notes_are_kept(frames: Path, tmp_path: Path) -> None:
    _add(tmp_path / "other" / "frames", "a", bright=True, polyp=True)
    cv2.imwrite(str(frames / "masks" / "lonely.png"), np.zeros((8, 8), np.uint8))
    first, second = read_judging_sets([frames, tmp_path / "other" / "frames"], split=ALL)
    assert first.name == frames.as_posix() and second.name.endswith("other/frames")
    assert first.notes == ("1 mask has no image; left out, the first is 'lonely'",)
    assert len(first.stills) == 10


def test_masks_of_all_kinds(bundle: Path, tmp_path: Path) -> None:
    """Soft edges, masks of 0 and 1, and empty masks (a frame without polyp)."""
    folder = tmp_path / "frames"
    for name in ("soft", "ones", "empty"):
        _add(folder, name, bright=True, polyp=name != "empty")
    soft = cv2.GaussianBlur(read_picture(folder / "masks" / "soft.png"), (9, 9), 0)
    (folder / "masks" / "soft.png").unlink()
    cv2.imwrite(str(folder / "masks" / "soft.jpg"), soft)
    ones = read_picture(folder / "masks" / "ones.png")[..., 0] > 0
    cv2.imwrite(str(folder / "masks" / "ones.png"), ones.astype(np.uint8))
    with Detector.open(str(bundle), threshold=0.0) as detector:
        result = evaluate_stills(detector, read_dataset(folder))
    boxes = {still.name: still.match.polyp_boxes_xyxy for still in result.judged}
    assert boxes["empty"].tolist() == [] and boxes["ones"].tolist() == [list(_SQUARE)]
    assert boxes["soft"] == pytest.approx(np.array([_SQUARE]), abs=1)


@pytest.mark.data
def test_clips_of_the_data_folder_can_be_listed(data_dir: Path, tmp_path: Path) -> None:
    video = data_dir / "videos" / "fatisati_test_polyp_seq1.mp4"
    (tmp_path / "clips.json").write_text(json.dumps({"clips": [{"video": str(video), "polyps": []}]}))
    assert read_clip_list(tmp_path / "clips.json")[0].video == video
    sets = read_judging_sets([data_dir / "cvc-clinicdb"], split=Split.VALIDATION.value)
    assert {still.group for still in sets[0].stills} and all("/sequence-" in still.group for still in sets[0].stills)
