"""Where a network is trained, and in which half precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from enum import Enum

import torch

from engine.errors import InputError
from engine.machine import processor


class Device(str, Enum):
    """Choice of the processor that trains."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def choose_device(wanted: Device) -> torch.device:
    """The device of a choice: for `auto` an NVIDIA GPU that torch can use, otherwise the processor.

    Raises:
        InputError: `cuda` is asked for and torch finds no GPU.
    """
    found = torch.cuda.is_available()
    if wanted is Device.CUDA and not found:
        raise InputError("device 'cuda' was asked for and torch finds no GPU; take auto or cpu, or torch's CUDA build")
    return torch.device("cuda" if found and wanted is not Device.CPU else "cpu")


def half_type(device: torch.device) -> torch.dtype:
    """Type for mixed precision: bfloat16, float16 on GPUs older than Ampere, which have no fast bfloat16.

    On processors without bfloat16 of their own float32: there bfloat16 is computed by float32 with roundings between,
    and a step was seen to take 15 times as long.
    """
    if device.type == "cuda":
        return torch.float16 if torch.cuda.get_device_capability(device)[0] < 8 else torch.bfloat16
    return torch.bfloat16 if {"BF16", "AMX"} & set(processor().instruction_sets) else torch.float32


def mixed_precision(device: torch.device, *, enabled: bool = True) -> AbstractContextManager[None]:
    """A context in which torch computes in half precision where it thinks it safe."""
    kind = half_type(device)
    if kind is torch.float32:
        return nullcontext()
    return torch.autocast(device.type, kind, enabled=enabled)


def gradient_scaler(device: torch.device) -> torch.amp.GradScaler:
    """Keeps small gradients of float16 from vanishing; does nothing for bfloat16, whose range is float32's."""
    return torch.amp.GradScaler(device.type, enabled=half_type(device) is torch.float16)
