"""The dense detector learns from frames that have boxes only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from engine.windows.grid import WindowGrid
from tests.kit.rendered import rendered_frames
from train.augmentation.augment import Variation, boxes_of_mask, example, mosaic
from train.data.boxes import stand_in_mask
from train.data.cache import CachedFrame
from train.dense.batches import BatchStream, Mixture
from train.dense.fit import FitSettings
from train.dense.judging import judge
from train.dense.loss import DenseLoss
from train.dense.material import gather
from train.dense.recipe import DenseRecipe, as_labelled, train_dense
from train.networks.dense import DenseDetector, DenseOutputs, DenseSettings
from train.run.device import Device


def _as_boxes(frame: CachedFrame) -> CachedFrame:
    boxes = boxes_of_mask(frame.mask)
    return replace(frame, mask=stand_in_mask(boxes, frame.mask.shape[:2]), boxes_xyxy=boxes)


@pytest.fixture(scope="module")
def boxed() -> list[CachedFrame]:
    return [_as_boxes(frame) for frame in rendered_frames(16) if frame.positive][:6]


@pytest.fixture
def dataset(tmp_path: Path, boxed: list[CachedFrame], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rendered frames with their boxes, and no masks."""
    monkeypatch.setenv("POLYPSTREAM_CACHE", str(tmp_path / "hashes"))
    folder = tmp_path / "boxed"
    (folder / "images").mkdir(parents=True)
    lines = ["image,x0,y0,x1,y1\n"]
    for name, frame in enumerate(boxed):
        cv2.imwrite(str(folder / "images" / f"{name}.png"), frame.image)
        assert frame.boxes_xyxy is not None
        lines += [f"{name},{','.join(f'{side:g}' for side in box)}\n" for box in frame.boxes_xyxy.tolist()]
    (folder / "boxes.csv").write_text("".join(lines))
    (folder / "split_train.txt").write_text("0\n1\n2\n3\n")
    (folder / "split_val.txt").write_text("4\n5\n")
    return folder


def test_boxes_of_examples_are_those_of_the_frame_moved(boxed: list[CachedFrame]) -> None:
    plain = Variation(zooms=(1.0, 1.0), degraded=0.0, dirty=0.0)
    for seed in range(20):
        one = example(boxed[0], (288, 256), np.random.default_rng(seed), plain)
        assert not one.outlined and boxed[0].boxes_xyxy is not None
        assert 1 <= len(one.boxes_xyxy) <= len(boxed[0].boxes_xyxy)
    outlined = next(frame for frame in rendered_frames(16) if frame.outlined)
    four = mosaic([outlined, outlined, outlined, boxed[0]], (288, 256), np.random.default_rng(1), plain)
    assert not four.outlined


def test_nothing_is_learnt_about_masks_from_boxes() -> None:
    grid = WindowGrid((64, 64))
    torch.manual_seed(1)
    outputs = DenseDetector(DenseSettings(trunk="lite0_short", channels=16, head_layers=1))(torch.randn(2, 3, 64, 64))
    boxes, present = torch.tensor([[[8.0, 8.0, 40.0, 40.0]]] * 2), torch.ones(2, 1, dtype=torch.bool)
    masks = torch.zeros(2, 8, 8)
    masks[:, 1:5, 1:5] = 1

    def parts(outlined: list[bool], given: DenseOutputs = outputs) -> dict[str, float]:
        found = DenseLoss(grid)(given, boxes, present, masks, torch.tensor(outlined))
        return {name: float(value.detach()) for name, value in found.items()}

    assert parts([True, True]) == {
        name: float(value.detach()) for name, value in DenseLoss(grid)(outputs, boxes, present, masks).items()
    }
    assert parts([False, False])["mask"] == 0 and parts([False, False])["box"] == parts([True, True])["box"]
    other = outputs._replace(mask=torch.cat([outputs.mask[:1], outputs.mask[1:] + 3]))
    assert parts([True, False], other)["mask"] == parts([True, False])["mask"] > 0
    assert parts([False, True], other)["mask"] != parts([False, True])["mask"]


def test_batches_say_which_masks_are_outlines(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    material = gather([dataset], None, synthetic=2, erased=True, transplanted=2)
    assert "4 of 4 training frames with polyps have boxes only" in caplog.text
    assert material.pools.mixed_in() == {"rendered": 2, "transplanted": 0, "erased": 0}
    stream = BatchStream(
        material.pools,
        mixture=Mixture(normal_crops=0.0, negatives=0.0, synthetic=0.5, mosaics=0.0),
        input_wh=(64, 64),
        batch_size=16,
        steps_per_epoch=1,
        first_epoch=0,
        epochs=1,
        seed=1,
        mean=127.0,
        std=128.0,
        variation=Variation(),
    )
    batch = next(iter(stream))
    assert batch.outlined.any() and not batch.outlined.all()
    assert float(batch.masks.max()) <= 1


def test_masks_have_no_part_in_scores_where_none_was_learnt(dataset: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = as_labelled(DenseRecipe(data=(dataset,), folder=dataset.parent / "run"))
    assert recipe.fit.network.mask_evidence == 0 and "the mask has no part in the scores" in caplog.text
    goes_on = as_labelled(DenseRecipe(data=(dataset,), folder=recipe.folder, start_from=Path("polyp")))
    assert goes_on.fit.network.mask_evidence == 0.5 and "they stay as the earlier model knows them" in caplog.text
    (dataset / "masks").mkdir()
    cv2.imwrite(str(dataset / "masks" / "0.png"), np.full((16, 16), 255, np.uint8))
    lines = (dataset / "boxes.csv").read_text().splitlines(keepends=True)
    (dataset / "boxes.csv").write_text("".join(line for line in lines if not line.startswith("0,")))
    assert as_labelled(replace(recipe, fit=FitSettings())).fit.network.mask_evidence == 0.5


@pytest.mark.slow
def test_training_on_boxes_goes_on_and_is_judged(dataset: Path, tmp_path: Path) -> None:
    fit = FitSettings(
        network=DenseSettings(trunk="lite0_short", channels=16, head_layers=1),
        input_wh=(64, 64),
        epochs=1,
        steps_per_epoch=2,
        batch_size=4,
        device=Device.CPU,
    )
    recipe = DenseRecipe(data=(dataset,), folder=tmp_path / "run", synthetic=1, fit=fit)
    assert train_dense(recipe).is_file()
    on = train_dense(replace(recipe, fit=replace(fit, epochs=2), resume=True))
    record = torch.load(on, weights_only=True)
    assert record["settings"]["network"]["mask_evidence"] == 0
    validation = gather([dataset], None, synthetic=0, erased=False, transplanted=0).validation
    figures = judge(DenseDetector(fit.network), validation, (64, 64))
    assert 0 <= figures["ap50"] <= 1 and len(validation) == 2
