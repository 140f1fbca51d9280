"""Layouts of processors: learnt from a recording, kept under a name, used instead of looking anew."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import Image
from engine.errors import InputError, OutputError
from polypstream import cli
from stream.view.endoscope import (
    EndoscopePreset,
    FixedFieldOfView,
    load_preset,
    open_finder,
    preset_names,
    save_preset,
)
from stream.view.endoscope_learning import learn_preset
from stream.view.outline import Outline
from stream.view.tracker import FieldOfViewTracker
from tests.kit.endoscope_pictures import octagon, on_margin, tissue
from tests.kit.media import make_video
from tests.kit.tiny_bundle import make_tiny_bundle

_WH = (352, 240)
_BOX = (100, 10, 330, 230)
_TEXT_AT = (120, 60)  # over the picture


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYPSTREAM_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


def _frame(index: int, size: tuple[int, int] = _WH) -> Image:
    """Tissue in an octagon with its name over the picture and beside it; every third frame shows little."""
    lumen = (0.9, 0.5) if index % 3 == 0 else None
    view = tissue(size, seed=index, lumen_xy=lumen, lumen_radius=0.5)
    frame = on_margin(view, octagon(size, _BOX), level=12, noise=6, seed=index)
    cv2.putText(frame, "ROOM 2", _TEXT_AT, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230, 230, 230), 1)
    cv2.putText(frame, "NAME", (10, 200), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (230, 230, 230), 2)
    return frame


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "exam.mp4"
    return make_video(path, frames=40, size=_WH, rate=10, draw=_frame, options={"crf": "12"})


def _preset(name: str = "room-2") -> EndoscopePreset:
    x1, y1, x2, y2 = _BOX
    corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)
    return EndoscopePreset(name, Outline.around(corners, resolution_wh=_WH), ((120, 48, 180, 62),))


def test_a_layout_is_learnt(recording: Path) -> None:
    preset = learn_preset(str(recording), "room-2")
    field = preset.field_of_view()
    assert np.abs(np.subtract(field.box_xyxy, _BOX)).max() <= 4
    assert field.mask is not None
    truth = octagon(_WH, _BOX)
    truth[44:66, 116:190] = field.mask[44:66, 116:190]  # where the text is
    assert float((field.mask != truth).mean()) < 0.02
    over = [text for text in preset.text_xyxy if text[0] > 100]
    beside = [text for text in preset.text_xyxy if text[2] <= 100]
    for texts, (left, top, right, bottom) in ((over, (121, 49, 178, 60)), (beside, (11, 187, 60, 200))):
        assert texts, preset.text_xyxy
        x1, y1 = np.min(texts, axis=0)[:2]
        x2, y2 = np.max(texts, axis=0)[2:]
        assert np.abs(np.subtract((x1, y1, x2, y2), (left, top, right, bottom))).max() <= 8
    assert not field.mask[55, 140:160].all()


def test_it_is_kept_and_used(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learn = ["calibrate", "field-of-view", str(recording), "--name", "room-2"]
    assert cli.main(learn) == 0
    assert "field of view" in capsys.readouterr().out and preset_names() == ["room-2"]
    assert cli.main(learn) == 2 and "--overwrite" in capsys.readouterr().err
    assert cli.main([*learn, "--overwrite"]) == 0

    make_tiny_bundle(tmp_path / "tiny")
    events = tmp_path / "events.jsonl"
    detect = ["detect", str(recording), "--model", str(tmp_path / "tiny"), "--events", str(events), "--overwrite"]
    assert cli.main([*detect, "--endoscope", "room-2"]) == 0
    expected = list(load_preset("room-2").field_of_view().box_xyxy)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert len(lines) == 40 and all(line["field_of_view_xyxy"] == expected for line in lines)
    assert cli.main([*detect, "--endoscope", "room-3"]) == 2
    assert "there is no endoscope 'room-3' (known: room-2)" in capsys.readouterr().err


def test_frames_of_the_same_shape_are_scaled_to_and_others_refused() -> None:
    preset = _preset()
    finder = FixedFieldOfView(preset)
    field = finder.update(_frame(1), 0.0)
    assert finder.update(_frame(2), 0.1) is field  # `is` tells that a mask is still valid
    large = np.asarray(cv2.resize(_frame(1), (704, 480)), np.uint8)
    doubled = finder.update(large, 0.2)
    assert np.abs(np.subtract(doubled.box_xyxy, np.multiply(field.box_xyxy, 2))).max() <= 4
    assert doubled.mask is not None and not doubled.mask[100:120, 250:350].any() and doubled.mask[300, 400]
    with pytest.raises(InputError, match="learnt from frames of 704x480, these are 640x512"):
        finder.update(np.zeros((512, 640, 3), np.uint8), 0.3)
    with pytest.raises(InputError, match="must be BGR uint8"):
        finder.update(np.zeros((240, 352), np.uint8), 0.4)


def test_a_black_frame_shows_nothing() -> None:
    finder = FixedFieldOfView(_preset())
    assert finder.update(_frame(1), 0.0).has_picture
    assert not finder.update(np.full((240, 352, 3), 10, np.uint8), 0.1).has_picture
    assert finder.update(_frame(2), 0.2).has_picture


@given(
    st.lists(st.floats(20, 120), min_size=32, max_size=32),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(1, 80), st.integers(1, 80)), max_size=3),
)
def test_what_was_written_is_read_back(reach: list[float], areas: list[tuple[int, int, int, int]]) -> None:
    rectangles = tuple((x, y, x + width, y + height) for x, y, width, height in areas)
    preset = EndoscopePreset("a", Outline(np.array(reach), _WH, rectangles), rectangles, 20)
    read = EndoscopePreset.of_record(json.loads(json.dumps(preset.as_record())))
    assert np.abs(read.outline.reach - preset.outline.reach).max() < 0.01
    assert (read.outline.covers, read.text_xyxy, read.margin_level) == (rectangles, rectangles, 20)
    assert read.outline.resolution_wh == _WH


def test_automatic_is_the_default() -> None:
    assert isinstance(open_finder(None), FieldOfViewTracker)
    save_preset(_preset())
    assert isinstance(open_finder("room-2"), FixedFieldOfView)


@pytest.mark.parametrize("name", ["", "../room", "a/b", "a b", ".hidden", "x" * 65])
def test_names_that_cannot_be_files(name: str, recording: Path) -> None:
    with pytest.raises(InputError, match="name is made of letters"):
        save_preset(_preset(name))
    with pytest.raises(InputError, match="name is made of letters"):
        load_preset(name)
    with pytest.raises(InputError, match="name is made of letters"):
        learn_preset(str(recording), name)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 9},
        {"reach": [1.0]},
        {"reach": [float("nan")] * 32},
        {"covers_xyxy": [[5, 5, 5, 9]]},
        {"resolution_wh": [0, 5]},
        {"text_xyxy": None},
    ],
)
def test_damaged_presets(change: dict[str, object], config: Path) -> None:
    path = save_preset(_preset())
    assert path == config / "endoscopes" / "room-2.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=r"cannot be used .* learn the endoscope again"):
        load_preset("room-2")
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be used"):
        load_preset("room-2")


def test_recordings_that_teach_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dark = make_video(
        tmp_path / "dark.mp4", frames=8, draw=lambda index, size: np.zeros((size[1], size[0], 3), np.uint8)
    )
    assert cli.main(["calibrate", "field-of-view", str(dark), "--name", "a"]) == 2
    assert "in 0 of the frames looked at" in capsys.readouterr().err
    assert cli.main(["calibrate", "field-of-view", str(dark)]) == 2
    assert "takes a recording and a name" in capsys.readouterr().err
    assert cli.main(["calibrate", "field-of-view", str(tmp_path / "gone.mp4"), "--name", "a"]) == 2
    assert preset_names() == []


def test_no_preset_is_lost_by_another_of_its_name() -> None:
    save_preset(_preset())
    with pytest.raises(OutputError, match="there is an endoscope 'room-2' already"):
        save_preset(_preset())
