from __future__ import annotations

import csv
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from stream.sources.picture_reader import read_picture
from train.run.run_log import RunLog


def _write(folder: Path, epochs: range, *, finished: int, level: float) -> None:
    with RunLog(folder, title="a run", finished=finished) as log:
        for epoch in epochs:
            log.add({"epoch": epoch, "loss": level / epoch, "f1": 0.5})


def _rows(folder: Path) -> list[tuple[str, str]]:
    with (folder / "epochs.csv").open(newline="") as stream:
        return [(row["epoch"], row["loss"]) for row in csv.DictReader(stream)]


def test_a_resumed_run_tells_each_epoch_once(tmp_path: Path, curves: None) -> None:
    _write(tmp_path, range(1, 4), finished=0, level=1.0)
    _write(tmp_path, range(3, 5), finished=2, level=10.0)  # the third epoch's checkpoint was not written
    assert _rows(tmp_path) == [("1", "1"), ("2", "0.5"), ("3", "3.3333"), ("4", "2.5")]
    pytest.importorskip("matplotlib")
    assert read_picture(tmp_path / "curves.png").std() > 5


def test_curves_are_drawn_at_the_end_and_every_ten_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, drawn = 100.0, list[list[tuple[str, str]]]()
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    monkeypatch.setattr("train.run.curves.draw_curves", lambda *_, **__: drawn.append(_rows(tmp_path)))
    with RunLog(tmp_path, title="a run", finished=0) as log:
        for epoch, after_s in enumerate([4.0, 4.0, 4.0, 9.0, 4.0], start=1):
            now_s += after_s
            log.add({"epoch": epoch, "loss": 1.0})
    assert [len(rows) for rows in drawn] == [3, 5]
    with RunLog(tmp_path, title="a run", finished=5):
        pass
    assert len(drawn) == 2  # nothing was added


def test_a_picture_that_cannot_be_written_ends_no_run(
    tmp_path: Path, curves: None, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "curves.png").mkdir()
    _write(tmp_path, range(1, 3), finished=0, level=1.0)
    assert len(_rows(tmp_path)) == 2 and "no curves are drawn (" in caplog.text


def test_a_new_run_replaces_the_old_one(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 4), finished=0, level=1.0)
    _write(tmp_path, range(1, 2), finished=0, level=2.0)
    assert _rows(tmp_path) == [("1", "2")]


def test_events_say_what_the_table_says(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _write(tmp_path, range(1, 4), finished=0, level=1.0)
    _write(tmp_path, range(3, 5), finished=2, level=10.0)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {scalar.step: scalar.value for scalar in events.Scalars("loss")} == pytest.approx(
        {1: 1.0, 2: 0.5, 3: 10 / 3, 4: 2.5}
    )
    assert set(events.Tags()["scalars"]) == {"loss", "f1"}
