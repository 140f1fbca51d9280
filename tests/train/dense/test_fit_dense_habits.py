"""Habits of the dense fit: early stop, resume, what it tells each epoch, a loss that is no number, its search."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

from engine.errors import InputError, OutputError, RunError
from engine.files import make_folder
from stream.sources.picture_reader import read_picture
from tests.kit.rendered import rendered_frames
from train.data.cache import CachedFrame
from train.dense.batches import FramePools, Mixture
from train.dense.fit import FitSettings, earlier_part, fit
from train.dense.material import Material, gather
from train.dense.recipe import DenseRecipe, imagenet_weights, train_dense
from train.networks.dense import DenseSettings
from train.run.checkpoints import load_checkpoint, save_checkpoint
from train.run.device import Device
from train.run.output_folder import refuse_used
from train.run.settings import plain
from train.search.recipes import search_dense

FIT = FitSettings(
    network=DenseSettings(trunk="lite0_short", channels=8, head_layers=1),
    mixture=Mixture(normal_crops=0.1, negatives=0.2, synthetic=0.1),
    input_wh=(64, 64),
    epochs=6,
    patience=2,
    steps_per_epoch=1,
    batch_size=2,
    frozen_blocks=1,
)
IMAGENET = imagenet_weights("lite0_short")


@pytest.fixture(scope="module")
def frames() -> list[CachedFrame]:
    return rendered_frames(6)


@pytest.fixture(scope="module")
def pools(frames: list[CachedFrame]) -> FramePools:
    return FramePools([frame for frame in frames if frame.positive], frames[:1], frames[:1])


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation figures by a script, in the place of judging."""
    figures: Iterator[float] = iter([0.5, 0.8, 0.8, 0.7, 1.0, 1.0])

    def judge(*_: object) -> dict[str, float]:
        return {"f1": next(figures), "ap50": 0.5}

    monkeypatch.setattr("train.dense.fit.judge", judge)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "epochs.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_it_stops_early_and_goes_on_as_if_it_had_not_been_cut_off(
    tmp_path: Path, frames: list[CachedFrame], pools: FramePools, scripted: None, curves: None
) -> None:
    told: list[tuple[int, float]] = []

    class Killed(Exception):
        pass

    def on_epoch(epoch: int, figures: object) -> None:
        assert isinstance(figures, dict)
        told.append((epoch, figures["f1"]))
        if len(told) == 3:
            raise Killed

    with pytest.raises(Killed):
        fit(FIT, pools, frames, tmp_path, imagenet=IMAGENET, on_epoch=on_epoch)
    best = fit(FIT, pools, frames, tmp_path, imagenet=IMAGENET, resume=True, on_epoch=on_epoch)
    # 0.8 came in the second epoch; the third, before the cut, and the fourth bring nothing better.
    assert told == [(1, 0.5), (2, 0.8), (3, 0.8), (4, 0.7)]
    assert [row["epoch"] for row in _rows(tmp_path)] == ["1", "2", "3", "4"]
    assert {"loss", "box_loss", "f1"} <= set(_rows(tmp_path)[0])
    assert load_checkpoint(best)["epoch"] == 2 and load_checkpoint(tmp_path / "last.pt")["epoch"] == 4
    assert load_checkpoint(best)["settings"]["rate"] == 1e-3  # from ImageNet weights
    pytest.importorskip("matplotlib")
    assert read_picture(tmp_path / "curves.png").std() > 5


