"""FP16 ONNX to a TensorRT engine, one code path for TensorRT 10.16, TensorRT 11 and TensorRT-RTX 1.7.

The network is always strongly typed: its precision is what the ONNX graph says, on every version. TensorRT reports most
faults by a return value and a line in its log, so every return value is looked at and the log is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.checks import require_within
from engine.errors import InputError, RuntimeUnavailableError
from engine.gpu.library import Flavour, TensorRtLibrary

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchProfile:
    """Batch sizes that an engine takes.

    Attributes:
        smallest: least pictures of a batch.
        usual: the number that the engine is tuned for: the windows of a frame, or 1 for one pass over a frame.
        largest: most pictures of a batch; more are split.
    """

    smallest: int = 1
    usual: int = 1
    largest: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.usual <= self.largest:
            sizes = (self.smallest, self.usual, self.largest)
            raise InputError(f"batch sizes must be 1 <= smallest <= usual <= largest. Received: {sizes}")


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """How an engine is built.

    Attributes:
        profile: batch sizes.
        optimisation_level: 0 (quick build) to 5 (longest search for the fastest kernels).
    """

    profile: BatchProfile = field(default_factory=BatchProfile)
    optimisation_level: int = 3

    def __post_init__(self) -> None:
        require_within("optimisation level", self.optimisation_level, 0, 5, wanted="0 to 5")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a typed network: its name, kind ("CONVOLUTION", ...), and precision.

    The precision is the type of what it gives ("HALF", ...); "INT8" of a convolution whose picture and kernel are both
    dequantised from INT8.
    """

    name: str
    kind: str
    precision: str


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """What a build gives.

    Attributes:
        plan: the engine, serialised.
        timing_cache: makes the next build quicker; empty with TensorRT-RTX, which has none.
        layers: of the network before fusion.
    """

    plan: bytes = field(repr=False)
    timing_cache: bytes = field(repr=False)
    layers: tuple[Layer, ...] = field(repr=False)


def build_engine(
    network_path: Path,
    library: TensorRtLibrary,
    settings: BuildSettings,
    *,
    input_wh: tuple[int, int],
    timing_cache: bytes = b"",
    on_progress: Callable[[str], None] | None = None,
) -> BuiltEngine:
    """Builds the engine of a network; needs no GPU with TensorRT-RTX.

    Args:
        network_path: ONNX FP16, one input (batch, 3, height, width).
        library: the TensorRT to build with.
        settings: batch sizes and optimisation level.
        input_wh: width and height of the bundle's window grid, which the network has to take.
        timing_cache: of an earlier build with this TensorRT on this GPU.
        on_progress: told the name of each phase.

    Raises:
        RuntimeUnavailableError: TensorRT refuses the network or cannot build here; an operator that it does not know
            is named.
    """
    trt = library.module
    logger = make_logger(library)
    network, keep = _parse(network_path, library, logger, input_wh)
    config = keep.builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = settings.optimisation_level
    # What stays in FP32 beside FP16 does so for its digits; TF32, the default, has no more of them than FP16.
    config.clear_flag(trt.BuilderFlag.TF32)
    _add_profile(keep.builder, config, network, settings.profile, input_wh, logger)
    if library.flavour is Flavour.TENSORRT:
        _set_timing_cache(config, timing_cache)
    if on_progress is not None:
        config.progress_monitor = _monitor(library, on_progress)
    plan = keep.builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeUnavailableError(f"{library.title} cannot build {network_path.name}: {logger.reason()}")
    cache = b""
    if library.flavour is Flavour.TENSORRT and (found := config.get_timing_cache()) is not None:
        cache = bytes(found.serialize())
    return BuiltEngine(bytes(plan), cache, _layers(network))


def inspect_network(network_path: Path, library: TensorRtLibrary, *, input_wh: tuple[int, int]) -> tuple[Layer, ...]:
    """Layers of a network as TensorRT's parser types them; nothing is built.

    Raises:
        RuntimeUnavailableError: see `build_engine`.
    """
    network, _keep = _parse(network_path, library, make_logger(library), input_wh)
    return _layers(network)


