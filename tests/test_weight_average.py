"""Averaged weights of two runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.errors import InputError
from train.checkpoints import load_checkpoint, save_checkpoint
from train.weight_average import average_checkpoints


def checkpoint(path: Path, value: float, *, size: int = 3, epoch: int = 1) -> Path:
    weights = {"layer.weight": torch.full((size,), value), "layer.count": torch.tensor(epoch)}
    save_checkpoint({"epoch": epoch, "settings": {"seed": epoch}, "figures": {"f1": value}, "average": weights}, path)
    return path


def test_weights_lie_between_those_of_the_runs(tmp_path: Path) -> None:
    first, second = checkpoint(tmp_path / "a.pt", 1.0), checkpoint(tmp_path / "b.pt", 5.0, epoch=7)
    average_checkpoints(first, second, tmp_path / "c.pt", share=0.25)
    state = load_checkpoint(tmp_path / "c.pt")
    assert torch.equal(state["average"]["layer.weight"], torch.full((3,), 2.0))
    assert int(state["average"]["layer.count"]) == 7  # counts are the later run's
    assert (state["epoch"], state["settings"]) == (7, {"seed": 7})


def test_runs_of_different_networks_are_refused(tmp_path: Path) -> None:
    first, second = checkpoint(tmp_path / "a.pt", 1.0), checkpoint(tmp_path / "b.pt", 1.0, size=4)
    with pytest.raises(InputError, match="different networks"):
        average_checkpoints(first, second, tmp_path / "c.pt")
    assert not (tmp_path / "c.pt").exists()


def test_what_is_no_checkpoint_and_what_is_no_share_are_refused(tmp_path: Path) -> None:
    first = checkpoint(tmp_path / "a.pt", 1.0)
    save_checkpoint({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt"):
        average_checkpoints(first, tmp_path / "other.pt", tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"0 to 1.*1\.5"):
        average_checkpoints(first, first, tmp_path / "c.pt", share=1.5)
