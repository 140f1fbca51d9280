"""Runtimes: what executes a bundle's network, one interface for all, chosen by name or by what works here.

A runtime is registered by `@register_runtime` in a file of its own, imported only when it is tried, so that this
module needs none of the libraries behind it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from engine.bundle import ModelBundle
from engine.errors import InputError, RuntimeUnavailableError
from engine.precision_choice import check_precision
from engine.sliding import Boxes

log = logging.getLogger(__name__)

AUTO = "auto"
#: Runtimes in the order in which `auto` tries them, fastest first, and the file of each.
_FILES = {
    "tensorrt": "engine.runtime_tensorrt",
    "openvino": "engine.runtime_openvino",
    "onnxruntime": "engine.runtime_onnxruntime",
}
_REMEDIES = {
    "tensorrt": "see docs/tensorrt.md",
    "openvino": "pip install openvino",
    "onnxruntime": "pip install onnxruntime",
}

Tensors = Mapping[str, npt.NDArray[np.float32]]


class Runtime(AbstractContextManager["Runtime"], Protocol):
    """A network ready to run. `run` may be called from several threads at once."""

    @property
    def description(self) -> RuntimeDescription:
        """What runs, where and how precisely."""

    def run(self, pictures: npt.NDArray[np.float32]) -> Tensors:
        """Runs a batch.

        Args:
            pictures: float32 (batch, 3, height, width), normalised RGB.

        Returns:
            Each output by its name, float32, first dimension the batch.

        Raises:
            RunError: the library failed.
        """

    def close(self) -> None:
        """Releases what the runtime holds; `run` must not be called after."""


@dataclass(frozen=True, slots=True)
class FrameInput:
    """One frame for a runtime that prepares frames itself.

    Attributes:
        image: BGR uint8 (height, width, 3).
        box_xyxy: field of view in pixels of the frame, right and bottom exclusive, not empty.
        mask: bool (height, width) of the frame; what is False becomes black. None hides nothing.
    """

    image: npt.NDArray[np.uint8]
    box_xyxy: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_] | None = None


@runtime_checkable
class FrameRuntime(Protocol):
    """What takes whole frames: it prepares them as `engine.preprocess` and `engine.sliding` do."""

    def run_frames(self, frames: Sequence[FrameInput]) -> Tensors:
        """Runs a batch of frames, each laid into the network's input; otherwise as `Runtime.run`."""

    def run_windows(self, frames: Sequence[FrameInput], windows: Sequence[Boxes]) -> Tensors:
        """Runs the windows of some frames as one batch; otherwise as `Runtime.run`.

        Args:
            frames: at least one.
            windows: of each frame, int32 (windows, 4), squares inside its field of view; at least one in all.

        Returns:
            Each output by its name, float32, first dimension all windows, by frame.
        """


@dataclass(frozen=True, slots=True)
class RuntimeDescription:
    """What executes a bundle.

    Attributes:
        name: of the runtime, as on the command line.
        library: name and version of the library.
        device: where it runs.
        precision: in which most of the network is computed ("fp32", "int8", ...).
        streams: batches that run at once at full speed.
        reason: why it and its precision were chosen.
        failed_before: runtimes that failed in this run before it took over, each with its fault.
    """

    name: str
    library: str
    device: str
    precision: str
    streams: int
    reason: str = ""
    failed_before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How a runtime is to be opened.

    Attributes:
        streams: batches that will be run at once; 1 gives the shortest time for one batch, more give the most frames a
            second.
        threads: processor threads in all; 0 takes every core.
        precision: "fp32", "bf16", "fp16", "int8"; or "auto" for the fastest that passed its gate.
    """

    streams: int = 1
    threads: int = 0
    precision: str = AUTO


Opener = Callable[[ModelBundle, RuntimeSettings, str], Runtime]
_openers: dict[str, Opener] = {}
_checks: dict[str, Callable[[], str | None]] = {}


def register_runtime(name: str, *, problem: Callable[[], str | None] | None = None) -> Callable[[Opener], Opener]:
    """Makes a function or class the opener of the runtime `name`; it gets bundle, settings and reason.

    Args:
        name: of the runtime.
        problem: says why it does not work on this machine, with the remedy, where importing its file does not tell.
    """

    def keep(opener: Opener) -> Opener:
        _openers[name] = opener
        if problem is not None:
            _checks[name] = problem
        return opener

    return keep


def runtime_names() -> tuple[str, ...]:
    """Names that `open_runtime` takes besides `auto`, in the order of preference."""
    return tuple(_FILES)


def runtime_problem(name: str) -> str | None:
    """Why a runtime does not work on this machine, with the remedy; None when its library can be used."""
    try:
        import_module(_FILES[name])
        check = _checks.get(name)
        return check() if check is not None else None
    except Exception as error:  # a broken library can raise anything when it is imported
        return f"{error} ({_REMEDIES[name]})"


def open_runtime(bundle: ModelBundle, name: str = AUTO, settings: RuntimeSettings | None = None) -> Runtime:
    """Opens a bundle with the runtime asked for, or with the first that works.

    With `auto` the next one takes over when a runtime fails in the middle of a run; one that was asked for does not.

    Raises:
        InputError: unknown name of a runtime or precision.
        RuntimeUnavailableError: the runtime, or with `auto` every runtime, does not work here.
    """
    settings = settings or RuntimeSettings()
    check_precision(settings.precision)
    if name != AUTO and name not in _FILES:
        raise InputError(f"unknown runtime {name!r}: choose one of {', '.join((AUTO, *_FILES))}")
    if name != AUTO:
        return next(_working(bundle, (name,), settings, reason="asked for"))
    from engine.fallback import FallbackRuntime  # which itself needs this module

    return FallbackRuntime(bundle, _working(bundle, tuple(_FILES), settings, reason="first that works"))


def _working(bundle: ModelBundle, names: Sequence[str], settings: RuntimeSettings, *, reason: str) -> Iterator[Runtime]:
    """Opens those that work, one after another, each when it is asked for; raises when none does."""
    problems: list[str] = []
    works = False
    for name in names:
        problem = runtime_problem(name)
        if problem is None:
            try:
                runtime = _openers[name](bundle, settings, "; ".join([reason, *problems]))
            except RuntimeUnavailableError as error:
                problem = str(error)
            else:
                works = True
                yield runtime
                problems.append(f"{name} failed in this run")
                continue
        log.info("runtime %s does not work here: %s", name, problem)
        problems.append(f"{name} not available: {problem}")
    if not works:
        raise RuntimeUnavailableError("; ".join(problems))
