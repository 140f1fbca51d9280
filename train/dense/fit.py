"""Fits the dense detector: warm start, one cosine of the learning rate, averaged weights, safe checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.bundle import load_bundle
from engine.checks import require_above, require_at_least, require_within
from engine.console.output import progress
from engine.errors import InputError, RunError
from engine.files import make_folder
from engine.windows.grid import WindowGrid
from train.augmentation.augment import Variation
from train.data.cache import CachedFrame
from train.dense.batches import Batch, BatchStream, FramePools, Mixture, prefetched
from train.dense.checkpoint import load_network
from train.dense.from_bundle import network_of_bundle, settings_of_bundle
from train.dense.judging import judge
from train.dense.loss import DenseLoss
from train.dense.style_mixing import style_mixing
from train.dense.teacher import Teacher, imitation_loss
from train.networks.dense import DenseDetector, DenseOutputs, DenseSettings, check_input
from train.run.checkpoints import state_to_go_on
from train.run.device import Device, choose_device, gradient_scaler, mixed_precision
from train.run.epochs import Epoch, Progress, cosine_factor, restored, run_epochs
from train.run.run_log import OnEpoch
from train.run.settings import plain

#: Batches whose statistics the normalisations of a bundle's network take.
_SETTLING = 4
#: Settings that may be others when a run goes on.
_FREE = ("epochs", "patience", "device")


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Everything that a run depends on, kept in its folder and in its checkpoints.

    Attributes:
        input_wh: width and height of the network's input in pixels, multiples of 32.
        epochs: at most.
        closing_epochs: last epochs with milder variation (`CLOSING_VARIATION`) and without mosaics, as in YOLOX (Ge et
            al. 2021): boxes become more exact.
        patience: epochs without a better validation figure after which the run stops.
        steps_per_epoch: batches after which the network is judged and a checkpoint written.
        rate: learning rate at its highest; None for 1e-3 from ImageNet weights, 7e-4 on from a checkpoint.
        frozen_blocks: first blocks of the trunk that keep their ImageNet weights.
        trunk_rate: learning rate of the trunk as a share of `rate`.
        colour_exchange: share of frames that get the mean and spread of another frame's colours.
        style_mixing: share of batches in which early features get the mean and spread of another picture's.
        box_quality: how much the fit of a polyp's best box counts in the score to be learnt (`DenseLoss.quality`).
        imitation: weight of what a teacher says, beside the labels' loss, which has 1.
        average_decay: of the moving average of the weights.
        seed: of weights, order and variation, 0 or more, below 2**32.
        device: that trains.

    Raises:
        InputError: a value that no run can have.
    """

    network: DenseSettings = field(default_factory=DenseSettings)
    mixture: Mixture = field(default_factory=Mixture)
    variation: Variation = field(default_factory=Variation)
    input_wh: tuple[int, int] = (288, 256)
    epochs: int = 18
    closing_epochs: int = 0
    patience: int = 10
    steps_per_epoch: int = 200
    batch_size: int = 16
    rate: float | None = None
    trunk_rate: float = 0.35
    weight_decay: float = 0.03
    warm_up_steps: int = 150
    frozen_blocks: int = 3
    colour_exchange: float = 0.25
    style_mixing: float = 0.0
    box_quality: float = 1.0
    imitation: float = 2.0
    average_decay: float = 0.998
    clip_norm: float = 10.0
    seed: int = 1
    device: Device = Device.AUTO

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "steps_per_epoch", "batch_size", "warm_up_steps"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("colour_exchange", "style_mixing"):
            require_within(name, getattr(self, name), 0, 1)
        for name in ("closing_epochs", "box_quality", "imitation"):
            require_at_least(name, getattr(self, name), 0)
        require_within("seed", self.seed, 0, 2**32 - 1)
        if self.rate is not None:
            require_above("rate", self.rate)
        check_input(self.input_wh)


