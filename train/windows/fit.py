"""Fits a window classifier: whole, or with its first blocks frozen and their features computed once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.checks import require_at_least, require_within
from engine.console.output import progress
from engine.errors import InputError, RunError
from engine.files import make_folder
from train.data.windows import WindowSet, as_input, batches, epoch_order
from train.dense.batches import prefetched
from train.networks.registry import build_network
from train.networks.window_network import WindowNetwork, WindowSpec, load_weights
from train.run.checkpoints import load_checkpoint, state_to_go_on
from train.run.device import mixed_precision
from train.run.epochs import Epoch, Progress, cosine_factor, restored, run_epochs
from train.run.run_log import OnEpoch
from train.run.settings import plain
from train.windows.figures import window_figures
from train.windows.frozen_features import Features, frozen_features

log = logging.getLogger(__name__)

_CPU = torch.device("cpu")
_JUDGED_AT_ONCE = 64
#: Settings that may be others when a run goes on.
_FREE = ("epochs", "patience")


@dataclass(frozen=True, slots=True)
class WindowFitSettings:
    """Everything that a run depends on, kept in its folder and in its checkpoints.

    Attributes:
        network: name in the registry.
        input_px: side of the network's input in pixels.
        trained_blocks: None trains the network whole; 0 freezes all blocks and trains the classifier (transfer); 1 or
            more trains the last blocks too (fine-tuning).
        weights: file of weights to start from; None starts random.
        epochs: at most.
        patience: epochs without a better validation figure after which the run stops.
        batch_size: windows a step.
        rate: learning rate at its highest; of blocks that start from a file when fine-tuned, a tenth of it.
        weight_decay: of AdamW.
        vary: flips and changes of colour while a network is trained whole.
        balance: weigh the classes in the loss as if there were equally many windows of each.
        bf16: compute in bfloat16 where torch thinks it safe and the processor has it.
        seed: of weights, order and variation, 0 or more, below 2**32.

    Raises:
        InputError: a value that no run can have.
    """

    network: str = "cnn3"
    input_px: int = 150
    trained_blocks: int | None = None
    weights: Path | None = None
    epochs: int = 20
    patience: int = 6
    batch_size: int = 32
    rate: float = 1e-3
    weight_decay: float = 0.01
    vary: bool = True
    balance: bool = False
    bf16: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size"):
            require_at_least(name, getattr(self, name), 1)
        require_within("seed", self.seed, 0, 2**32 - 1)
        WindowSpec(input_px=self.input_px)
        if self.trained_blocks is not None and self.weights is None:
            raise InputError("freezing blocks needs weights to freeze; give --weights FILE or train the network whole")


@dataclass(frozen=True, slots=True)
class WindowFit:
    """What a run gave.

    Attributes:
        checkpoint: with the best validation figure; of the last epoch where there was no validation.
        figures: on the validation windows, at that checkpoint; empty without validation.
        epoch: of that checkpoint.
        start: what the file of weights gave; empty for a random start.
    """

    checkpoint: Path
    figures: dict[str, Any]
    epoch: int
    start: str


class _Side:
    """Windows of one side, as the trained part of the network takes them: pictures, or features of frozen blocks."""

    def __init__(self, windows: WindowSet, features: Features | None) -> None:
        self.windows, self.features = windows, features

    def inputs(self, picked: slice) -> Tensor:
        if self.features is None:
            return as_input(self.windows.pictures[picked])
        return torch.from_numpy(self.features[picked]).float()


def fit_windows(
    settings: WindowFitSettings,
    training: WindowSet,
    validation: WindowSet | None,
    folder: Path,
    *,
    feature_cache: Path | None = None,
    material: str = "",
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
) -> WindowFit:
    """Trains a window classifier.

    Args:
        settings: of the run.
        training: windows to learn from.
        validation: windows to judge by after each epoch; the best epoch and the end are chosen on them. With None all
            epochs are done and the last one is taken.
        folder: gets `last.pt`, `best.pt`, `epochs.csv`, `curves.png`, event files.
        feature_cache: where features of frozen blocks are kept; `folder` when None.
        material: what tells these training windows from others; a run goes on with the same only.
        resume: go on from `last.pt` when it is there.
        on_epoch: called when an epoch's checkpoint is written.

    Raises:
        InputError: labels of one class only, unknown network, weights of another network, or `last.pt` belongs to
            another run (see `earlier_run`).
        OutputError: the folder cannot be made.
        RunError: the loss is not a number any more.
        WriteError: the disk is full.
    """
    _check(training, validation)
    make_folder(folder)
    torch.manual_seed(settings.seed)
    network = build_network(settings.network, WindowSpec(len(training.classes), settings.input_px))
    frozen, random_start, start_text = _start(network, settings)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    cache = feature_cache or folder
    train_side = _side(network, frozen, training, settings, cache)
    judged_side = _side(network, frozen, validation, settings, cache) if validation is not None else None
    optimizer = _optimizer(network, frozen, random_start, settings)
    start, last = Progress(), folder / "last.pt"
    if resume and last.is_file():

        def restore(state: Mapping[str, Any]) -> None:
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])

        start = restored(last, earlier_run(settings, last, material=material), restore)
    weights = _class_weights(training) if settings.balance else None
    per_epoch = len(epoch_order(len(training.labels), settings.batch_size, np.random.default_rng(0)))
    kept = {
        "settings": plain(settings),
        "classes": list(training.classes),
        "material": material,
        "start": start_text,
    }
    drawn = _training_batches(train_side, settings, range(start.epoch, settings.epochs))
    with closing(prefetched(drawn)) as stream:

        def one(epoch: int) -> Epoch:
            torch.manual_seed(settings.seed * 100_003 + epoch)  # dropout repeats itself after a resume too
            steps = islice(stream, per_epoch)
            loss = _train_epoch(network, frozen, optimizer, steps, epoch, per_epoch, settings, weights)
            if judged_side is None:
                return Epoch({"loss": loss}, {}, (float(epoch),))
            figures = _judge(network, frozen, judged_side, settings)
            row = {"loss": loss, "validation_loss": figures["loss"], **_scalars(figures)}
            # Accuracy comes in steps of one window: among equals the lower loss is the better one.
            return Epoch(row, figures, (figures["accuracy"], -figures["loss"]))

        run_epochs(
            one,
            lambda: {"network": network.state_dict(), "optimizer": optimizer.state_dict(), **kept},
            start=start,
            epochs=settings.epochs,
            patience=settings.patience,
            folder=folder,
            title=f"{settings.network}, {_mode(settings)}",
            kept_of_best=("epoch", "best", "since", "network", "figures", *kept),
            on_epoch=on_epoch,
        )
    chosen = load_checkpoint(folder / "best.pt")
    return WindowFit(folder / "best.pt", chosen["figures"], chosen["epoch"], start_text)


def finished_fit(settings: WindowFitSettings, folder: Path, *, material: str) -> WindowFit | None:
    """What a run gave that did all its epochs with just these settings, on just this material; None without one."""
    best = folder / "best.pt"
    state = _own_state(best, settings, material)
    if state is None or state["epoch"] != settings.epochs:
        return None
    return WindowFit(best, state["figures"], state["epoch"], state["start"])


def begun_fit(settings: WindowFitSettings, folder: Path, *, material: str) -> bool:
    """Whether a folder holds a run with just these settings, on just this material, that can be gone on with."""
    return _own_state(folder / "last.pt", settings, material) is not None


def earlier_run(settings: WindowFitSettings, last: Path, *, material: str) -> dict[str, Any]:
    """The record of a run that is to go on.

    Args:
        settings: that it goes on with; epochs and patience may be others than before.
        last: checkpoint of the run's last epoch.
        material: of the windows that it goes on with.

    Raises:
        InputError: the checkpoint is damaged, of another kind of network, of other settings, or of other windows.
    """
    return state_to_go_on(
        last,
        settings,
        kind="window classifier",
        holds="material",
        free=_FREE,
        learnt_from="windows",
        material=material,
    )


def _own_state(path: Path, settings: WindowFitSettings, material: str) -> dict[str, Any] | None:
    state = load_checkpoint(path) if path.is_file() else {}
    return state if (state.get("settings"), state.get("material")) == (plain(settings), material) else None


def _side(network: WindowNetwork, frozen: int, windows: WindowSet, settings: WindowFitSettings, cache: Path) -> _Side:
    if not frozen:
        return _Side(windows, None)
    return _Side(windows, frozen_features(network, frozen, windows.pictures, cache, bf16=settings.bf16))


def _class_weights(windows: WindowSet) -> Tensor:
    counts = np.bincount(windows.labels, minlength=len(windows.classes))
    return torch.from_numpy((counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32))


def _check(training: WindowSet, validation: WindowSet | None) -> None:
    for what, windows in (("training", training), ("validation", validation)):
        if windows is not None and len(np.unique(windows.labels)) < 2:
            raise InputError(f"the {what} windows are all of one class; add windows of the others")
    if validation is not None and training.classes != validation.classes:
        raise InputError(f"training has classes {training.classes}, validation {validation.classes}; make them equal")


def _start(network: WindowNetwork, settings: WindowFitSettings) -> tuple[int, set[int], str]:
    """Loads the start; returns the number of frozen blocks, the numbers of those that start random, and a text."""
    blocks = len(network.blocks())
    if settings.weights is None:
        return 0, set(range(1, blocks + 1)), ""
    found = load_weights(network, settings.weights)
    log.info("%s: %s", settings.weights.name, found.text())
    if settings.trained_blocks is None:
        return 0, set(found.random_blocks), found.text()
    frozen = blocks - settings.trained_blocks
    if not 0 <= settings.trained_blocks < blocks:
        raise InputError(
            f"network {settings.network!r} has {blocks} blocks: 0 to {blocks - 1} of them can be fine-tuned. "
            f"Received: {settings.trained_blocks}"
        )
    useless = [number for number in found.random_blocks if number <= frozen]
    if useless:
        raise InputError(
            f"block {useless[0]} of {settings.network!r} is not in {str(settings.weights)!r} and would be frozen at "
            "random weights; give a whole file, train more blocks, or choose a shorter network (vgg16_conv4)"
        )
    return frozen, set(found.random_blocks), found.text()


def _optimizer(
    network: WindowNetwork, frozen: int, random_start: set[int], settings: WindowFitSettings
) -> torch.optim.Optimizer:
    known: list[torch.nn.Parameter] = []
    for number, block in enumerate(network.blocks(), start=1):
        if number <= frozen:
            block.requires_grad_(False)
        elif number not in random_start:
            known += block.parameters()
    apart = {id(parameter) for parameter in known}
    fresh = [p for p in network.parameters() if p.requires_grad and id(p) not in apart]
    groups = [{"params": fresh, "share": 1.0}, {"params": known, "share": 0.1}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=settings.rate, weight_decay=settings.weight_decay
    )


def _training_batches(side: _Side, settings: WindowFitSettings, epochs: range) -> Iterator[tuple[Tensor, Tensor]]:
    if side.features is None:
        yield from batches(
            side.windows, batch_size=settings.batch_size, epochs=epochs, seed=settings.seed, vary=settings.vary
        )
        return
    for epoch in epochs:
        rng = np.random.default_rng([settings.seed, epoch])
        for picked in epoch_order(len(side.windows.labels), settings.batch_size, rng):
            yield torch.from_numpy(side.features[picked]).float(), torch.from_numpy(side.windows.labels[picked])


def _train_epoch(
    network: WindowNetwork,
    frozen: int,
    optimizer: torch.optim.Optimizer,
    steps: Iterator[tuple[Tensor, Tensor]],
    epoch: int,
    per_epoch: int,
    settings: WindowFitSettings,
    weights: Tensor | None,
) -> float:
    network.train()
    total = 0.0
    bar = progress(steps, total=per_epoch, what=f"epoch {epoch + 1}/{settings.epochs}", always=True)
    for index, (inputs, labels) in enumerate(bar):
        step = epoch * per_epoch + index
        factor = cosine_factor(step, per_epoch * settings.epochs, warm_up=min(50, per_epoch))
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * group["share"] * factor
        with mixed_precision(_CPU, enabled=settings.bf16):
            logits = network.classify(inputs, frozen) if frozen else network(inputs)
        loss = F.cross_entropy(logits.float(), labels, weight=weights)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RunError(f"the loss became {value} at step {step}; lower the rate and resume")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += value
        bar.set_postfix(loss=f"{total / (index + 1):.3f}", refresh=False)
    return total / per_epoch


@torch.no_grad()
def _judge(network: WindowNetwork, frozen: int, side: _Side, settings: WindowFitSettings) -> dict[str, Any]:
    network.eval()
    parts: list[Tensor] = []
    for start in range(0, len(side.windows.labels), _JUDGED_AT_ONCE):
        inputs = side.inputs(slice(start, start + _JUDGED_AT_ONCE))
        with mixed_precision(_CPU, enabled=settings.bf16):
            parts.append(network.classify(inputs, frozen) if frozen else network(inputs))
    logits = torch.cat(parts).float()
    loss = float(F.cross_entropy(logits, torch.from_numpy(side.windows.labels)))
    probabilities = torch.softmax(logits, 1).numpy()
    figures = window_figures(probabilities, side.windows.labels, side.windows.classes)
    negatives = probabilities[side.windows.labels == len(side.windows.classes) - 1]
    return {
        **figures,
        "loss": loss,
        # From here up, one background window in two hundred still scores; a detector looks at many windows a frame.
        "quiet_threshold": float(np.quantile(1 - negatives[:, -1], 0.995)),
    }


def _scalars(figures: dict[str, Any]) -> dict[str, float]:
    return {key: figures[key] for key in ("accuracy", "balanced_accuracy", "auc") if key in figures}


def _mode(settings: WindowFitSettings) -> str:
    if settings.trained_blocks is None:
        return "trained whole"
    if settings.trained_blocks == 0:
        return "classifier trained, convolutions frozen"
    return f"last {settings.trained_blocks} blocks and classifier trained"
