"""The command `build`: FP16 network, engine, layers, parity, in this order, each told in a line.

An FP16 network that is made here enters the bundle at the end, when all of it has passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from calibration.precisions.half_precision import (
    SeenFrames,
    make_fp16,
    open_candidate,
    read_frames,
    require_parity,
    verify,
)
from engine.bundle import ModelBundle, load_bundle
from engine.conversion.bundle_changes import drafted
from engine.conversion.fp16 import FP16, write_fp16
from engine.conversion.onnx_graph import network_bytes
from engine.errors import InputError, RuntimeUnavailableError
from engine.files import claim_folder
from engine.gpu.build import BuildSettings, build_engine, inspect_network
from engine.gpu.engine_cache import EngineCache
from engine.gpu.library import Flavour, TensorRtLibrary, load_library, require_gpu
from engine.runtimes.tensorrt import batches_of, engine_network, kept_engine


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What `build` is asked for.

    Attributes:
        model: shipped name or folder of a bundle.
        frames: video or pictures to make the FP16 network on and to verify with; None to do neither.
        library: "tensorrt" or "tensorrt_rtx"; None for the first that loads.
        optimisation_level: of the builder, 0 to 5.
        inspect: whether the layers are told.
        precision: of the engine, "fp16" or "int8".
    """

    model: str | Path
    frames: str | Path | None = None
    library: str | None = None
    optimisation_level: int = 3
    inspect: bool = False
    precision: str = FP16


def build_model(options: BuildOptions) -> Iterator[str]:
    """Builds, and gives a line for each thing done.

    Raises:
        InputError: no FP16 network and no frames to make it on, no TensorRT, a network that it refuses, frames to
            verify INT8 with, or a bundle that cannot be written.
        RunError: the FP16 network or the engine is too far from FP32.
    """
    bundle = load_bundle(options.model)
    settings = BuildSettings(batches_of(bundle), options.optimisation_level)
    frames = read_frames(options.frames) if options.frames is not None else None
    if options.precision != FP16 and frames is not None:
        raise InputError("frames verify FP16 engines; what INT8 loses is measured by build --precisions")
    if options.precision != FP16 or FP16 in bundle.networks:
        yield from _build_and_verify(bundle, settings, options, frames)
        return
    if frames is None:
        raise InputError(f"model {bundle.name!r} has no FP16 network yet; it is made with --verify FRAMES")
    with claim_folder(bundle.folder):
        made = make_fp16(bundle, frames)
        kept = ", ".join(made.report.kept_fp32) or "none"
        yield f"FP16 network: drift {max(made.report.drift.values()):.2g}, nodes kept in FP32: {kept}"
        with drafted(bundle, {FP16: network_bytes(made.network)}) as draft:
            yield from _build_and_verify(draft, settings, options, frames)
        write_fp16(bundle, made)


def _build_and_verify(
    bundle: ModelBundle, settings: BuildSettings, options: BuildOptions, frames: SeenFrames | None
) -> Iterator[str]:
    yield from _engine(bundle, settings, options)
    if frames is not None:
        with open_candidate(bundle) as candidate:
            report = verify(bundle, candidate, frames)
        require_parity(report)
        yield (
            f"parity on {report.frames} frames: scores within {report.outputs.score:.2g}, boxes within "
            f"{report.outputs.box_px:.2g} px, {report.detections.changed} of {report.detections.detections} answers "
            f"changed; {report.candidate}"
        )


def _engine(bundle: ModelBundle, settings: BuildSettings, options: BuildOptions) -> Iterator[str]:
    library: TensorRtLibrary | None
    try:
        library = load_library(Flavour(options.library) if options.library else None)
    except RuntimeUnavailableError as error:
        if options.library or options.inspect or options.frames is None:
            raise
        yield f"no engine: {error}"
        return
    network = engine_network(bundle, options.precision).network
    if options.inspect:
        layers = inspect_network(network.path, library, input_wh=bundle.input_wh)
        yield from (f"{layer.precision:<6} {layer.kind:<16} {layer.name}" for layer in layers)
        counts = Counter((layer.kind, layer.precision) for layer in layers).most_common()
        yield "layers: " + ", ".join(f"{number} {kind} {precision}" for (kind, precision), number in counts)
    try:
        gpu = require_gpu()
    except RuntimeUnavailableError as error:
        if library.flavour is Flavour.TENSORRT:
            raise  # the full TensorRT measures on the GPU while it builds
        built = build_engine(network.path, library, settings, input_wh=bundle.input_wh)
        yield f"engine builds with {library.title} ({len(built.plan) / 1e6:.1f} MB), not kept: {error}"
        return
    plan = kept_engine(bundle, library, settings, precision=options.precision)
    yield f"engine: {len(plan) / 1e6:.1f} MB, {library.title}, {gpu.name}, kept in {EngineCache().folder}"
