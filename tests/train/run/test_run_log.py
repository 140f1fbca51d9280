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


def test_a_resumed_run_tells_each_epoch_once(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 4), finished=0, level=1.0)
    _write(tmp_path, range(3, 5), finished=2, level=10.0)  # the third epoch's checkpoint was not written
    assert _rows(tmp_path) == [("1", "1"), ("2", "0.5"), ("3", "3.3333"), ("4", "2.5")]
    pytest.importorskip("matplotlib")
    assert read_picture(tmp_path / "curves.png").std() > 5


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
