"""Data sets that are made from other material."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import OutputError
from train.data.datasets import Split, read_dataset
from train.data.made_dataset import MadeDataset, Origin
from train.data.name_lists import read_sequences, sequences_text

_PICTURE = np.full((16, 16, 3), 90, np.uint8)


def test_a_data_set_that_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "set"
    with MadeDataset(folder, origins="origins.csv") as made:
        assert made.add(_PICTURE, np.full((16, 16), 255, np.uint8), Origin("one", "1.png", 0.5)) == "00000"
        assert made.add(_PICTURE, None, Origin("two", "2.png", 0.25)) == "00001" and len(made) == 2
    samples = read_dataset(folder)
    assert [(sample.group, sample.mask is None) for sample in samples] == [
        ("sequence-one", False),
        ("sequence-two", True),
    ]
    assert all(sample.split is Split.TRAIN for sample in samples)
    assert (folder / "origins.csv").read_text().splitlines()[1] == "00000,one,1.png,0.5000"


def test_sequences_keep_names_that_spreadsheets_take_for_formulas(tmp_path: Path) -> None:
    rows = [("-1", "=one"), ("+2", "@two"), ("3", 'three, "3"'), ("4", "four\n")]
    (tmp_path / "sequences.csv").write_text(sequences_text(rows), encoding="utf-8")
    found = read_sequences(tmp_path / "sequences.csv", {name for name, _ in rows})
    assert found == {**dict(rows), "4": r"four\n"}


def test_folders_that_are_in_use_or_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    for folder in (tmp_path / "used", tmp_path / "used" / "file"):
        with pytest.raises(OutputError, match="holds something already; give a new folder"):
            MadeDataset(folder, origins="origins.csv")
    folder = tmp_path / "used" / "file" / "set"
    with pytest.raises(OutputError, match="set' cannot be made .*; give another folder"):
        MadeDataset(folder, origins="origins.csv").__enter__()
    assert (tmp_path / "used" / "file").read_text() == "mine"


def test_a_failure_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), MadeDataset(tmp_path / "set", origins="origins.csv"):
        raise KeyboardInterrupt
    assert not (tmp_path / "set").exists()
