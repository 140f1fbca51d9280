"""Over the registry: every window classifier runs forward and back, in pieces as whole, and becomes a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from engine.bundle import Strategy, Task, load_bundle
from engine.errors import InputError
from engine.runtimes.opening import open_runtime
from engine.windows.sliding import SlidingGrid
from train.export.windows import bundle_windows
from train.networks.efficientnet_lite import SIZES, EfficientNetLite
from train.networks.registry import build_network, network_names, register_network
from train.networks.window_network import WindowNetwork, WindowSpec, load_weights

NAMES = network_names()
_BLOCKS = {
    "cnn1": 1, "cnn2": 2, "cnn3": 3, "vgg16": 5, "vgg16_conv4": 4, "resnet18": 4, "mobilenet_v2": 5,
    **{f"efficientnet_{size}{kind}": 3 for size in SIZES for kind in ("", "_map")},
}  # fmt: skip
#: Names that torchvision's files hold for these networks.
_PUBLISHED: dict[str, dict[str, tuple[int, ...]]] = {
    "vgg16": {"features.0.weight": (64, 3, 3, 3), "features.28.weight": (512, 512, 3, 3), "features.28.bias": (512,)},
    "resnet18": {"conv1.weight": (64, 3, 7, 7), "layer3.0.downsample.0.weight": (256, 128, 1, 1)},
    "mobilenet_v2": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.17.conv.2.weight": (320, 960, 1, 1),
        "features.18.0.weight": (1280, 320, 1, 1),
    },
    "efficientnet_lite0": {"_conv_stem.weight": (32, 3, 3, 3), "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3)},
}


def test_all_are_known() -> None:
    assert set(NAMES) == set(_BLOCKS)


@pytest.mark.parametrize("name", NAMES)
def test_forward_in_pieces_and_gradients(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, WindowSpec(3, 64)).eval()
    pictures = torch.rand(2, 3, 64, 64)
    logits = network(pictures)
    assert logits.shape == (2, 3) and bool(torch.isfinite(logits).all())
    assert len(network.blocks()) == _BLOCKS[name]
    for blocks in range(len(network.blocks()) + 1):
        again = network.classify(network.extract(pictures, blocks), blocks)
        assert torch.allclose(again, logits, atol=1e-4)
    logits.sum().backward()
    # Blocks and head hold every weight once: what is frozen or trained leaves none out.
    parts = [parameter for part in (*network.blocks(), network.head()) for parameter in part.parameters()]
    assert {id(parameter) for parameter in parts} == {id(parameter) for parameter in network.parameters()}
    assert len(parts) == len(list(network.parameters()))
    assert all(parameter.grad is not None for parameter in parts)


@pytest.mark.parametrize("name", sorted(_PUBLISHED))
def test_names_of_published_files(name: str) -> None:
    network = build_network(name, WindowSpec(2, 64))
    own = {network.file_key(key): tuple(value.shape) for key, value in network.state_dict().items()}
    for key, shape in _PUBLISHED[name].items():
        assert own[key] == shape


#: CI exports one of each kind of block: cnn1 (as VGG), inverted residuals (as MobileNet), residuals.
_EXPORTED = ("efficientnet_lite0_map", "resnet18")


@pytest.mark.parametrize(
    "name",
    [
        name
        if name == "cnn1"
        else pytest.param(name, marks=pytest.mark.slow if name in _EXPORTED else pytest.mark.long)
        for name in NAMES
    ],
)
def test_export_and_bundle(tmp_path: Path, name: str) -> None:
    network = build_network(name, WindowSpec(2, 64)).eval()
    bundle = bundle_windows(
        network,
        tmp_path,
        name=name,
        input_px=64,
        classes=("polyp", "non_polyp"),
        sliding=SlidingGrid((0.5,), 0.5),
        threshold=0.6,
        card="",
        facts={"licence": "test"},
    )
    assert load_bundle(tmp_path) == bundle
    assert (bundle.task, bundle.strategy, bundle.input_wh) == (Task.DETECT, Strategy.WINDOWS, (64, 64))
    assert bundle.sliding == SlidingGrid((0.5,), 0.5) and bundle.background == "non_polyp" and bundle.grid is None
    pictures = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        expected = network(pictures).numpy()
    with open_runtime(bundle) as runtime:
        assert np.abs(runtime.run(pictures.numpy())["logits"] - expected).max() < 5e-3


def test_a_short_trunk_starts_from_the_first_blocks_of_each_stage(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole, short = EfficientNetLite("lite0"), EfficientNetLite("lite0_short")
    torch.save(whole.state_dict(), tmp_path / "lite0.pth")
    short.load_imagenet(tmp_path / "lite0.pth")
    assert len(short._blocks) == 10 and short.channels == whole.channels
    # Stages of Lite0 begin at blocks 0, 1, 3, 5, 8, 11, 15.
    for own, number in enumerate((0, 1, 3, 5, 6, 8, 9, 11, 12, 15)):
        for one, other in zip(short._blocks[own].parameters(), whole._blocks[number].parameters(), strict=True):
            assert torch.equal(one, other)
    with pytest.raises(InputError, match="unknown trunk 'lite9'; choose one of lite0, lite0_short, lite1, lite2"):
        EfficientNetLite("lite9")


def test_classes_without_background_classify_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.export.bundling.export_onnx", lambda _, path, **__: path.write_bytes(b"a network"))
    bundle = bundle_windows(
        build_network("cnn1", WindowSpec(2, 64)),
        tmp_path,
        name="kinds",
        input_px=64,
        classes=("neoplastic", "other"),
        sliding=SlidingGrid(),
        threshold=0.5,
        card="",
        facts={},
    )
    assert bundle.task is Task.CLASSIFY and bundle.sliding is None and bundle.background is None


def test_part_of_the_weights(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = build_network("vgg16", WindowSpec(2, 64))
    state = {key: value.half() for key, value in whole.state_dict().items() if key.startswith("features")}
    state["classifier.0.weight"] = torch.zeros(10, 10)  # of another classifier
    partial = {key: value for key, value in state.items() if int(key.split(".")[1]) < 24 or "classifier" in key}
    torch.save(partial, tmp_path / "part.pth")
    network = build_network("vgg16", WindowSpec(2, 64))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = load_weights(network, tmp_path / "part.pth")
    assert found.random_blocks == (5,) and found.loaded == 20 and found.unused == ("classifier.0.weight",)
    assert "blocks 5 and the classifier start random" in found.text()
    after = network.state_dict()
    assert torch.equal(after["features.21.weight"], state["features.21.weight"].float())
    for key in ("features.24.weight", "classifier.0.weight"):
        assert torch.equal(after[key], before[key])
    torch.save(state, tmp_path / "whole.pth")
    assert load_weights(network, tmp_path / "whole.pth").random_blocks == ()


@pytest.mark.parametrize("content", ["other", "list", "garbage", "gone"])
def test_files_that_are_no_weights(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weights.pth"
    if content == "other":
        torch.save(build_network("cnn2", WindowSpec()).state_dict(), path)
    elif content == "list":
        torch.save([torch.zeros(2)], path)
    elif content == "garbage":
        path.write_bytes(b"no weights at all")
    messages = {"other": "no weight of this network", "list": "no dictionary", "garbage": "cannot be read"}
    with pytest.raises(InputError, match=messages.get(content, "does not exist")):
        load_weights(build_network("resnet18", WindowSpec()), path)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match="unknown network 'vgg99': choose one of cnn1, .*vgg16.*timm:NAME"):
        build_network("vgg99", WindowSpec())
    with pytest.raises(ValueError, match="registered already"):
        register_network("cnn1")(lambda spec: build_network("cnn2", spec))


@pytest.mark.parametrize(("classes", "side", "message"), [(1, 64, "2 classes"), (2, 16, "32 pixels")])
def test_bad_specs(classes: int, side: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WindowSpec(classes, side)


class _Trunk(torch.nn.Conv2d):
    num_features = 8
    pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # noqa: RUF012


def test_timm_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def create_model(name: str, **options: object) -> _Trunk:
        if name != "small":
            raise RuntimeError(f"Unknown model ({name})")
        asked.append(options)
        return _Trunk(3, 8, 3)

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    network = build_network("timm:small", WindowSpec(2, 32))
    assert isinstance(network, WindowNetwork) and network(torch.rand(2, 3, 32, 32)).shape == (2, 2)
    assert asked == [{"pretrained": False, "num_classes": 0, "global_pool": ""}]
    assert network.file_key("trunk.weight") == "weight"
    with pytest.raises(InputError, match="timm cannot make 'large'"):
        build_network("timm:large", WindowSpec())
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="pip install timm"):
        build_network("timm:small", WindowSpec())