@pytest.mark.slow
def test_on_from_a_checkpoint_it_takes_smaller_steps(
    tmp_path: Path, frames: list[CachedFrame], pools: FramePools, scripted: None
) -> None:
    one = replace(FIT, epochs=1)
    first = fit(one, pools, frames, tmp_path / "first", imagenet=IMAGENET)
    second = fit(one, pools, frames, tmp_path / "second", start_from=first)
    assert load_checkpoint(second)["settings"]["rate"] == 7e-4
    with pytest.raises(InputError, match="from ImageNet weights or from a checkpoint"):
        fit(one, pools, frames, tmp_path / "third")
    first.unlink()  # what a run started from is not needed to go on
    fit(replace(one, epochs=2), pools, frames, tmp_path / "second", start_from=first, resume=True)
    assert [row["epoch"] for row in _rows(tmp_path / "second")] == ["1", "2"]
    fit(replace(one, epochs=3), pools, frames, tmp_path / "second", imagenet=IMAGENET, resume=True)
    assert load_checkpoint(tmp_path / "second" / "last.pt")["settings"]["rate"] == 7e-4  # as it was begun


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epochs": 9, "patience": 3, "device": Device.CPU}, ""),
        ({"rate": None}, ""),
        ({"rate": 1e-3}, ""),  # what None was, from ImageNet weights
        ({"rate": 2e-3}, "rate was 0.001, is 0.002"),
        ({"seed": 2, "batch_size": 4}, "batch_size was 2, is 4; seed was 1, is 2"),
        ({"input_wh": (96, 64)}, "input_wh was (64, 64), is (96, 64)"),
        ({"mixture": Mixture(normal_crops=0.1, negatives=0.3, synthetic=0.1)}, "mixture.negatives was 0.2, is 0.3"),
        ({"network": DenseSettings("lite0_short", channels=16, head_layers=1)}, "network.channels was 8, is 16"),
    ],
)
def test_a_run_goes_on_with_its_own_settings_only(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    last = tmp_path / "last.pt"
    state = {"average": {}, "settings": plain(replace(FIT, rate=1e-3)), "epoch": 1}
    save_checkpoint(state, last)
    settings = replace(FIT, **changes)
    if not told:
        assert earlier_part(settings, last) == state
        return
    with pytest.raises(InputError) as caught:
        earlier_part(settings, last)
    assert str(caught.value) == (
        f"checkpoint {str(last)!r} is of another network or run ({told}); "
        "go on with the same settings and data, or give another folder"
    )


def test_what_a_run_goes_on_from(tmp_path: Path) -> None:
    last = tmp_path / "last.pt"
    known = {name: value for name, value in plain(FIT).items() if name not in ("imitation", "rate")}
    save_checkpoint({"average": {}, "settings": known}, last)  # of a version that did not know all settings
    assert earlier_part(FIT, last)["settings"] == known
    with pytest.raises(InputError, match="imitation was 2.0, is 1.0"):
        earlier_part(replace(FIT, imitation=1.0), last)
    save_checkpoint({"network": {}, "settings": {"network": "cnn1"}}, last)
    with pytest.raises(InputError, match="last.pt' is no checkpoint of a dense detector"):
        earlier_part(FIT, last)


def test_a_run_goes_on_with_its_own_frames_only(tmp_path: Path, frames: list[CachedFrame], pools: FramePools) -> None:
    one = replace(FIT, epochs=1)
    fit(one, pools, frames, tmp_path, imagenet=IMAGENET)
    last = tmp_path / "last.pt"
    darker = replace(frames[0], image=frames[0].image // 2)
    others = replace(pools, positives=[darker, *pools.positives[1:]])
    assert len({pools.digest, others.digest, replace(pools, negatives=pools.positives).digest}) == 3
    assert earlier_part(one, last, material=replace(pools, positives=tuple(pools.positives)).digest)
    with pytest.raises(InputError, match=r"another network or run \(the frames are others\); go on with the same"):
        fit(replace(one, epochs=2), others, frames, tmp_path, imagenet=IMAGENET, resume=True)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, frames: list[CachedFrame], pools: FramePools) -> None:
    with pytest.raises(RunError, match="the loss became (nan|inf) at step .*; lower the rate and resume"):
        fit(
            replace(FIT, rate=1e30, warm_up_steps=1, steps_per_epoch=8),
            pools,
            frames,
            tmp_path,
            imagenet=IMAGENET,
        )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, frames: list[CachedFrame]) -> Path:
    folder = tmp_path_factory.mktemp("data") / "rendered"
    for name, frame in enumerate(frames):
        for kind, picture in (("images", frame.image), ("masks", frame.mask * 255)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / kind / f"{name}.png"), picture)
    (folder / "split_train.txt").write_text("0\n2\n4\n")
    (folder / "split_val.txt").write_text("1\n3\n5\n")
    return folder


def test_what_is_made_is_kept(tmp_path: Path, dataset: Path) -> None:
    def made(**changes: object) -> Material:
        settings = {"synthetic": 2, "erased": True, "transplanted": 2} | changes
        return gather([dataset], tmp_path, **settings)  # type: ignore[arg-type]

    first = made()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = made()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept
    for one, other in zip(first.pools.positives, again.pools.positives, strict=True):
        assert (one.image == other.image).all() and one.dataset == other.dataset
    fewer = made(erased=False, transplanted=0)
    assert len(fewer.pools.positives) <= len(first.pools.positives)
    assert not any("/" in frame.dataset for frame in (*fewer.pools.positives, *fewer.pools.negatives))


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path: Path, dataset: Path) -> None:
    recipe = DenseRecipe((dataset,), tmp_path / "run", synthetic=0, fit=replace(FIT, epochs=1))
    train_dense(recipe)
    kept = {path: path.read_bytes() for path in recipe.folder.iterdir() if path.is_file()}
    assert kept
    with pytest.raises(OutputError, match="run' holds a run already; go on with --resume, or give another folder"):
        train_dense(recipe)
    other = replace(recipe, resume=True, fit=replace(recipe.fit, epochs=2, weight_decay=0.1))
    with pytest.raises(
        InputError, match=r"another network or run \(weight_decay was 0.03, is 0.1\); go on with the sa"
    ):
        train_dense(other)
    assert {path: path.read_bytes() for path in recipe.folder.iterdir() if path.is_file()} == kept
    train_dense(replace(recipe, resume=True, fit=replace(recipe.fit, epochs=2, patience=4)))
    assert [row["epoch"] for row in _rows(recipe.folder)] == ["1", "2"]


def test_folders(tmp_path: Path, dataset: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for folder in (taken, taken / "below"):
        with pytest.raises(OutputError, match=rf"{folder.name}' cannot be made \(.*\); give another folder"):
            train_dense(DenseRecipe((dataset,), folder, fit=FIT))
    with pytest.raises(OutputError, match="taken' holds something already; give a new folder"):
        refuse_used(taken)
    new = tmp_path / "some" / "where"
    refuse_used(new)
    make_folder(new)
    make_folder(new)
    refuse_used(new)
    assert new.is_dir()
    with pytest.raises(OutputError, match="some' holds something already; give a new folder"):
        refuse_used(new.parent)


@pytest.mark.slow
def test_search(tmp_path: Path, dataset: Path) -> None:
    pytest.importorskip("optuna", reason="the search is an extra: pip install polypstream[search]")
    recipe = DenseRecipe(
        data=(dataset,),
        folder=tmp_path,
        synthetic=1,
        transplanted=0,
        erased=False,
        fit=replace(FIT, epochs=1),
    )
    rows = search_dense(recipe, trials=1)
    assert len(rows) == 1 and rows[0].state == "complete" and (tmp_path / "trial-000" / "best.pt").is_file()
