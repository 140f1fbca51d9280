"""Any network of the timm library as a window classifier; timm is imported only here."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from engine.errors import InputError
from train.networks.window_network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AvgMaxPool,
    WindowNetwork,
    WindowSpec,
    classifier,
)


class TimmClassifier(WindowNetwork):
    """One block: all of timm's feature maps; so it is trained whole, or frozen whole."""

    def __init__(self, name: str, spec: WindowSpec) -> None:
        try:
            timm = import_module("timm")
        except ImportError as error:
            raise InputError(f"network 'timm:{name}' needs timm ({error}): pip install timm") from error
        try:
            trunk = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
        except (RuntimeError, ValueError, TypeError) as error:
            raise InputError(f"timm cannot make {name!r} ({error}); `timm.list_models()` names those it can") from error
        settings = getattr(trunk, "pretrained_cfg", None) or {}
        super().__init__(mean=settings.get("mean", IMAGENET_MEAN), std=settings.get("std", IMAGENET_STD))
        self.trunk: nn.Module = trunk
        self.pool = AvgMaxPool()
        self.classifier = classifier(2 * int(trunk.num_features), spec.classes)

    def blocks(self) -> list[nn.Module]:
        return [self.trunk]

    def head(self) -> nn.Module:
        return nn.Sequential(self.pool, self.classifier)

    def file_key(self, key: str) -> str:
        return key.removeprefix("trunk.")
