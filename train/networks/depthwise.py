"""Depthwise 5x5 convolution that trains fast on processors.

In bfloat16, oneDNN has no fast weight gradient for depthwise 5x5 kernels: at 16 pictures of 240 channels, 32x36, on
two cores it takes 57 ms against 1.7 ms for a 3x3 kernel. A 5x5 gradient is four overlapping 3x3 gradients of the
input shifted by one pixel each way, and the gradient of the input is a forward convolution with the kernel turned by
half a turn; both run on the fast paths (63 ms become 21 ms, 26 ms become 4 ms at 8x9). At stride 2, float32 is the
fast one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution without bias; pads `before` pixels left and above, `after` right and below."""

    def __init__(self, channels: int, kernel: int, *, stride: int = 1, before: int, after: int) -> None:
        super().__init__(channels, channels, kernel, stride, groups=channels, bias=False)
        self.before, self.after = before, after

    def forward(self, input: Tensor) -> Tensor:
        stride = self.stride[0]
        slow = self.training and self.kernel_size[0] == 5 and torch.is_autocast_enabled("cpu")
        if slow and stride == 1:
            kind = torch.get_autocast_dtype("cpu")
            return _Depthwise5x5.apply(self._padded(input.to(kind)), self.weight.to(kind))  # type: ignore[no-any-return,no-untyped-call]
        if slow:
            with torch.autocast("cpu", enabled=False):
                return F.conv2d(self._padded(input.float()), self.weight, None, stride, 0, 1, self.groups)
        if self.before == self.after:
            return F.conv2d(input, self.weight, None, stride, self.before, 1, self.groups)
        return F.conv2d(self._padded(input), self.weight, None, stride, 0, 1, self.groups)

    def _padded(self, input: Tensor) -> Tensor:
        return F.pad(input, (self.before, self.after, self.before, self.after))


class _Depthwise5x5(torch.autograd.Function):
    """Stride 1, input padded already: (batch, channels, height + 4, width + 4) and (channels, 1, 5, 5)."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(padded, weight)
        return F.conv2d(padded, weight, None, 1, 0, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor]:
        (gradient,) = gradients
        padded, weight = ctx.saved_tensors
        channels = weight.shape[0]
        for_input = None
        if ctx.needs_input_grad[0]:
            for_input = F.conv2d(gradient, weight.flip(2, 3), None, 1, 4, 1, channels)
        height, width = gradient.shape[2] + 2, gradient.shape[3] + 2
        for_weight = torch.empty_like(weight)
        for top in (0, 2):
            for left in (0, 2):
                part = padded[:, :, top : top + height, left : left + width]
                for_weight[:, :, top : top + 3, left : left + 3] = torch.ops.aten.convolution_backward(
                    gradient,
                    part.contiguous(memory_format=torch.channels_last),
                    weight[:, :, :3, :3],
                    None,
                    [1, 1],
                    [0, 0],
                    [1, 1],
                    False,
                    [0, 0],
                    channels,
                    [False, True, False],
                )[1]
        return for_input, for_weight
