"""Fits the dense detector: warm start, one cosine of the learning rate, averaged weights, safe checkpoints."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from engine.errors import InputError, RunError
from engine.grid import WindowGrid
from engine.preprocess import lay_in, normalise
from stream.merging import merge_boxes
from train.batches import BatchStream, FramePools, Mixture, prefetched
from train.cache import CachedFrame
from train.checkpoints import append_row, keep_rows, load_checkpoint, save_checkpoint
from train.dense_loss import DenseLoss
from train.metrics import (
    FramePrediction,
    average_precision,
    best_f_threshold,
    centroid_outcome,
    truth_of_mask,
)
from train.networks.dense import DenseDetector, DenseSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Everything that a run depends on, kept in its folder and in its checkpoints.

    Attributes:
        input_wh: width and height of the network's input in pixels.
        steps_per_epoch: batches after which the network is judged and a checkpoint written.
        frozen_blocks: first blocks of the trunk that keep their ImageNet weights.
        trunk_rate: learning rate of the trunk as a share of `rate`.
        average_decay: of the moving average of the weights.
    """

    network: DenseSettings = field(default_factory=DenseSettings)
    mixture: Mixture = field(default_factory=Mixture)
    input_wh: tuple[int, int] = (288, 256)
    epochs: int = 14
    steps_per_epoch: int = 200
    batch_size: int = 16
    rate: float = 1e-3
    trunk_rate: float = 0.35
    weight_decay: float = 0.03
    warm_up_steps: int = 150
    frozen_blocks: int = 3
    average_decay: float = 0.998
    clip_norm: float = 10.0
    seed: int = 1


