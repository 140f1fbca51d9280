"""Window classifiers by name: `@register_network` makes one known, `build_network` makes it.

A name `timm:NAME` makes a network of the timm library, where that is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from engine.errors import InputError
from train.networks.window_network import WindowNetwork, WindowSpec

Builder = Callable[[WindowSpec], WindowNetwork]
_builders: dict[str, Builder] = {}
#: Modules that register networks when they are imported.
_MODULES = ("small_cnn", "vgg16", "lite_classifier", "mobilenet_v2", "resnet18")
_TIMM = "timm:"


def register_network(name: str) -> Callable[[Builder], Builder]:
    """Makes a function or class the builder of the network `name`."""

    def keep(builder: Builder) -> Builder:
        if name in _builders:
            raise ValueError(f"a network named {name!r} is registered already; choose another name")
        _builders[name] = builder
        return builder

    return keep


def network_names() -> tuple[str, ...]:
    """Names that `build_network` takes, besides `timm:NAME`."""
    for module in _MODULES:
        import_module(f"train.networks.{module}")
    return tuple(sorted(_builders))


def build_network(name: str, spec: WindowSpec) -> WindowNetwork:
    """Makes a network with random weights.

    Raises:
        InputError: unknown name, or timm is asked for and not installed.
    """
    known = network_names()
    if name.startswith(_TIMM):
        from train.networks.timm_classifier import TimmClassifier

        return TimmClassifier(name.removeprefix(_TIMM), spec)
    if name not in known:
        raise InputError(f"unknown network {name!r}: choose one of {', '.join(known)}, or timm:NAME")
    return _builders[name](spec)