def fit(
    settings: FitSettings,
    pools: FramePools,
    validation: Sequence[CachedFrame],
    folder: Path,
    *,
    imagenet: Path | None = None,
    start_from: Path | None = None,
    teacher: Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
) -> Path:
    """Trains and returns the path of the checkpoint with the best validation figure.

    Args:
        settings: of the run.
        pools: frames to draw from.
        validation: frames to judge by after each epoch.
        folder: gets `last.pt`, `best.pt`, `epochs.csv`, `curves.png`, event files.
        imagenet: checkpoint of the trunk to start from.
        start_from: checkpoint of an earlier run whose averaged weights are trained on, or a bundle (shipped name or
            folder), in the place of `imagenet`.
        teacher: bundle (shipped name or folder) whose answers are learnt beside the labels.
        resume: go on from `last.pt` when it is there; what the run started from is not read again.
        on_epoch: called when an epoch's checkpoint is written.

    Raises:
        InputError: nothing to start from, `last.pt` belongs to another run (see `earlier_part`), a teacher of another
            input, or there is no such device.
        OutputError: the folder cannot be made.
        RunError: the loss is not a number any more.
        WriteError: the disk is full.
    """
    make_folder(folder)
    device = choose_device(settings.device)
    torch.manual_seed(settings.seed)
    network = DenseDetector(settings.network)
    last = folder / "last.pt"
    goes_on = resume and last.is_file()
    material = pools.digest
    earlier = earlier_part(settings, last, material=material) if goes_on else {}
    if start_from is None and imagenet is None:
        raise InputError("a detector starts from ImageNet weights or from a checkpoint; give one of them")
    if start_from is not None and not goes_on:
        pictures = torch.cat([batch.pictures for batch in islice(_stream(settings, pools, network, 0), _SETTLING)])
        network.load_state_dict(_earlier(start_from, network, pictures).state_dict())
    elif imagenet is not None and not goes_on:
        network.trunk.load_imagenet(imagenet)
    rate = settings.rate or earlier.get("settings", {}).get("rate") or (1e-3 if start_from is None else 7e-4)
    settings = replace(settings, rate=rate)
    network.trunk.freeze_early(settings.frozen_blocks)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = DenseDetector(settings.network).to(device).eval().requires_grad_(False)
    average.load_state_dict(network.state_dict())
    run = _Run(settings, rate, network, average, _optimizer(network, settings), gradient_scaler(device), device)
    start = restored(last, earlier, run.restore) if goes_on else Progress()
    drawn: Iterable[Batch] = _stream(settings, pools, network, start.epoch)
    kept = {"settings": plain(settings), "material": material, "mixed_in": pools.mixed_in()}
    with ExitStack() as stack:
        if teacher is not None:
            drawn = stack.enter_context(closing(Teacher(teacher, input_wh=settings.input_wh))).taught(drawn)
        batches = stack.enter_context(closing(prefetched(drawn)))

        def one(epoch: int) -> Epoch:
            with style_mixing(network.trunk.style_blocks, settings.style_mixing, seed=(settings.seed, epoch)):
                losses = _train_epoch(run, islice(batches, settings.steps_per_epoch), epoch)
            figures = judge(average, validation, settings.input_wh)
            return Epoch({**losses, **figures}, figures, (figures["f1"],))

        run_epochs(
            one,
            lambda: {**run.state(), **kept},
            start=start,
            epochs=settings.epochs,
            patience=settings.patience,
            folder=folder,
            title=f"dense detector, {settings.network.trunk}, {settings.input_wh[0]}x{settings.input_wh[1]}",
            kept_of_best=("epoch", "average", "settings", "mixed_in", "figures"),
            on_epoch=on_epoch,
        )
    return folder / "best.pt"


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run trains, and with what."""

    settings: FitSettings
    rate: float
    network: DenseDetector
    average: DenseDetector
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    device: torch.device

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Puts what a checkpoint holds in place; raises KeyError, RuntimeError or ValueError where it does not fit."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])


def _train_epoch(run: _Run, batches: Iterable[Batch], epoch: int) -> dict[str, float]:
    """Mean of the loss and of its parts over one epoch."""
    settings, network, optimizer = run.settings, run.network, run.optimizer
    loss = DenseLoss(WindowGrid(settings.input_wh), quality=settings.box_quality, device=run.device)
    network.train()
    _freeze_statistics(network, settings.frozen_blocks)
    sums: dict[str, float] = {}
    bar = progress(batches, total=settings.steps_per_epoch, what=f"epoch {epoch + 1}/{settings.epochs}", always=True)
    for index, drawn in enumerate(bar):
        step = epoch * settings.steps_per_epoch + index
        _set_rate(run, step)
        batch = drawn.to(run.device)
        with mixed_precision(run.device):
            outputs = network(batch.pictures.contiguous(memory_format=torch.channels_last))
        outputs = DenseOutputs(*(part.float() for part in outputs))
        parts = loss(outputs, batch.boxes, batch.present, batch.masks, batch.outlined)
        if batch.lesson is not None:
            imitation = imitation_loss(network.combined(outputs), outputs.distances, batch.lesson)
            parts |= {"imitation": imitation, "total": parts["total"] + settings.imitation * imitation}
        values = {name: float(value.detach()) for name, value in parts.items()}
        if not math.isfinite(values["total"]):
            raise RunError(f"the loss became {values['total']} at step {step}; lower the rate and resume")
        optimizer.zero_grad(set_to_none=True)
        run.scaler.scale(parts["total"]).backward()  # type: ignore[no-untyped-call]
        run.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
        run.scaler.step(optimizer)
        run.scaler.update()
        _average(run.average, network, min(settings.average_decay, (1 + step) / (20 + step)))
        for name, value in values.items():
            name = "loss" if name == "total" else f"{name}_loss"
            sums[name] = sums.get(name, 0.0) + value
        bar.set_postfix({name: f"{value / (index + 1):.3f}" for name, value in sums.items()}, refresh=False)
    return {name: value / settings.steps_per_epoch for name, value in sums.items()}


def earlier_part(settings: FitSettings, last: Path, *, material: str | None = None) -> dict[str, Any]:
    """The record of a run that is to go on.

    Args:
        settings: that it goes on with. Epochs, patience and device may be others than before; a rate of None is that
            of before.
        last: checkpoint of the run's last epoch.
        material: digest of the frames that it goes on with; None to leave them aside.

    Raises:
        InputError: the checkpoint is damaged, of another kind of network, of other settings, or of other frames.
    """
    return state_to_go_on(
        last,
        settings,
        kind="dense detector",
        holds="average",
        free=_FREE if settings.rate is not None else (*_FREE, "rate"),
        learnt_from="frames",
        material=material,
    )


def _stream(settings: FitSettings, pools: FramePools, network: DenseDetector, start: int) -> BatchStream:
    return BatchStream(
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
        variation=settings.variation,
        closing_epochs=settings.closing_epochs,
        colour_exchange=settings.colour_exchange,
    )


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
    )


def _set_rate(run: _Run, step: int) -> None:
    total = run.settings.epochs * run.settings.steps_per_epoch
    factor = cosine_factor(step, total, warm_up=run.settings.warm_up_steps)
    for group in run.optimizer.param_groups:
        group["lr"] = run.rate * group["share"] * factor


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


def evidence_of(start_from: Path) -> float:
    """The part that masks have in the scores of a checkpoint or a bundle, as of `DenseSettings.mask_evidence`.

    Raises:
        InputError: there is no such model, or it does not say.
    """
    if start_from.is_file():
        return load_network(start_from)[0].settings.mask_evidence
    return settings_of_bundle(load_bundle(str(start_from))).mask_evidence


def _earlier(start_from: Path, network: DenseDetector, pictures: Tensor) -> DenseDetector:
    """The network of a checkpoint or a bundle, made as `network` is."""
    if start_from.is_file():
        earlier, _ = load_network(start_from)
    else:
        earlier = network_of_bundle(load_bundle(str(start_from)), pictures)
    if replace(earlier.settings, mask_evidence=network.settings.mask_evidence) != network.settings:
        raise InputError(f"{str(start_from)!r} is of another network ({earlier.settings}); name one of the same")
    return earlier
