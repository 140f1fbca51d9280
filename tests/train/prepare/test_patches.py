from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Pixels
from engine.errors import InputError, OutputError
from stream.frame import FieldOfView
from train.data.datasets import Sample, read_sample
from train.data.window_files import NON_POLYP
from train.prepare import patches
from train.prepare.patches import (
    POLYP,
    PatchSettings,
    SplitKind,
    cut,
    negative_windows,
    polyp_windows,
    prepare_patches,
    read_manifest,
)


def _make_dataset(folder: Path, *, frames: int = 24, per_sequence: int = 2) -> Path:
    """Frames with a black margin of 20 pixels and a polyp of one colour; the last frame is all polyp."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    rows = ["image,sequence"]
    for number in range(frames):
        name = f"{number:03d}"
        mask = np.zeros((120, 160), np.uint8)
        if number == frames - 1:
            mask[20:100, 20:140] = 255
        else:
            x, y = int(rng.integers(30, 90)), int(rng.integers(30, 60))
            mask[y : y + 30, x : x + 30] = 255
        image = np.zeros((120, 160, 3), np.uint8)
        image[20:100, 20:140] = rng.integers(100, 160, (80, 120, 3)) + np.array([0, 0, 60])
        image[(mask > 0) & (np.arange(160) < 90)] = (200, 0, 255)  # a whole field of one colour shows nothing
        cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
        rows.append(f"{name}.png,{number // per_sequence}")
    (folder / "sequences.csv").write_text("\n".join(rows))
    return folder


@given(data=st.data())
@settings(max_examples=60)
def test_negatives_never_touch_a_polyp_or_the_margin(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(40, 120)), data.draw(st.integers(40, 120))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(data.draw(st.integers(0, 3))):
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        mask[y : y + data.draw(st.integers(1, 40)), x : x + data.draw(st.integers(1, 40))] = 1
    x1, y1 = data.draw(st.integers(0, 10)), data.draw(st.integers(0, 10))
    box = (x1, y1, width - data.draw(st.integers(0, 10)), height - data.draw(st.integers(0, 10)))
    inside = None
    if data.draw(st.booleans()):
        circle = cv2.circle(np.zeros((height, width), np.uint8), (width // 2, height // 2), min(box[2:]) // 2, 1, -1)
        inside = circle.astype(np.bool_)
    wanted = PatchSettings(negatives_per_frame=data.draw(st.integers(0, 6)))
    field = FieldOfView(box, inside)
    found = negative_windows(mask, field, wanted, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert len(found) <= wanted.negatives_per_frame
    for left, top, right, bottom in found:
        assert right - left == bottom - top > 0
        assert box[0] <= left and box[1] <= top and right <= box[2] and bottom <= box[3]
        assert not mask[top:bottom, left:right].any()
        if inside is not None:
            assert inside[top:bottom, left:right].all()
    if not mask.any() and inside is None and wanted.negatives_per_frame:
        assert found  # a normal frame always gives one


@given(
    x=st.integers(0, 150), y=st.integers(0, 110), width=st.integers(4, 160), height=st.integers(4, 120),
    context=st.floats(0, 1),
)  # fmt: skip
def test_polyp_windows_hold_their_polyp(x: int, y: int, width: int, height: int, context: float) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[y : y + height, x : x + width] = 1
    field = FieldOfView((10, 10, 150, 110))
    visible = mask.copy()
    visible[:10], visible[110:], visible[:, :10], visible[:, 150:] = 0, 0, 0, 0
    windows = polyp_windows(mask, field, context)
    if mask.sum() >= 0.0005 * mask.size and visible.any():
        ((left, top, right, bottom),) = windows
        assert left >= 10 and top >= 10 and right <= 150 and bottom <= 110
        assert visible[top:bottom, left:right].sum() == visible.sum()
    elif not visible.any():
        assert not windows


def test_what_is_written(tmp_path: Path) -> None:
    report = prepare_patches(
        [_make_dataset(tmp_path / "set")], tmp_path / "windows", PatchSettings(size=40, negatives_per_frame=2)
    )
    rows = list(read_manifest(tmp_path / "windows"))
    assert {row["file"] for row in rows} == {
        path.relative_to(tmp_path / "windows").as_posix() for path in (tmp_path / "windows").rglob("*.png")
    }
    for row in rows:
        picture = cv2.imread(str(tmp_path / "windows" / row["file"]))
        assert picture is not None and picture.shape == (40, 40, 3)
        image = cv2.imread(row["source"])
        assert image is not None
        x1, y1, x2, y2 = map(int, row["box_xyxy"].split())
        assert (picture == cut(image, (x1, y1, x2, y2), 40)).all()
        # No margin, but for the pixel or two to which its edge is known.
        assert (picture.max(2) < 50).mean() <= 4 / 40
        magenta = (picture[..., 1] < 30) & (picture[..., 2] > 230)
        assert magenta.any() == (row["class"] == POLYP)
        assert row["file"].startswith(f"{row['split']}/{row['class']}/")
        assert (row["split_kind"], row["leaks"], row["dataset"]) == ("sequence", "false", "set")
    assert sum(row["class"] == POLYP for row in rows) == 24
    assert sum(row["class"] == NON_POLYP for row in rows) > 30
    # The frame that is all polyp is told, not lost.
    (without,) = report.without_negative
    assert Path(without).name == "023.png" and "1 frames could give no window" in report.text()
    summary = json.loads((tmp_path / "windows" / "patches.json").read_text())
    assert summary["frames_without_negative_window"] == [without] and summary["leaks"] is False
    assert sum(sum(row.values()) for row in summary["counts"].values()) == len(rows)


def test_no_sequence_stands_on_two_sides_unless_split_at_random(tmp_path: Path) -> None:
    data = _make_dataset(tmp_path / "set", frames=60)
    for kind in (SplitKind.SEQUENCE, SplitKind.RANDOM):
        folder = tmp_path / kind.value
        report = prepare_patches([data], folder, PatchSettings(size=16, negatives_per_frame=1, split=kind))
        sides: dict[str, set[str]] = defaultdict(set)
        for row in read_manifest(folder):
            sides[row["sequence"]].add(row["split"])
            assert row["leaks"] == str(kind.leaks).lower()
        assert len(sides) == 30
        assert {"train", "validation"} <= set(report.counts)
        assert any(len(one) > 1 for one in sides.values()) is kind.leaks
        assert ("LEAKS" in report.text()) is kind.leaks


def test_the_same_windows_again(tmp_path: Path) -> None:
    data = _make_dataset(tmp_path / "set", frames=6)
    for name in ("one", "two"):
        prepare_patches([data], tmp_path / name, PatchSettings(size=16))
    with pytest.raises(OutputError, match="holds something already"):
        prepare_patches([data], tmp_path / "one", PatchSettings(size=16))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png"))
    assert files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_windows_of_an_interrupted_call_are_not_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, folder = _make_dataset(tmp_path / "set", frames=4), tmp_path / "windows"

    def interrupted(sample: Sample) -> tuple[Pixels, Pixels]:
        if sample.image.stem == "002":
            raise KeyboardInterrupt
        return read_sample(sample)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(patches, "read_sample", interrupted)
        prepare_patches([data], folder, PatchSettings(size=16))
    left = sorted(folder.rglob("*.png"))
    assert left and not (folder / "manifest.csv").exists()
    with pytest.raises(OutputError, match="windows' holds something already; give a new folder"):
        prepare_patches([data], folder, PatchSettings(size=16))
    assert sorted(folder.rglob("*.png")) == left


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    data = _make_dataset(tmp_path / "set", frames=2)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"file' cannot be made \(a file is there\)"):
        prepare_patches([data], tmp_path / "file", PatchSettings(size=16))
    with pytest.raises(OutputError, match="cannot be made"):
        prepare_patches([data], tmp_path / "file" / "windows", PatchSettings(size=16))
    (tmp_path / "empty").mkdir()
    assert prepare_patches([data], tmp_path / "empty", PatchSettings(size=16)).counts


def test_file_lists(tmp_path: Path) -> None:
    data = _make_dataset(tmp_path / "set", frames=4)
    with pytest.raises(InputError, match=r"holds no split_train.txt"):
        prepare_patches([data], tmp_path / "windows", PatchSettings(split=SplitKind.FILES))
    (data / "split_train.txt").write_text("000\n002\n")
    (data / "split_val.txt").write_text("001\n003\n")
    report = prepare_patches([data], tmp_path / "windows", PatchSettings(size=16, split=SplitKind.FILES))
    assert set(report.counts) == {"train", "validation"}
    by_source = {Path(row["source"]).stem: row["split"] for row in read_manifest(tmp_path / "windows")}
    assert by_source == {"000": "train", "001": "validation", "002": "train", "003": "validation"}
    with pytest.raises(InputError, match="'sequence-0' on two sides"):
        prepare_patches([data], tmp_path / "other", PatchSettings(split=SplitKind.SEQUENCE))


def test_the_unseen_centre_stays_test_even_at_random(tmp_path: Path) -> None:
    data = _make_dataset(tmp_path / "cvc-colondb", frames=4)
    report = prepare_patches([data], tmp_path / "windows", PatchSettings(size=16, split=SplitKind.RANDOM))
    assert set(report.counts) == {"test"}


def test_frames_that_show_nothing_are_told(tmp_path: Path) -> None:
    data = _make_dataset(tmp_path / "set", frames=3)
    cv2.imwrite(str(data / "images" / "001.png"), np.zeros((120, 160, 3), np.uint8))
    report = prepare_patches([data], tmp_path / "windows", PatchSettings(size=16))
    assert [Path(path).name for path in report.without_picture] == ["001.png"]
    assert "1 frames show no field of view" in report.text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 2}, "size of windows.*2"),
        ({"context": -0.1}, "context"),
        ({"negatives_per_frame": -1}, "negative"),
        ({"negative_sizes": (1.5,)}, "sizes of negatives"),
    ],
)
def test_bad_settings(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PatchSettings(**arguments)  # type: ignore[arg-type]


def test_folder_without_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no manifest.csv"):
        list(read_manifest(tmp_path))


def test_two_data_sets_of_one_name(tmp_path: Path) -> None:
    folders = [_make_dataset(tmp_path / side / "set", frames=2) for side in ("one", "two")]
    with pytest.raises(InputError, match="two data sets are called 'set'"):
        prepare_patches(folders, tmp_path / "windows", PatchSettings(size=16))


def test_manifest_columns(tmp_path: Path) -> None:
    data = _make_dataset(tmp_path / "set", frames=2)
    prepare_patches([data], tmp_path / "windows", PatchSettings(size=16))
    with (tmp_path / "windows" / "manifest.csv").open() as stream:
        header = next(csv.reader(stream))
    assert {"file", "source", "box_xyxy", "sequence", "split", "class", "leaks"} <= set(header)
