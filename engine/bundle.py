"""The model bundle: a folder with `model.json`, the network as ONNX, and a card that says what it is worth.

`model.json` carries all that is needed to run the network the way it was trained, so that nothing of it is left to the
caller: input size, colour order, mean and standard deviation, window grid, threshold, calibration. Every network is
listed with its sha256, and a manifest lists every file (`engine.vouching.manifest`); a bundle with a missing or changed
file is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from engine.errors import BundleError
from engine.files import write_together
from engine.reading.bounded import MALFORMED, label, number, parse_json, read_bounded, reason_of, shortened
from engine.score_calibration import ScoreCalibration
from engine.vouching import ranges
from engine.vouching.manifest import check_files, listed_hashes, manifest_after, models_folder, sha256_of
from engine.vouching.onnx_data import external_files
from engine.windows.grid import WindowGrid
from engine.windows.sliding import SlidingGrid

__all__ = [
    "FORMAT",
    "GATES",
    "RECORD",
    "BundleFile",
    "ModelBundle",
    "Strategy",
    "Task",
    "load_bundle",
    "models_folder",
    "record_text",
    "record_without_files",
    "sha256_of",
    "shipped_bundles",
    "write_bundle",
]

logger = logging.getLogger(__name__)

RECORD = "model.json"
FORMAT = 1
#: Entry of `model.json` that holds the gates of precisions, by the name of each network or way to run it.
GATES = "precisions"
_UNVOUCHED: set[Path] = set()  # folders of bundles without a manifest that were spoken of


class Task(str, Enum):
    """What a bundle answers."""

    DETECT = "detect"
    CLASSIFY = "classify"


class Strategy(str, Enum):
    """How a detector looks at a field of view."""

    DENSE = "dense"
    WINDOWS = "windows"


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle: its path, and the sha256 of its bytes in hexadecimal."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """A model that can be run.

    Attributes:
        folder: where it lies.
        name: name of the model.
        task: detect or classify.
        strategy: dense or windows.
        classes: names of the classes.
        input_wh: width and height of the network's input in pixels.
        grid: window grid at the network's input size; None unless the strategy is dense.
        sliding: windows that are cut from a field of view; None unless this is a detector of strategy windows.
        background: class that is no detection; None when every class is one.
        mean: subtracted from each RGB value of 0..255.
        std: divides what is left.
        threshold: probability from which a detection is shown, 0 to 1.
        temperature: divides the logits.
        calibration: makes probabilities of the scores of merged detections; scores stay as they are when it was not
            fitted.
        networks: ONNX file of each precision ("fp32", ...).
        record: the whole of `model.json` (training data, terms, metrics, licence).
        hashes: hexadecimal sha256 of each file of the bundle, by name, as it was found.
    """

    folder: Path
    name: str
    task: Task
    strategy: Strategy
    classes: tuple[str, ...]
    input_wh: tuple[int, int]
    grid: WindowGrid | None
    sliding: SlidingGrid | None
    background: str | None
    mean: float
    std: float
    threshold: float
    temperature: float
    calibration: ScoreCalibration
    networks: Mapping[str, BundleFile]
    record: Mapping[str, Any] = field(repr=False)
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)


def record_without_files(bundle: ModelBundle) -> dict[str, Any]:
    """The record as `write_bundle` takes it, to write the bundle again with changes."""
    return {key: value for key, value in bundle.record.items() if key not in ("format", "files")}


def shipped_bundles() -> dict[str, Path]:
    """Names of the shipped bundles and their folders."""
    folder = models_folder()
    if folder is None:
        return {}
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{RECORD}"))}


def load_bundle(model: str | Path) -> ModelBundle:
    """Opens a shipped bundle by its name, or any bundle by its folder, and checks every file of it.

    Raises:
        BundleError: unknown name, folder without `model.json`, or a file that is missing, changed or malformed.
    """
    shipped = shipped_bundles()
    folder = shipped.get(str(model), Path(model))
    if not folder.is_dir():
        known = ", ".join(shipped) or "none"
        raise BundleError(f"unknown model {str(model)!r}: give a shipped name ({known}) or the folder of a bundle")
    path = folder / RECORD
    if not path.is_file():
        raise BundleError(f"folder {str(folder)!r} is no model bundle: it holds no {RECORD}")
    try:
        data = read_bounded(path)
        record = parse_json(data, finite=False)  # figures of a bundle may be NaN; what is computed with is checked
        return _bundle(folder, record, hashlib.sha256(data).hexdigest())
    except BundleError:
        raise
    except (OSError, *MALFORMED) as error:
        raise BundleError(f"{str(path)!r} cannot be used ({reason_of(error)}); install the model again") from error


def write_bundle(
    folder: Path, record: Mapping[str, Any], files: Mapping[str, Path], *, texts: Mapping[str, str] | None = None
) -> ModelBundle:
    """Writes `model.json` and the manifest into a folder that already holds the ONNX files, and opens the bundle.

    Args:
        folder: the bundle's folder.
        record: `model.json` without `format` and `files`.
        files: ONNX file of each precision, inside `folder`.
        texts: of other files, by name.

    Raises:
        BundleError: the record misses something that running the model needs.
    """
    text = record_text(record, {key: BundleFile(path, sha256_of(path)) for key, path in files.items()})
    written = {folder / name: text.encode("utf-8") for name, text in (texts or {}).items()}
    written[folder / RECORD] = text.encode("utf-8")
    manifest, content = manifest_after(folder, written)
    write_together({**written, manifest: content})
    return load_bundle(folder)


def record_text(record: Mapping[str, Any], networks: Mapping[str, BundleFile]) -> str:
    """What `model.json` holds.

    Args:
        record: without `format` and `files`.
        networks: ONNX file of each precision.
    """
    files = {key: {"path": file.path.name, "sha256": file.sha256} for key, file in networks.items()}
    return json.dumps({"format": FORMAT, **record, "files": files}, indent=2) + "\n"


def _bundle(folder: Path, record: Mapping[str, Any], digest: str) -> ModelBundle:
    if ranges.mapping("it", record)["format"] != FORMAT:
        raise BundleError(
            f"bundle {str(folder)!r} has format {shortened(record['format'])}, this version reads {FORMAT}; "
            "install the version of polypstream that the model was made for"
        )
    listed = ranges.network_files(record["files"])
    shape = ranges.mapping("input", record["input"])
    if shape["colour_order"] != "RGB":
        raise ValueError(f"colour_order must be 'RGB'. Received: {shortened(shape['colour_order'])}")
    input_wh = ranges.input_size(shape)
    mean, std = ranges.mean_and_std(shape)
    task, strategy = Task(record["task"]), Strategy(record["strategy"])
    classes, background = ranges.class_names(record["classes"]), record.get("background")
    if background is not None and background not in classes:
        raise ValueError(f"background {shortened(background)} is not among the classes {shortened(list(classes))}")
    dense, slides = strategy is Strategy.DENSE, strategy is Strategy.WINDOWS and task is Task.DETECT
    bundle = ModelBundle(
        folder=folder,
        name=label("name", record["name"]),
        task=task,
        strategy=strategy,
        classes=classes,
        input_wh=input_wh,
        grid=WindowGrid(input_wh, ranges.strides_of(record["grid"])) if dense else None,
        sliding=_sliding(record["grid"]) if slides else None,
        background=background,
        mean=mean,
        std=std,
        threshold=number("threshold", record["threshold"], 0, 1),
        temperature=number("temperature", record["temperature"], 0.01, 100.0),
        calibration=ranges.calibration_of(record.get("calibration")),
        networks={key: _network(folder, name, sha256) for key, (name, sha256) in listed.items()},
        record=record,
    )
    return replace(bundle, hashes=_vouched(bundle, digest))


def _vouched(bundle: ModelBundle, digest: str) -> Mapping[str, str]:
    """Hashes of all files; of those that were read where no manifest lists the others."""
    read = {RECORD: digest, **{file.path.name: file.sha256 for file in bundle.networks.values()}}
    known = listed_hashes(bundle.folder)
    if known is not None:
        return check_files(bundle.folder, known, read=read)
    if bundle.folder not in _UNVOUCHED:
        _UNVOUCHED.add(bundle.folder)
        logger.warning(
            "model %s has no manifest, so nothing vouches for its %s; `python -m engine.sealing %s` writes one",
            bundle.folder,
            RECORD,
            bundle.folder,
        )
    return read


def _sliding(grid: Any) -> SlidingGrid:
    sizes = ranges.window_sizes(grid)
    stride, inside = (number(name, grid[name], 0, 1) for name in ("stride", "least_inside"))
    return SlidingGrid(sizes, stride, inside)


def _network(folder: Path, name: str, sha256: str) -> BundleFile:
    path = folder / name
    if not path.is_file():
        raise BundleError(f"model file {str(path)!r} is missing; install the model again")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BundleError(
            f"model file {str(path)!r} was changed or damaged "
            f"(sha256 {found[:12]}..., expected {str(sha256)[:12]}...); install the model again"
        )
    others = external_files(data)
    if others:
        raise BundleError(
            f"network {str(path)!r} keeps weights in another file ({shortened(others[0])}), for which nothing vouches; "
            "save it in one file (onnx.save does when `save_as_external_data` is left out)"
        )
    return BundleFile(path, sha256)