def make_logger(library: TensorRtLibrary) -> Any:
    """A TensorRT logger that writes to `logging` and keeps errors: `reason()` gives them in one line."""
    trt = library.module
    levels = {
        trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.Severity.ERROR: logging.ERROR,
        trt.ILogger.Severity.WARNING: logging.INFO,
        trt.ILogger.Severity.INFO: logging.DEBUG,
        trt.ILogger.Severity.VERBOSE: logging.NOTSET,
    }

    class KeepingLogger(trt.ILogger):  # type: ignore[name-defined, misc]  # the module is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity, logging.NOTSET)
            if level >= logging.ERROR:
                # The caller raises with this text; in the log it would stand twice.
                self.errors.append(" ".join(message.split()))
                log.info("%s: %s", library.title, message)
            elif level:
                log.log(level, "%s: %s", library.title, message)

        def reason(self) -> str:
            return self.errors[0] if self.errors else "it says no reason; see -v"

    return KeepingLogger()


@dataclass(frozen=True, slots=True)
class _Kept:
    """What has to live as long as a parsed network: it holds the weights."""

    builder: Any
    parser: Any


def _parse(path: Path, library: TensorRtLibrary, logger: Any, input_wh: tuple[int, int]) -> tuple[Any, _Kept]:
    trt = library.module
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RuntimeUnavailableError(f"network {str(path)!r} cannot be read: {error}") from error
    builder = trt.Builder(logger)
    if builder is None:
        raise RuntimeUnavailableError(f"{library.title} cannot start: {logger.reason()}")
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data):
        raise RuntimeUnavailableError(f"{library.title} refuses {path.name}: {_parser_reason(parser, logger)}")
    names = [network.get_input(index).name for index in range(network.num_inputs)]
    if len(names) != 1:
        raise RuntimeUnavailableError(f"{path.name} must have one input. Received: {', '.join(names) or 'none'}")
    entry = network.get_input(0)
    width, height = input_wh
    if entry.dtype != trt.DataType.HALF:
        raise RuntimeUnavailableError(f"input {entry.name!r} of {path.name} must be FP16. Received: {entry.dtype.name}")
    if tuple(entry.shape) != (-1, 3, height, width):
        raise RuntimeUnavailableError(
            f"input {entry.name!r} of {path.name} must be (batch, 3, {height}, {width}), the size of the window grid, "
            f"with a free batch. Received: {tuple(entry.shape)}"
        )
    return network, _Kept(builder, parser)


def _parser_reason(parser: Any, logger: Any) -> str:
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        operator, node = error.node_operator(), error.node_name()
        text = " ".join(error.desc().split())
        if operator:
            return f"operator {operator} at node {node!r}: {text}"
        return text
    return str(logger.reason())


def _add_profile(
    builder: Any, config: Any, network: Any, batches: BatchProfile, input_wh: tuple[int, int], logger: Any
) -> None:
    profile = builder.create_optimization_profile()
    width, height = input_wh
    shapes = [(count, 3, height, width) for count in (batches.smallest, batches.usual, batches.largest)]
    profile.set_shape(network.get_input(0).name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise RuntimeUnavailableError(f"TensorRT refuses the batch sizes {batches}: {logger.reason()}")


def _set_timing_cache(config: Any, data: bytes) -> None:
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, False):
        log.info("the timing cache is of another TensorRT or GPU; a new one is made")
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _monitor(library: TensorRtLibrary, on_progress: Callable[[str], None]) -> Any:
    base = library.module.IProgressMonitor

    class Monitor(base):  # type: ignore[misc, valid-type]  # the module is known at run time only
        def __init__(self) -> None:
            base.__init__(self)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            on_progress(name)

        def step_complete(self, name: str, step: int) -> bool:
            return True

        def phase_finish(self, name: str) -> None:
            """Nothing to say."""

    return Monitor()


def _layers(network: Any) -> tuple[Layer, ...]:
    layers = []
    dequantised: set[str] = set()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        given = layer.get_output(0) if layer.num_outputs else None
        taken = [found.name for place in range(layer.num_inputs) if (found := layer.get_input(place)) is not None]
        kind, precision = layer.type.name, given.dtype.name if given is not None else ""
        if kind == "DEQUANTIZE" and given is not None:
            dequantised.add(given.name)
        elif kind == "CONVOLUTION" and dequantised.issuperset(taken):
            # The builder joins a convolution with the dequantising of its two inputs, and multiplies whole numbers.
            precision = "INT8"
        layers.append(Layer(layer.name, kind, precision))
    return tuple(layers)
