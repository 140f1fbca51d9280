"""Training end to end on rendered frames: small, but the real thing."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from calibration.decisions.calibrating import CalibrationPlan
from calibration.decisions.operating_point import Goal
from calibration.shipping.joining import JoinRecipe, Mean, bundle_joined
from calibration.shipping.shipping import bundle_checkpoint
from engine.bundle import load_bundle
from engine.errors import InputError
from tests.kit.rendered import SEED, rendered_frames
from train.augmentation.augment import Variation, _position_box, _warped, example, in_colours_of, mosaic, normal_crop
from train.augmentation.synthetic import synthetic_frames
from train.data.cache import CachedFrame
from train.dense.batches import BatchStream, FramePools, Mixture, _even_shares
from train.dense.checkpoint import load_network
from train.dense.fit import FitSettings
from train.dense.from_bundle import network_of_bundle
from train.dense.recipe import DenseRecipe, train_dense
from train.networks.dense import DenseSettings
from train.networks.depthwise import DepthwiseConv2d

FIT = FitSettings(
    network=DenseSettings(trunk="lite0_short", channels=16, head_layers=1),
    mixture=Mixture(normal_crops=0.2, negatives=0.2, synthetic=0.2, mosaics=0.2),
    input_wh=(64, 64),
    epochs=1,
    steps_per_epoch=2,
    batch_size=2,
    colour_exchange=0.5,
    style_mixing=0.5,
)


@pytest.fixture(scope="module")
def frames() -> list[CachedFrame]:
    return rendered_frames(8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, frames: list[CachedFrame]) -> Path:
    """A data set on disk made of rendered frames, half of each kind on each side."""
    folder = tmp_path_factory.mktemp("data") / "rendered"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    names = [f"{number:02d}" for number in range(len(frames))]
    for name, frame in zip(names, frames, strict=True):
        cv2.imwrite(str(folder / "images" / f"{name}.png"), frame.image)
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), frame.mask * 255)
    (folder / "split_train.txt").write_text("\n".join(names[::2]))
    (folder / "split_val.txt").write_text("\n".join(names[1::2]))
    return folder


def test_rendered_frames_have_both_kinds_and_repeat(frames: list[CachedFrame]) -> None:
    assert {frame.positive for frame in rendered_frames(16)} == {True, False}
    again = next(iter(synthetic_frames(1, seed=SEED)))
    assert (again.image == frames[0].image).all()


def test_examples_have_the_input_size_and_boxes_on_their_mask(frames: list[CachedFrame]) -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(6):
        for frame in frames:
            one = example(frame, (96, 64), rng, Variation())
            assert one.image.shape == (64, 96, 3) and one.mask.shape == (64, 96)
            for x1, y1, x2, y2 in one.boxes_xyxy.astype(int):
                assert one.mask[y1:y2, x1:x2].any() and 0 <= x1 < x2 <= 96 and 0 <= y1 < y2 <= 64
                seen += 1
    assert seen > 5


def _coloured(colour: tuple[int, int, int]) -> CachedFrame:
    """A frame of one colour with a square polyp of another one in its middle."""
    image = np.full((240, 240, 3), colour, np.uint8)
    mask = np.zeros((240, 240), np.uint8)
    mask[90:150, 90:150] = 1
    image[mask > 0] = (250, 250, 250)
    return CachedFrame(image, mask, "test")


def test_mosaics_show_four_frames_and_small_polyps() -> None:
    frames = [_coloured(colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200), (0, 160, 160))]
    rng = np.random.default_rng(2)
    whole = [example(frames[0], (128, 96), rng, Variation()) for _ in range(30)]
    found = [mosaic(frames, (128, 96), rng, Variation()) for _ in range(30)]
    for one in found:
        assert one.image.shape == (96, 128, 3) and one.mask.shape == (96, 128)
        for x1, y1, x2, y2 in one.boxes_xyxy.astype(int):
            assert one.mask[y1:y2, x1:x2].any() and 0 <= x1 < x2 <= 128 and 0 <= y1 < y2 <= 96
    polyps = [len(one.boxes_xyxy) for one in found]
    assert max(polyps) >= 4 and np.mean(polyps) > 2
    sizes = [np.median([_area(box) for one in ones for box in one.boxes_xyxy]) for ones in (found, whole)]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize(("zooms", "least", "most"), [((0.5, 0.5), 25, 43), ((1.5, 1.5), 75, 129)])
def test_zooms_say_how_large_polyps_become(zooms: tuple[float, float], least: int, most: int) -> None:
    frame, rng = _coloured((0, 160, 160)), np.random.default_rng(5)
    found = [example(frame, (240, 240), rng, Variation(zooms=zooms)) for _ in range(40)]
    # 60 pixels of 240 at zoom 1, stretched by up to exp(0.15); a turned square has a larger box.
    sides = [_area(box) ** 0.5 for one in found for box in one.boxes_xyxy if (box % 239 > 1).all()]
    assert len(sides) > 20 and min(sides) >= least and max(sides) <= most


def test_polyps_are_zoomed_to_sizes_that_data_sets_have_few_of() -> None:
    """The frame's one polyp covers a sixteenth, right of the middle at the top."""
    mask = np.zeros((240, 240), np.uint8)
    mask[20:80, 150:210] = 1
    frame, rng = CachedFrame(np.full((240, 240, 3), 90, np.uint8), mask, "test"), np.random.default_rng(5)
    shares = {
        sized: [float(example(frame, (240, 240), rng, Variation(sized=sized)).mask.mean()) for _ in range(100)]
        for sized in (0.0, 1.0)
    }
    assert all(share > 0 for share in shares[1.0])  # it never leaves the picture
    assert np.quantile(shares[1.0], 0.8) > 2 * np.quantile(shares[0.0], 0.8)
    assert max(shares[1.0]) > 0.3
    nothing = CachedFrame(frame.image, np.zeros_like(mask), "test")
    assert not len(example(nothing, (240, 240), rng, Variation(sized=1.0)).boxes_xyxy)


