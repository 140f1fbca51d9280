"""Several detectors, and views of a picture, as one network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from calibration.shipping.joining import JoinRecipe, bundle_joined
from engine.errors import InputError
from engine.runtime import RuntimeSettings
from engine.runtimes.opening import open_runtime
from train.export.dense import bundle_dense
from train.networks.dense import DenseDetector, DenseSettings
from train.networks.ensemble import DenseEnsemble, Mirror
from train.run.checkpoints import save_checkpoint

SIZE_WH = (96, 64)


def _member(seed: int, trunk: str = "lite0_short") -> DenseDetector:
    torch.manual_seed(seed)
    network = DenseDetector(DenseSettings(trunk=trunk, channels=16, head_layers=1)).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # takes the statistics of what it sees next, without which nothing gets through
    network(_pictures(4))
    return network.eval()


def _pictures(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, SIZE_WH[1], SIZE_WH[0], generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def _own(network: DenseDetector, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    outputs = network(pictures)
    return network.combined(outputs), outputs.distances


def test_one_detector_without_mirror_images_is_itself() -> None:
    network, pictures = _member(1), _pictures()
    with torch.no_grad():
        found = DenseEnsemble([network])(pictures)
    for one, other in zip(found, _own(network, pictures), strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_scores_are_averaged_as_logits_and_boxes_by_score() -> None:
    first, second, pictures = _member(1), _member(2, "lite0"), _pictures()
    logits, distances = DenseEnsemble([first, second])(pictures)
    (one, sides), (other, other_sides) = _own(first, pictures), _own(second, pictures)
    torch.testing.assert_close(logits, (one + other) / 2)
    share = (torch.sigmoid(one) / (torch.sigmoid(one) + torch.sigmoid(other)))[..., None]
    torch.testing.assert_close(distances, share * sides + (1 - share) * other_sides, rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("mirror", "axes"), [(Mirror.SIDEWAYS, [3]), (Mirror.ALL, [2]), (Mirror.ALL, [2, 3])])
def test_a_mirrored_picture_gets_the_mirrored_answer(mirror: Mirror, axes: list[int]) -> None:
    """What is asked of the picture and its mirror images cannot depend on which of them is shown."""
    network = DenseEnsemble([_member(3)], mirror)
    pictures = _pictures(1)
    logits, distances = network(pictures)
    turned, turned_distances = network(pictures.flip(axes))
    first = 0
    for stride in (8, 16, 32):
        rows, columns = SIZE_WH[1] // stride, SIZE_WH[0] // stride
        part = slice(first, first + rows * columns)
        first += rows * columns
        back = [axis - 1 for axis in axes]
        level = turned[:, part].reshape(1, rows, columns).flip(back)
        torch.testing.assert_close(level, logits[:, part].reshape(1, rows, columns), rtol=1e-4, atol=1e-4)
        sides = turned_distances[:, part].reshape(1, rows, columns, 4).flip(back)
        order = [2 if 3 in axes else 0, 3 if 2 in axes else 1, 0 if 3 in axes else 2, 1 if 2 in axes else 3]
        expected = distances[:, part].reshape(1, rows, columns, 4)
        torch.testing.assert_close(sides[..., order], expected, rtol=1e-3, atol=1e-3)
    plain, _ = DenseEnsemble([_member(3)])(pictures)
    assert not torch.allclose(plain, logits, atol=1e-3)


def test_ensemble_of_nothing() -> None:
    with pytest.raises(InputError, match="name at least one"):
        DenseEnsemble([])


@pytest.mark.slow
def test_joined_model_is_a_bundle_that_runs(tmp_path: Path) -> None:
    network = DenseEnsemble([_member(seed) for seed in (1, 2)], Mirror.SIDEWAYS)
    bundle = bundle_dense(network, tmp_path, name="both", input_wh=SIZE_WH, threshold=0.01, card="", facts={})
    pictures = _pictures(3)
    with torch.no_grad():
        logits, distances = network(pictures)
    with open_runtime(bundle, "openvino", RuntimeSettings(precision="fp32")) as runtime:
        found = runtime.run(pictures.numpy())
    np.testing.assert_allclose(found["logits"], logits.numpy(), atol=5e-3)
    np.testing.assert_allclose(found["distances"], distances.numpy(), atol=5e-3, rtol=5e-3)


def test_detectors_of_different_sizes_are_not_joined(tmp_path: Path) -> None:
    for name, size in (("a", (96, 64)), ("b", (64, 64))):
        network = _member(1)
        settings = {"input_wh": size, "network": {"trunk": "lite0_short", "channels": 16, "head_layers": 1}}
        state = {"epoch": 1, "settings": settings, "figures": {}, "average": network.state_dict()}
        save_checkpoint(state, tmp_path / f"{name}.pt")
    recipe = JoinRecipe((tmp_path / "a.pt", tmp_path / "b.pt"), data=(tmp_path,), folder=tmp_path / "joined")
    with pytest.raises(InputError, match="must take one input size; these take 64x64, 96x64"):
        bundle_joined(recipe)
