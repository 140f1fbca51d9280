"""Perceptual hashes of pictures on disk, kept in the user's cache folder, so that each is computed once."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.console.output import progress
from engine.files import replacing
from engine.folders import cache_folder
from stream.sources.picture_reader import read_picture
from stream.view.field_of_view import find_field_of_view
from train.data.near_duplicates import Hashes, picture_hash

log = logging.getLogger(__name__)


def hashes_of(paths: Sequence[Path]) -> list[Hashes]:
    """Hash of the field of view of each picture, for `train.data.near_duplicates`.

    Kept by the names, sizes and times of the files: a list that changed is hashed anew.

    Raises:
        InputError: a picture cannot be read.
    """
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    kept = cache_folder() / "picture_hashes" / f"{key}.npy"
    try:
        return list(np.load(kept))
    except (OSError, ValueError):
        pass  # not there yet, or cut off
    hashes = [
        _hash(path) for path in progress(paths, what="comparing pictures", unit="picture", disable=len(paths) < 50)
    ]
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as partial, partial.open("wb") as file:
            np.save(file, np.array(hashes, np.uint64).reshape(-1, 2))
    except OSError as error:
        log.info("hashes of pictures are not kept: %s", error)
    return hashes


def _hash(path: Path) -> Hashes:
    image = read_picture(path)
    x1, y1, x2, y2 = find_field_of_view(image).box_xyxy
    return picture_hash(image[y1:y2, x1:x2] if x2 > x1 and y2 > y1 else image)
