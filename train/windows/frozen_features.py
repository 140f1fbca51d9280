"""What the frozen blocks of a network make of windows: computed once for each picture, ever, and kept in a file.

The file is named after the frozen weights, its rows after the pictures' contents, so that other splits of the same
windows, other classifiers, and a run that was cut off all use what is there.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from engine.arrays import ImageStack
from engine.console.output import progress
from engine.files import replacing, write_errors
from train.data.windows import as_input
from train.networks.window_network import WindowNetwork
from train.run.device import mixed_precision

Features = npt.NDArray[np.float16]
_SAVED_EVERY = 1024  # pictures


def frozen_features(
    network: WindowNetwork, blocks: int, pictures: ImageStack, folder: Path, *, bf16: bool = True, batch_size: int = 16
) -> Features:
    """Features of pictures after the first `blocks` blocks.

    Args:
        network: with its weights; used as in inference.
        blocks: number of frozen blocks.
        pictures: RGB uint8 (windows, side, side, 3).
        folder: holds the files; made when missing.
        bf16: compute in bfloat16.
        batch_size: windows computed at once.

    Returns:
        float16 (windows, channels, height, width).

    Raises:
        WriteError: the file cannot be written.
    """
    names = [hashlib.sha256(picture.tobytes()).hexdigest()[:24] for picture in pictures]
    path = folder / f"features-{_digest(network, blocks, pictures.shape[1])}.npz"
    rows: dict[str, Features] = _load(path)
    missing = list({name: index for index, name in enumerate(names) if name not in rows}.values())
    network.eval()
    for start in progress(
        range(0, len(missing), batch_size), what="features of frozen blocks", unit="batch", always=True
    ):
        picked = missing[start : start + batch_size]
        with torch.no_grad(), mixed_precision(torch.device("cpu"), enabled=bf16):
            made = network.extract(as_input(pictures[picked]), blocks)
        for index, feature in zip(picked, made.float().clamp(-65504, 65504).half().numpy(), strict=True):
            rows[names[index]] = feature
        last = start + batch_size >= len(missing)
        if last or (start + batch_size) % _SAVED_EVERY == 0:
            _save(path, rows)
    return np.stack([rows[name] for name in names])


def _digest(network: WindowNetwork, blocks: int, side: int) -> str:
    digest = hashlib.sha256(json.dumps([type(network).__name__, blocks, side]).encode())
    for block in network.blocks()[:blocks]:
        for value in block.state_dict().values():
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _load(path: Path) -> dict[str, Features]:
    if not path.is_file():
        return {}
    with np.load(path) as arrays:
        return dict(zip(arrays["names"].tolist(), arrays["features"], strict=True))


def _save(path: Path, rows: dict[str, Features]) -> None:
    with write_errors(path, what="features", remedy="free space and resume"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, names=np.array(list(rows)), features=np.stack(list(rows.values())))