def fit(
    settings: FitSettings,
    pools: FramePools,
    validation: Sequence[CachedFrame],
    folder: Path,
    *,
    imagenet: Path,
    start_from: Path | None = None,
    resume: bool = False,
) -> Path:
    """Trains and returns the path of the checkpoint with the best validation figure.

    Args:
        settings: of the run.
        pools: frames to draw from.
        validation: frames to judge by after each epoch.
        folder: gets `last.pt`, `best.pt`, `epochs.csv`.
        imagenet: checkpoint of the trunk to start from.
        start_from: checkpoint of an earlier run whose averaged weights are trained on, in the place of `imagenet`.
        resume: go on from `last.pt` when it is there.

    Raises:
        InputError: `last.pt` belongs to other settings.
        RunError: the loss is not a number any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    network = DenseDetector(settings.network)
    if start_from is None:
        network.trunk.load_imagenet(imagenet)
    else:
        _train_on(start_from, network)
    network.trunk.freeze_early(settings.frozen_blocks)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = DenseDetector(settings.network).eval().requires_grad_(False)
    average.load_state_dict(network.state_dict())
    optimizer = _optimizer(network, settings)
    grid = WindowGrid(settings.input_wh)
    loss = DenseLoss(grid)
    start, best = 0, -1.0
    if resume and (folder / "last.pt").is_file():
        start, best = _resume(folder / "last.pt", network, average, optimizer)
        keep_rows(folder / "epochs.csv", start)
    total_steps = settings.epochs * settings.steps_per_epoch
    stream = BatchStream(
        pools,
        mixture=settings.mixture,
        input_wh=settings.input_wh,
        batch_size=settings.batch_size,
        steps_per_epoch=settings.steps_per_epoch,
        first_epoch=start,
        epochs=settings.epochs,
        seed=settings.seed,
        mean=network.trunk.mean,
        std=network.trunk.std,
    )
    batches = prefetched(stream)
    for epoch in range(start, settings.epochs):
        network.train()
        _freeze_statistics(network, settings.frozen_blocks)
        sums: dict[str, float] = {}
        steps = islice(batches, settings.steps_per_epoch)
        bar = tqdm(steps, total=settings.steps_per_epoch, desc=f"epoch {epoch + 1}/{settings.epochs}")
        for index, batch in enumerate(bar):
            step = epoch * settings.steps_per_epoch + index
            _set_rate(optimizer, step, total_steps, settings)
            pictures = batch.pictures.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                outputs = network(pictures)
            parts = loss(type(outputs)(*(part.float() for part in outputs)), batch.boxes, batch.present, batch.masks)
            if not math.isfinite(float(parts["total"])):
                raise RunError(f"the loss became {float(parts['total'])} at step {step}; lower the rate and resume")
            optimizer.zero_grad(set_to_none=True)
            parts["total"].backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
            optimizer.step()
            _average(average, network, min(settings.average_decay, (1 + step) / (20 + step)))
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value)
            bar.set_postfix({name: f"{value / (index + 1):.3f}" for name, value in sums.items()}, refresh=False)
        figures = judge(average, validation, settings.input_wh)
        row = {"epoch": epoch + 1, **{k: v / settings.steps_per_epoch for k, v in sums.items()}, **figures}
        append_row(folder / "epochs.csv", row)
        log.info("%s", row)
        better = figures["f1"] > best
        best = max(best, figures["f1"])
        state = {
            "epoch": epoch + 1,
            "best": best,
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "settings": asdict(settings),
            "figures": figures,
        }
        save_checkpoint(state, folder / "last.pt")
        if better:
            save_checkpoint({k: state[k] for k in ("epoch", "average", "settings", "figures")}, folder / "best.pt")
    return folder / "best.pt"


@torch.no_grad()
def predict(
    network: DenseDetector, frames: Sequence[CachedFrame], input_wh: tuple[int, int], *, floor: float = 0.02
) -> list[FramePrediction]:
    """Merged detections of cached frames, in pixels of the cached frame."""
    network.eval()
    grid = WindowGrid(input_wh)
    predictions: list[FramePrediction] = []
    for start in range(0, len(frames), 16):
        laid = [
            lay_in(frame.image, (0, 0, frame.image.shape[1], frame.image.shape[0]), input_wh)
            for frame in frames[start : start + 16]
        ]
        pictures = normalise([picture for picture, _ in laid], network.trunk.mean, network.trunk.std)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(torch.from_numpy(pictures).contiguous(memory_format=torch.channels_last))
        scores = torch.sigmoid(outputs.logits.float()).numpy()
        distances = outputs.distances.float().numpy()
        for row, (_, letterbox) in enumerate(laid):
            picked = np.flatnonzero(scores[row] >= floor)
            boxes = letterbox.to_frame(grid.boxes_xyxy(distances[row, picked], picked))
            predictions.append(FramePrediction(*merge_boxes(boxes, scores[row, picked])))
    return predictions


def judge(network: DenseDetector, frames: Sequence[CachedFrame], input_wh: tuple[int, int]) -> dict[str, float]:
    """Figures on validation frames: AP50, best centroid F1 with its threshold, quiet share of normal frames there."""
    truths = [truth_of_mask(frame.mask) for frame in frames]
    predictions = predict(network, frames, input_wh)
    outcome = centroid_outcome(truths, predictions)
    threshold = best_f_threshold(outcome)
    counts = outcome.counts(threshold)
    return {
        "ap50": average_precision(truths, predictions),
        "f1": counts.f_score(),
        "precision": counts.precision,
        "recall": counts.recall,
        "threshold": threshold,
        "quiet_share": outcome.quiet_share(threshold),
    }


def load_network(checkpoint: Path) -> tuple[DenseDetector, dict[str, Any]]:
    """The averaged network of a checkpoint, and its record (settings, figures, epoch).

    Raises:
        InputError: the file does not exist or is no checkpoint of this network.
    """
    state = load_checkpoint(checkpoint)
    if "average" not in state or "settings" not in state:
        raise InputError(f"{str(checkpoint)!r} is no checkpoint of a dense detector")
    network = DenseDetector(DenseSettings(**state["settings"]["network"]))
    network.load_state_dict(state["average"])
    return network.eval(), {key: state[key] for key in ("epoch", "settings", "figures")}


def _optimizer(network: DenseDetector, settings: FitSettings) -> torch.optim.Optimizer:
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith("trunk."), parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": settings.weight_decay if decays else 0.0,
                "share": settings.trunk_rate if in_trunk else 1.0,
            }
            for (in_trunk, decays), parameters in groups.items()
        ],
        lr=settings.rate,
    )


def _set_rate(optimizer: torch.optim.Optimizer, step: int, total: int, settings: FitSettings) -> None:
    warm = min(1.0, (step + 1) / settings.warm_up_steps)
    factor = warm * (0.02 + 0.98 * (1 + math.cos(math.pi * step / total)) / 2)
    for group in optimizer.param_groups:
        group["lr"] = settings.rate * group["share"] * factor


def _freeze_statistics(network: DenseDetector, blocks: int) -> None:
    """Frozen blocks keep the statistics of their batch normalisation too."""
    for module in (network.trunk._bn0, *network.trunk._blocks[:blocks]):
        module.eval()


@torch.no_grad()
def _average(average: nn.Module, network: nn.Module, decay: float) -> None:
    own = average.state_dict()
    floats = [key for key, value in own.items() if value.is_floating_point()]
    current = network.state_dict()
    torch._foreach_lerp_([own[key] for key in floats], [current[key] for key in floats], 1 - decay)


def _train_on(path: Path, network: DenseDetector) -> None:
    earlier, _ = load_network(path)
    if earlier.settings != network.settings:
        raise InputError(f"checkpoint {str(path)!r} is of another network ({earlier.settings}); name one of the same")
    network.load_state_dict(earlier.state_dict())


def _resume(
    path: Path, network: DenseDetector, average: DenseDetector, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    state = load_checkpoint(path)
    try:
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"checkpoint {str(path)!r} is of another network or run: {error}") from error
    return int(state["epoch"]), float(state["best"])
