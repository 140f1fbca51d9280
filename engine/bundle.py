"""The model bundle: a folder with `model.json`, the network as ONNX, and a card that says what it is worth.

`model.json` carries all that is needed to run the network the way it was trained, so that nothing of it is left to the
caller: input size, colour order, mean and standard deviation, window grid, threshold, calibration. Every file of the
bundle is listed with its sha256; a bundle with a missing or changed file is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.errors import BundleError
from engine.files import replacing
from engine.score_calibration import ScoreCalibration
from engine.windows.grid import WindowGrid
from engine.windows.sliding import SlidingGrid

RECORD = "model.json"
FORMAT = 1
#: Entry of `model.json` that holds the gates of precisions, by the name of each network or way to run it.
GATES = "precisions"
#: Name under which an installed wheel carries the folder `models/`.
_INSTALLED = "polypstream_models"


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


def record_without_files(bundle: ModelBundle) -> dict[str, Any]:
    """The record as `write_bundle` takes it, to write the bundle again with changes."""
    return {key: value for key, value in bundle.record.items() if key not in ("format", "files")}


def models_folder() -> Path | None:
    """Folder of the shipped bundles: that of the source tree, or that of the installed wheel."""
    beside = Path(__file__).resolve().parent.parent / "models"
    if beside.is_dir():
        return beside
    spec = find_spec(_INSTALLED)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None


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
        record = json.loads(path.read_text(encoding="utf-8"))
        return _bundle(folder, record)
    except BundleError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        reason = f"misses {error}" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{str(path)!r} cannot be used ({reason}); install the model again") from error


def write_bundle(folder: Path, record: Mapping[str, Any], files: Mapping[str, Path]) -> ModelBundle:
    """Writes `model.json` into a folder that already holds the ONNX files, and opens the bundle.

    Args:
        folder: the bundle's folder.
        record: `model.json` without `format` and `files`.
        files: ONNX file of each precision, inside `folder`.

    Raises:
        BundleError: the record misses something that running the model needs.
    """
    text = record_text(record, {key: BundleFile(path, sha256_of(path)) for key, path in files.items()})
    with replacing(folder / RECORD) as partial:
        partial.write_text(text, encoding="utf-8")
    return load_bundle(folder)


def record_text(record: Mapping[str, Any], networks: Mapping[str, BundleFile]) -> str:
    """What `model.json` holds.

    Args:
        record: without `format` and `files`.
        networks: ONNX file of each precision.
    """
    files = {key: {"path": file.path.name, "sha256": file.sha256} for key, file in networks.items()}
    return json.dumps({"format": FORMAT, **record, "files": files}, indent=2) + "\n"


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _bundle(folder: Path, record: Mapping[str, Any]) -> ModelBundle:
    if record["format"] != FORMAT:
        raise BundleError(
            f"bundle {str(folder)!r} has format {record['format']!r}, this version reads {FORMAT}; "
            "install the version of polypstream that the model was made for"
        )
    networks = {
        precision: _checked(folder, listed["path"], listed["sha256"]) for precision, listed in record["files"].items()
    }
    if not networks:
        raise ValueError("lists no network file")
    shape = record["input"]
    if shape["colour_order"] != "RGB":
        raise ValueError(f"colour_order must be 'RGB'. Received: {shape['colour_order']!r}")
    input_wh = (int(shape["width"]), int(shape["height"]))
    task, strategy = Task(record["task"]), Strategy(record["strategy"])
    classes, background = tuple(record["classes"]), record.get("background")
    if not classes or (background is not None and background not in classes):
        raise ValueError(f"background {background!r} is not among the classes {list(classes)}")
    dense, slides = strategy is Strategy.DENSE, strategy is Strategy.WINDOWS and task is Task.DETECT
    return ModelBundle(
        folder=folder,
        name=str(record["name"]),
        task=task,
        strategy=strategy,
        classes=classes,
        input_wh=input_wh,
        grid=WindowGrid(input_wh, tuple(record["grid"]["strides"])) if dense else None,
        sliding=_sliding(record["grid"]) if slides else None,
        background=background,
        mean=float(shape["mean"]),
        std=_positive("std", shape["std"]),
        threshold=_probability("threshold", record["threshold"]),
        temperature=_positive("temperature", record["temperature"]),
        calibration=ScoreCalibration.of_record(record.get("calibration")),
        networks=networks,
        record=record,
    )


def _sliding(grid: Mapping[str, Any]) -> SlidingGrid:
    return SlidingGrid(tuple(float(size) for size in grid["sizes"]), float(grid["stride"]), float(grid["least_inside"]))


def _checked(folder: Path, name: str, sha256: str) -> BundleFile:
    path = folder / name
    if path.parent.resolve() != folder.resolve():
        raise BundleError(
            f"bundle {str(folder)!r} lists {name!r}, which is outside its folder; install the model again"
        )
    if not path.is_file():
        raise BundleError(f"model file {str(path)!r} is missing; install the model again")
    found = sha256_of(path)
    if found != sha256:
        raise BundleError(
            f"model file {str(path)!r} was changed or damaged "
            f"(sha256 {found[:12]}..., expected {str(sha256)[:12]}...); install the model again"
        )
    return BundleFile(path, sha256)


def _positive(name: str, value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be positive. Received: {value!r}")
    return number


def _probability(name: str, value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be within 0 to 1. Received: {value!r}")
    return number
