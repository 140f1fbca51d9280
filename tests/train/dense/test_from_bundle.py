"""The network of a bundle can be trained on: it answers as the bundle does, and learns as a checkpoint would."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from engine.bundle import load_bundle
from engine.errors import InputError
from engine.runtime import RuntimeSettings
from engine.runtimes.opening import open_runtime
from engine.windows.preprocess import normalise
from tests.kit.conv_bundle import make_conv_bundle
from tests.kit.rendered import rendered_frames
from train.dense.batches import FramePools, Mixture
from train.dense.checkpoint import load_network
from train.dense.fit import FitSettings, fit
from train.dense.from_bundle import _normalised, network_of_bundle
from train.export.dense import bundle_dense
from train.networks.dense import DenseDetector, DenseSettings
from train.run.checkpoints import save_checkpoint
from train.run.settings import plain


@cache
def _pictures(count: int, *, seed: int) -> torch.Tensor:
    """Rendered frames, as the shipped network takes them. Not to be written to."""
    frames = rendered_frames(count, seed=seed)
    images = [np.ascontiguousarray(frame.image[:256, :288]) for frame in frames]
    padded = [np.pad(one, ((0, 256 - one.shape[0]), (0, 288 - one.shape[1]), (0, 0))) for one in images]
    return torch.from_numpy(normalise(padded, 127.0, 128.0))


def test_the_shipped_network_answers_as_its_bundle() -> None:
    bundle = load_bundle("polyp")
    network = network_of_bundle(bundle, _pictures(8, seed=1)).eval()
    seen = _pictures(2, seed=2)
    with torch.no_grad():
        found = network(seen)
        logits = network.combined(found)
    with open_runtime(bundle, "onnxruntime", RuntimeSettings(precision="fp32")) as runtime:
        wanted = runtime.run(seen.numpy())
    np.testing.assert_allclose(logits.numpy(), wanted["logits"], atol=2e-3)
    np.testing.assert_allclose(found.distances.numpy(), wanted["distances"], atol=2e-3, rtol=1e-3)
    assert wanted["logits"].std() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("evidence", [0.0, pytest.param(0.5, marks=pytest.mark.long)])
def test_a_mask_that_judges_comes_with_the_bundle(tmp_path: Path, evidence: float) -> None:
    settings = DenseSettings(trunk="lite0_short", channels=16, head_layers=1, mask_evidence=evidence)
    torch.manual_seed(3)
    made = DenseDetector(settings).eval()
    with torch.no_grad():
        made.mask.weight.normal_(0, 3)
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # no two alike, as after training
                module.weight.uniform_(0.8, 1.2)
                module.bias.normal_(0, 0.1)
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    facts = {"licence": "Apache-2.0", "training": {"settings": {"network": plain(settings)}}}
    bundle = bundle_dense(made, tmp_path, name="new", input_wh=(96, 64), threshold=0.5, card="", facts=facts)
    again = network_of_bundle(bundle, _pictures(4, seed=1)).eval()
    assert again.settings == settings
    seen = _pictures(2, seed=2)
    with torch.no_grad():
        found, wanted = again(seen), made(seen)
        np.testing.assert_allclose(again.combined(found).numpy(), made.combined(wanted).numpy(), atol=2e-3)
        assert torch.allclose(found.mask, wanted.mask, atol=2e-3) == bool(evidence)


@pytest.mark.slow
def test_normalisations_have_the_statistics_of_the_pictures() -> None:
    """In training, batch statistics take their place: on like pictures little may change by that."""
    pictures = _pictures(12, seed=1)
    network = network_of_bundle(load_bundle("polyp"), pictures)
    found: dict[torch.nn.Module, torch.Tensor] = {}
    folded = [
        (convolution, normalisation)
        for _, convolution, normalisation in _normalised(network)
        if normalisation.running_var is not None
        and torch.allclose(normalisation.weight, (normalisation.running_var + normalisation.eps).sqrt())
    ]
    hooks = [
        convolution.register_forward_hook(lambda module, _, output: found.update({module: output.mean((0, 2, 3))}))
        for convolution, _ in folded
    ]
    with torch.no_grad():
        still = network.eval()(pictures).logits
        for hook in hooks:
            hook.remove()
        assert len(folded) > 30
        for convolution, normalisation in folded:
            torch.testing.assert_close(normalisation.running_mean, found[convolution], atol=2e-3, rtol=2e-3)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.0
        moving = network.train()(pictures).logits
    shown = still > -4  # what scores at all
    assert shown.any()
    # 0.92 with the weights that shipped before, 0.85 with those that ship now: it is theirs as much as the way's.
    assert np.corrcoef(still[shown], moving[shown])[0, 1] > 0.8


def test_training_goes_on_from_a_model(tmp_path: Path) -> None:
    frames = rendered_frames(6)
    pools = FramePools([one for one in frames if one.positive], frames[:1], frames[:1])
    settings = FitSettings(
        mixture=Mixture(normal_crops=0.1, negatives=0.1, synthetic=0.1),
        input_wh=(96, 96),
        epochs=1,
        steps_per_epoch=1,
        batch_size=2,
    )
    best = fit(settings, pools, frames, tmp_path / "run", start_from=Path("polyp"))
    network, _ = load_network(best)
    assert network.settings == DenseSettings()
    with pytest.raises(InputError, match="'polyp' is of another network"):
        other = FitSettings(network=DenseSettings(channels=16), input_wh=(64, 64), batch_size=2)
        fit(other, pools, frames, tmp_path / "other", start_from=Path("polyp"))
    with pytest.raises(InputError, match="unknown model 'polpy'"):
        fit(settings, pools, frames, tmp_path / "none", start_from=Path("polpy"))


def test_bundles_of_other_networks_are_refused(tmp_path: Path) -> None:
    pictures = torch.zeros(1, 3, 64, 64)
    with pytest.raises(InputError, match="'spots' does not say what its network is made of"):
        network_of_bundle(make_conv_bundle(tmp_path), pictures)
    with pytest.raises(InputError, match="'lesion' does not say what its network is made of"):
        network_of_bundle(load_bundle("lesion"), pictures)


def test_checkpoints_of_another_version_are_refused(tmp_path: Path) -> None:
    weights = DenseDetector().state_dict()
    state = {
        "epoch": 1,
        "average": {key: value for key, value in weights.items() if not key.startswith("mask_layer.")},
        "settings": {"network": {"trunk": "lite0"}},
        "figures": {},
    }
    save_checkpoint(state, tmp_path / "best.pt")
    with pytest.raises(InputError, match=r"best\.pt' is of another version's network; train it anew"):
        load_network(tmp_path / "best.pt")
