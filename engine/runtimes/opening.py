"""Opens a bundle with the runtime that was asked for, or with the first that works here.

Each runtime stands in a file of its own, imported only when it is tried, so that this module needs none of the
libraries behind them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from importlib import import_module

from engine.bundle import ModelBundle
from engine.errors import InputError, RuntimeUnavailableError
from engine.runtime import AUTO, Runtime, RuntimeSettings
from engine.runtimes.fallback import FallbackRuntime
from engine.runtimes.precision_choice import check_precision
from engine.runtimes.registry import CHECKS, OPENERS

log = logging.getLogger(__name__)

#: Runtimes in the order in which `auto` tries them, fastest first, and the file of each.
_FILES = {
    "tensorrt": "engine.runtimes.tensorrt",
    "openvino": "engine.runtimes.openvino",
    "onnxruntime": "engine.runtimes.onnxruntime",
}
_REMEDIES = {
    "tensorrt": "see docs/tensorrt.md",
    "openvino": "pip install openvino",
    "onnxruntime": "pip install onnxruntime",
}


def runtime_names() -> tuple[str, ...]:
    """Names that `open_runtime` takes besides `auto`, in the order of preference."""
    return tuple(_FILES)


def runtime_problem(name: str) -> str | None:
    """Why a runtime does not work on this machine, with the remedy; None when its library can be used."""
    try:
        import_module(_FILES[name])
        check = CHECKS.get(name)
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
    return FallbackRuntime(bundle, _working(bundle, tuple(_FILES), settings, reason="first that works"))


def _working(bundle: ModelBundle, names: Sequence[str], settings: RuntimeSettings, *, reason: str) -> Iterator[Runtime]:
    """Opens those that work, one after another, each when it is asked for; raises when none does."""
    problems: list[str] = []
    works = False
    for name in names:
        problem = runtime_problem(name)
        if problem is None:
            try:
                runtime = OPENERS[name](bundle, settings, "; ".join([reason, *problems]))
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
