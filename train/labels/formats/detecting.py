"""Finds out in which format labels are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.errors import InputError
from engine.reading.bounded import DATA_BYTES, read_json_bounded
from train.labels.finding import Finder
from train.labels.formats.coco import read_coco
from train.labels.formats.cvat import read_cvat
from train.labels.formats.folders import has_masks, read_folder
from train.labels.formats.label_studio import read_label_studio
from train.labels.formats.voc import read_voc
from train.labels.formats.xml import read_xml
from train.labels.formats.yolo import NAME_LISTS, read_yaml, read_yolo
from train.labels.label_set import LabelSet

Reader = Callable[[Finder], LabelSet]
_YOLO = {"names", "train", "val", "test"}  # keys of a data.yaml
_KNOWN = "YOLO, COCO, Pascal VOC, CVAT 1.1, Label Studio, or folders of frames and masks"


def reader_of(path: Path, *, predictions: bool) -> Reader:
    """What reads the labels of a file or folder, which is looked at for it.

    Args:
        path: a file of labels, or a folder that holds labels.
        predictions: as of `read_label_studio`.

    Raises:
        InputError: it is nothing that is known, or may be two things.
    """
    if not path.exists():
        raise InputError(f"labels {str(path)!r} do not exist; check the path")
    found = _of_folder(path, predictions) if path.is_dir() else _of_file(path, predictions)
    if found is None:
        raise InputError(f"{str(path)!r} holds no labels that are known: {_KNOWN}")
    return found


def _of_file(path: Path, predictions: bool) -> Reader | None:
    ending = path.suffix.lower()
    if ending in (".yaml", ".yml") and _YOLO & read_yaml(path).keys():
        return lambda finder: read_yolo(path, finder)
    if ending == ".json":
        kind = _json_kind(path)
        if kind == "coco":
            return lambda finder: read_coco([path], finder)
        if kind == "label-studio":
            return lambda finder: read_label_studio(path, finder, predictions=predictions)
    if ending == ".xml":
        kind = read_xml(path).tag
        if kind == "annotations":
            return lambda finder: read_cvat(path, finder)
        if kind == "annotation":
            return lambda finder: read_voc(path.parent, finder)
    return None


def _of_folder(folder: Path, predictions: bool) -> Reader | None:
    """By what lies in it, the surest sign first."""
    for pattern in ("data.yaml", "data.yml", "*.yaml", "*.yml"):
        for path in sorted(folder.glob(pattern)):
            if (found := _of_file(path, predictions)) is not None:
                return found
    xmls = sorted(folder.glob("*.xml"))
    if xmls and (found := _of_file(xmls[0], predictions)) is not None:
        return found
    if any((folder / "Annotations").glob("*.xml")):
        return lambda finder: read_voc(folder, finder)
    jsons = [*sorted(folder.glob("*.json")), *sorted((folder / "annotations").glob("*.json"))]
    jsons += sorted(folder.glob("*/_annotations.coco.json"))
    kinds = {path: kind for path in jsons if (kind := _json_kind(path)) is not None}
    cocos = [path for path, kind in kinds.items() if kind == "coco"]
    if cocos:
        return lambda finder: read_coco(cocos, finder)
    if len(kinds) > 1:
        raise InputError(f"{str(folder)!r} holds {len(kinds)} files of labels; name one of them, as {jsons[0].name!r}")
    for path in kinds:
        return lambda finder: read_label_studio(path, finder, predictions=predictions)
    if any((folder / name).is_file() for name in NAME_LISTS):
        return lambda finder: read_yolo(folder, finder)
    if has_masks(folder):
        return lambda finder: read_folder(folder, finder)
    return None


def _json_kind(path: Path) -> str | None:
    try:
        record = read_json_bounded(path, most_bytes=DATA_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no JSON that can be used ({error}); export it again") from error
    if isinstance(record, dict) and isinstance(record.get("images"), list) and "annotations" in record:
        return "coco"
    if isinstance(record, list) and record and all(isinstance(one, dict) and "data" in one for one in record):
        return "label-studio"
    return None
