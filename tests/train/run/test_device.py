"""The precision that networks are trained in."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")

import torch

from engine.machine import Processor
from train.run.device import half_type, mixed_precision


@pytest.mark.parametrize(
    ("instruction_sets", "kind"),
    [
        (("AVX2", "AVX-512", "VNNI", "BF16", "AMX"), torch.bfloat16),
        (("NEON", "BF16"), torch.bfloat16),
        (("AVX2", "AVX-512", "VNNI"), torch.float32),  # bfloat16 would be emulated, many times slower
        (("AVX2",), torch.float32),
        ((), torch.float32),
    ],
)
def test_half_precision_only_where_a_processor_has_it(
    instruction_sets: tuple[str, ...], kind: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.run.device.processor", lambda: Processor("some", 2, 2, instruction_sets))
    device = torch.device("cpu")
    assert half_type(device) is kind
    with mixed_precision(device):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is kind