def test_pictures_that_are_not_degraded_stay_sharp() -> None:
    image = np.random.default_rng(4).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    frame = CachedFrame(image, np.zeros((96, 96), np.uint8), "test")

    def blurriest(degraded: float) -> float:
        rng, variation = np.random.default_rng(6), Variation(zooms=(1.0, 1.0), degraded=degraded)
        pictures = [example(frame, (96, 96), rng, variation).image for _ in range(60)]
        return min(float(cv2.Laplacian(picture[40:56, 40:56], cv2.CV_32F).std()) for picture in pictures)

    assert blurriest(0.0) > 4 * blurriest(1.0)


def test_the_closing_epochs_have_no_mosaics() -> None:
    """A frame has one polyp, so more of them in a picture are a mosaic's."""
    frames = [_coloured(colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
    stream = BatchStream(
        FramePools(frames, [], []),
        mixture=Mixture(normal_crops=0.0, negatives=0.0, synthetic=0.0, mosaics=0.9),
        input_wh=(96, 96),
        batch_size=8,
        steps_per_epoch=3,
        first_epoch=0,
        epochs=3,
        seed=1,
        mean=127.0,
        std=128.0,
        variation=Variation(),
        closing_epochs=2,
    )
    most = [int(batch.present.sum(1).max()) for batch in stream]
    assert min(most[:3]) > 1 and max(most[3:]) == 1


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def test_frames_made_much_smaller_leave_no_pixel_out() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::4] = 200  # a quarter of the lines, so 50 in the mean
    plain = np.array([[0.125, 0, 0], [0, 0.125, 0]])
    found = _warped(stripes, plain, (32, 32))[2:-2, 2:-2]
    assert abs(float(found.mean()) - 50) < 2 and found.std() < 5
    turned = np.array([[0.0, -0.2, 50], [0.2, 0, 0]])
    spot = np.zeros((256, 256, 3), np.uint8)
    spot[100:110, 40:50] = 255
    ys, xs = np.nonzero(_warped(spot, turned, (64, 64))[..., 0] > 100)
    assert abs(xs.mean() - (50 - 0.2 * 104.5)) < 0.6 and abs(ys.mean() - 0.2 * 44.5) < 0.6


def test_normal_crops_show_no_polyp() -> None:
    image = np.full((100, 100, 3), 120, np.uint8)
    image[40:60, 40:60] = (0, 255, 0)  # the polyp, in a colour of its own
    mask = np.zeros((100, 100), np.uint8)
    mask[40:60, 40:60] = 1
    rng = np.random.default_rng(0)
    frame = CachedFrame(image, mask, "test")
    crops = [crop for _ in range(30) if (crop := normal_crop(frame, (64, 64), rng, Variation())) is not None]
    assert crops
    for crop in crops:
        assert not len(crop.boxes_xyxy) and not crop.mask.any()
        green = crop.image.astype(int)
        assert not ((green[..., 1] > 200) & (green[..., 0] < 60) & (green[..., 2] < 60)).any()


def test_groups_of_neighbours_count_less_than_their_frames() -> None:
    """A group of 64 frames is drawn 8 times as often as a lonely frame of the same set, not 64 times."""
    plain = np.zeros((8, 8, 3), np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    crowd = [CachedFrame(plain, mask, "one", "crowd")] * 64
    lonely = [CachedFrame(plain, mask, "one", str(number)) for number in range(4)]
    other = [CachedFrame(plain, mask, "two", str(number)) for number in range(17)]
    chances = np.diff(_even_shares([*crowd, *lonely, *other]), prepend=0.0)
    one = chances[:68].sum()
    assert chances[:64].sum() / one == pytest.approx(8 / 12)
    assert chances[64] / one == pytest.approx(1 / 12)
    assert one / chances[68:].sum() == pytest.approx((68 / 17) ** 0.5)


def test_what_a_position_box_hides_is_no_polyp() -> None:
    image = np.full((96, 128, 3), (60, 80, 160), np.uint8)
    mask = np.ones((96, 128), np.uint8)
    given = image.copy()
    for seed in range(20):
        boxed, seen = _position_box(image, mask, np.random.default_rng(seed))
        assert (image == given).all() and mask.all()
        hidden = (boxed != image).any(axis=2)
        assert 0.03 < hidden.mean() < 0.15
        assert not seen[hidden].any() and 0.85 < seen.mean() < 0.97


def _tinted(tint: tuple[int, int, int], *, seed: int) -> CachedFrame:
    """A frame of noise around a colour, its left third black."""
    noise = np.random.default_rng(seed).normal(0, 12, (60, 90, 1))
    image = np.clip(np.array(tint) + noise, 0, 255).astype(np.uint8)
    image[:, :30] = 0
    return CachedFrame(image, np.zeros((60, 90), np.uint8), "test")


def test_colours_are_exchanged_where_there_is_light() -> None:
    red, brown = _tinted((60, 70, 180), seed=1), _tinted((50, 110, 150), seed=2)
    moved = in_colours_of(red, brown)
    assert (moved.image[:, :30] == 0).all() and moved.mask is red.mask
    np.testing.assert_allclose(moved.image[:, 30:].mean((0, 1)), brown.image[:, 30:].mean((0, 1)), atol=4)
    half = in_colours_of(red, brown, strength=0.5).image[:, 30:].mean((0, 1))
    between = (red.image[:, 30:].mean((0, 1)) + brown.image[:, 30:].mean((0, 1))) / 2
    np.testing.assert_allclose(half, between, atol=8)
    # Shapes stay: light and dark follow each other as before.
    pattern = np.corrcoef(moved.image[:, 30:, 1].ravel(), red.image[:, 30:, 1].ravel())[0, 1]
    assert pattern > 0.9
    dark = CachedFrame(np.zeros_like(red.image), red.mask, "test")
    assert in_colours_of(dark, red) is dark and in_colours_of(red, dark) is red
    np.testing.assert_allclose(in_colours_of(red, brown, strength=0.0).image, red.image, atol=6)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_shares_of_a_variation(share: float) -> None:
    with pytest.raises(InputError, match=f"sized must be within 0 to 1. Received: {share}"):
        Variation(sized=share)


@pytest.mark.parametrize("name", ["colour_exchange", "style_mixing"])
@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_shares_of_exchanged_colours_and_mixed_styles(name: str, share: float) -> None:
    given: dict[str, Any] = {name: share}
    with pytest.raises(InputError, match=f"{name} must be within 0 to 1. Received: {share}"):
        FitSettings(**given)


@pytest.mark.slow
def test_training_goes_on_where_it_stopped_and_ships_a_bundle(tmp_path: Path, dataset: Path) -> None:
    recipe = DenseRecipe(data=(dataset,), folder=tmp_path / "run", name="small", synthetic=2, fit=FIT)
    train_dense(recipe)
    with (tmp_path / "run" / "epochs.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1"]
    longer = replace(recipe, fit=replace(FIT, epochs=2), resume=True)
    checkpoint = train_dense(longer)
    with (tmp_path / "run" / "epochs.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1", "2"]
    _, record = load_network(checkpoint)
    assert record["settings"]["input_wh"] == (64, 64)
    plan = CalibrationPlan(Goal(value=0.01), optional=True)
    bundle = bundle_checkpoint(longer, checkpoint, plan=plan, rehearse=False)
    assert load_bundle(bundle.folder) == bundle
    card = (bundle.folder / "README.md").read_text()
    assert "not a medical" in card
    assert record["mixed_in"] == {"rendered": 2, "transplanted": 0, "erased": 0}
    assert "| rendered colonoscopy | 2 | |" in card and "painted over" not in card
    facts = json.loads((bundle.folder / "model.json").read_text())
    assert facts["training"]["data"] == {"rendered": {"with_polyp": 4}}
    assert facts["metrics"]["validation"]["frames"] == 4


@pytest.mark.slow
def test_mean_of_weights_ships_as_one_detector_that_can_be_trained_on(tmp_path: Path, dataset: Path) -> None:
    recipe = DenseRecipe((dataset,), tmp_path / "first", synthetic=2, cache=tmp_path / "cache", fit=FIT)
    runs = [recipe, replace(recipe, folder=tmp_path / "second", fit=replace(FIT, input_wh=(96, 64), rate=3e-3))]
    first, second = [train_dense(run) for run in runs]
    joined = JoinRecipe((first, second), (dataset,), tmp_path / "mean", mean=Mean.WEIGHTS, input_wh=(64, 64))
    bundle = bundle_joined(joined, plan=CalibrationPlan(Goal(value=0.01), optional=True), rehearse=False)
    card = (bundle.folder / "README.md").read_text()
    assert "mean of the weights of 2 runs" in card and "| rendered colonoscopy | 2 | |" in card
    one, other, mean = [load_network(path)[0] for path in (first, second, tmp_path / "mean" / "mean.pt")]
    torch.testing.assert_close(mean.box.weight, (one.box.weight + other.box.weight) / 2)
    assert not torch.equal(one.box.weight, other.box.weight)
    again = network_of_bundle(bundle, torch.randn(2, 3, 64, 64))  # not so of the mean of answers
    torch.testing.assert_close(again.box.weight, mean.box.weight, rtol=1e-3, atol=1e-3)


def test_checkpoint_of_another_network(tmp_path: Path, dataset: Path) -> None:
    recipe = DenseRecipe(data=(dataset,), folder=tmp_path / "run", synthetic=1, transplanted=0, fit=FIT)
    train_dense(recipe)
    other = replace(recipe, resume=True, fit=replace(FIT, network=DenseSettings(channels=24), epochs=2))
    with pytest.raises(InputError, match="is of another network or run"):
        train_dense(other)
    with pytest.raises(InputError, match="does not exist"):
        load_network(tmp_path / "gone.pt")


@pytest.mark.parametrize("stride", [1, 2])
def test_fast_depthwise_gradients_are_the_plain_ones(stride: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(8, 5, stride=stride, before=2, after=2).train()
    fast_input = torch.randn(2, 8, 12, 10).to(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        fast = layer(fast_input)
    torch.autograd.backward((fast.float() ** 2).sum())
    assert fast_input.grad is not None and layer.weight.grad is not None
    found = (fast_input.grad.clone(), layer.weight.grad.clone())
    layer.weight.grad = None
    plain_input = fast_input.detach().clone().requires_grad_()
    plain = torch.nn.functional.conv2d(plain_input, layer.weight, None, stride, 2, 1, 8)
    torch.autograd.backward((plain**2).sum())
    for one, other in zip(found, (plain_input.grad, layer.weight.grad), strict=True):
        assert other is not None
        assert float((one - other).abs().max()) < 0.02 * float(other.abs().max())
    assert torch.equal(layer.eval()(plain_input), plain)
