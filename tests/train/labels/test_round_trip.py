"""What is exported comes back when it is imported: the same boxes, the same frames, the same tracks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.boxes import iou
from tests.kit.labelled import HEIGHT, WIDTH, Box, boxes_in, write_dataset, write_results
from train.data.datasets import Split, read_dataset, read_sample
from train.data.masks.check import checked_dataset
from train.labels.export_writer import ExportSettings, Format
from train.labels.exporting import export_labels
from train.labels.finding import Finder
from train.labels.formats.cvat import cvat_images, cvat_video, read_cvat
from train.labels.formats.yolo import yolo_files
from train.labels.importing import ImportSettings, import_labels
from train.labels.label_set import Label, LabelledPicture
from train.labels.tracks import between, key_frames, runs_of

_X, _Y = (
    st.floats(0, WIDTH - 30).map(lambda one: round(one, 2)),
    st.floats(0, HEIGHT - 30).map(lambda one: round(one, 2)),
)
_SIDE = st.floats(5, 30).map(lambda one: round(one, 2))
_BOX = st.builds(lambda x, y, w, h: (x, y, round(x + w, 2), round(y + h, 2)), _X, _Y, _SIDE, _SIDE)
_TRACK = st.dictionaries(st.integers(0, 24), _BOX, min_size=1)
_TRACKS = st.dictionaries(st.integers(1, 99), _TRACK, max_size=4)


@given(_TRACK, st.sampled_from([0.0, 0.05, 0.5]))
def test_key_frames_say_where_all_boxes_are(track: dict[int, Box], tolerance: float) -> None:
    for run in runs_of(track):
        keys = key_frames(track, run, tolerance=tolerance)
        assert keys[0] == run[0] and keys[-1] == run[-1]
        told = {keys[-1]: track[keys[-1]]}
        for first, last in pairwise(keys):
            told |= between((first, track[first]), (last, track[last]))
        assert sorted(told) == run
        for frame, box in told.items():
            longest = max(track[frame][2] - track[frame][0], track[frame][3] - track[frame][1])
            assert np.abs(np.subtract(box, track[frame])).max() <= tolerance * longest + 1e-5


def test_even_motion_needs_two_key_frames() -> None:
    track = {frame: (10.0 + frame, 20.0, 40.0 + frame, 60.0) for frame in range(100)}
    assert key_frames(track, list(range(100)), tolerance=0.0) == [0, 99]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(_TRACKS)
def test_tracks_come_back_from_cvat(tracks: dict[int, dict[int, Box]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "exam.mp4").write_bytes(b"a recording")
        text = cvat_video(
            {str(key): ("polyp", boxes) for key, boxes in tracks.items()},
            ["polyp"],
            source="exam.mp4",
            frame_count=25,
            size_wh=(WIDTH, HEIGHT),
            tolerance=0.0,
        )
        (folder / "annotations.xml").write_text(text)
        found = read_cvat(folder / "annotations.xml", Finder([folder])).pictures
    told: dict[int, dict[int, Box]] = {}
    for picture in found:
        for label in picture.labels:
            assert picture.frame is not None
            told.setdefault(int(label.track), {})[picture.frame] = label.box_xyxy
    assert told.keys() == tracks.keys()
    for key, boxes in tracks.items():
        assert told[key].keys() == boxes.keys()
        assert all(np.allclose(told[key][frame], box, atol=0.011) for frame, box in boxes.items())


_LABELS = st.lists(st.builds(lambda box: Label("polyp & <co>", box), _BOX), max_size=3)


@settings(deadline=None, max_examples=40)
@given(st.lists(_LABELS, min_size=1, max_size=3))
def test_boxes_come_back_from_cvat_for_images(frames: list[list[Label]]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures = []
        for number, labels in enumerate(frames):
            (folder / f"{number}.png").write_bytes(b"a picture")
            one = LabelledPicture(f"{number}.png", folder / f"{number}.png", labels=tuple(labels))
            pictures.append((one, f"{number}.png", (WIDTH, HEIGHT)))
        (folder / "annotations.xml").write_text(cvat_images(pictures, ["polyp & <co>"]))
        if not any(frames):
            return
        found = read_cvat(folder / "annotations.xml", Finder([folder])).pictures
    assert [one.path.name for one in found] == [f"{number}.png" for number in range(len(frames))]
    for one, labels in zip(found, frames, strict=True):
        assert [label.name for label in one.labels] == ["polyp & <co>"] * len(labels)
        for told, label in zip(one.labels, labels, strict=True):
            assert np.allclose(told.box_xyxy, label.box_xyxy, atol=0.011)


@given(_BOX)
def test_shares_of_yolo_are_exact(box: Box) -> None:
    picture = LabelledPicture("a.png", Path("a.png"), labels=(Label("polyp", box),), is_complete=True)
    files = dict(yolo_files([(picture, "images/train/a.png", (WIDTH, HEIGHT))], ["polyp"]))
    number, x, y, w, h = map(float, files["labels/train/a.txt"].split())
    told = np.array([(x - w / 2) * WIDTH, (y - h / 2) * HEIGHT, (x + w / 2) * WIDTH, (y + h / 2) * HEIGHT])
    assert number == 0 and np.allclose(told, box, atol=1e-3)


@pytest.mark.parametrize("format", list(Format))
def test_a_data_set_comes_back(tmp_path: Path, format: Format) -> None:
    """Formats without outlines give the boxes around them; CVAT says of no picture that it shows nothing."""
    source = write_dataset(tmp_path / "source")
    done = export_labels(source, tmp_path / "out", ExportSettings(format))
    assert (done.pictures, done.labels) == (4, 5)
    told = ImportSettings(unlabelled_are_negative=format is Format.CVAT)
    back = import_labels(tmp_path / "out", tmp_path / "back", told)
    outlined = format is not Format.VOC
    assert (back.masked, back.boxed, back.negative) == ((1, 2, 1) if outlined else (0, 3, 1)), back.notes
    checked_dataset(tmp_path / "back")
    before = {sample.image.stem: sample for sample in read_dataset(source)}
    after = {sample.image.stem: sample for sample in read_dataset(tmp_path / "back")}
    assert before.keys() == after.keys()
    for name in "bd":
        assert np.allclose(sorted(after[name].boxes_xyxy or ()), sorted(before[name].boxes_xyxy or ()), atol=0.02)
    assert not after["c"].has_labels
    if outlined:
        assert np.array_equal(read_sample(after["a"])[1], read_sample(before["a"])[1])
    else:
        assert sorted(after["a"].boxes_xyxy or ()) == [(10, 10, 50, 40), (70, 50, 100, 90)]
    if format in (Format.COCO, Format.YOLO, Format.VOC):  # the others know no split
        sides = {"a": Split.TRAIN, "b": Split.TRAIN, "c": Split.VALIDATION, "d": Split.TEST}
        assert {name: sample.split for name, sample in after.items()} == sides


_MOVING = {
    1: {frame: (10.0 + frame, 20.0, 40.0 + frame, 60.0) for frame in (*range(2, 12), *range(15, 20))},
    4: {frame: (70.0, 30.0 + frame % 3, 110.0, 70.0) for frame in range(9, 14)},
}


def _tracks_in(folder: Path) -> dict[str, dict[int, Box]]:
    tracks: dict[str, dict[int, Box]] = {}
    for name, boxes in boxes_in(folder).items():
        for box, track in boxes:
            tracks.setdefault(track, {})[int(name[-6:])] = box
    return tracks


@pytest.mark.parametrize("format", [Format.CVAT, Format.LABEL_STUDIO])
@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_tracks_of_a_recording_come_back(tmp_path: Path, format: Format, tolerance: float) -> None:
    events = write_results(tmp_path, "exam", _MOVING, frames=20)
    export_labels(events, tmp_path / "out", ExportSettings(format, tolerance=tolerance))
    told = ImportSettings((tmp_path / "videos",), predictions=True)
    back = import_labels(tmp_path / "out", tmp_path / "back", told)
    assert back.boxed == 17 and back.masked == back.negative == 0
    found = _tracks_in(tmp_path / "back")
    assert sorted(sorted(boxes) for boxes in found.values()) == sorted(sorted(boxes) for boxes in _MOVING.values())
    for boxes in found.values():
        same = next(one for one in _MOVING.values() if one.keys() == boxes.keys())
        overlaps = [iou(np.array(boxes[frame]), np.array(same[frame])) for frame in boxes]
        assert min(overlaps) > (0.999 if tolerance == 0 else 0.9)
    decoded = cv2.imread(str(next((tmp_path / "back" / "images").glob("*000009.png"))))
    assert decoded is not None and decoded.shape == (HEIGHT, WIDTH, 3)


def test_key_frames_save_work(tmp_path: Path) -> None:
    events = write_results(tmp_path, "exam", _MOVING, frames=20)
    done = export_labels(events, tmp_path / "out", ExportSettings(Format.CVAT))
    assert "2 tracks, 6 key frames for 20 boxes" in done.notes[0]


@pytest.mark.parametrize("format", [Format.COCO, Format.YOLO, Format.VOC])
def test_frames_of_a_recording_that_lie_apart(tmp_path: Path, format: Format) -> None:
    """Frames without a detection are left out: nobody said that they show nothing."""
    events = write_results(tmp_path, "exam", _MOVING, frames=20)
    done = export_labels(events, tmp_path / "out", ExportSettings(format, spacing_s=0.2))
    assert done.pictures == 4
    back = import_labels(tmp_path / "out", tmp_path / "back")
    assert (back.boxed, back.negative) == (4, 0)
    assert sorted(int(name[-6:]) for name in boxes_in(tmp_path / "back")) == [2, 7, 12, 17]
