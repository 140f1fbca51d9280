from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.conversion.fp16 import add_fp16
from engine.conversion.parity import Found, compare_detections, compare_outputs
from engine.runtime import RuntimeSettings
from engine.runtimes.onnxruntime import OnnxRuntime
from engine.runtimes.opening import open_runtime
from tests.kit.tiny_bundle import make_tiny_bundle

PICTURES = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)


def _found(*rows: tuple[float, float, float, float, float]) -> Found:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Found(table[:, :4], table[:, 4])


def test_fp16_network_stands_near_the_reference(tmp_path: Path) -> None:
    pytest.importorskip("onnxconverter_common")
    bundle = add_fp16(make_tiny_bundle(tmp_path), PICTURES)
    half = OnnxRuntime(bundle, RuntimeSettings(precision="fp16"), "")
    assert half.description.precision == "fp16"
    with open_runtime(bundle, "onnxruntime") as reference, half:
        parity = compare_outputs(bundle, reference, half, PICTURES)
        assert half.run(PICTURES)["logits"].dtype == np.float32
    assert parity.pictures == 3
    assert 0 < parity.score < 5e-3
    assert parity.box_px < 0.1


@pytest.mark.parametrize("spoiled", ["logits", "distances"])
def test_differences_are_seen(tmp_path: Path, spoiled: str) -> None:
    bundle = make_tiny_bundle(tmp_path)
    with open_runtime(bundle, "onnxruntime") as reference:

        def run(pictures: Any) -> Any:
            outputs = {name: value.copy() for name, value in reference.run(pictures).items()}
            outputs[spoiled][0, 5] += 0.5
            return outputs

        other: Any = SimpleNamespace(run=run)
        parity = compare_outputs(bundle, reference, other, PICTURES)
    if spoiled == "logits":
        assert parity.score > 0.05 and parity.box_px == 0
    else:
        assert parity.score == 0 and parity.box_px == pytest.approx(0.5 * 8)


def test_numbers_that_are_none_are_infinitely_far(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path)
    with open_runtime(bundle, "onnxruntime") as reference:
        broken: Any = SimpleNamespace(run=lambda p: {k: v * np.nan for k, v in reference.run(p).items()})
        assert compare_outputs(bundle, reference, broken, PICTURES).score == float("inf")


ONE = (10.0, 10.0, 50.0, 50.0, 0.9)


@pytest.mark.parametrize(
    ("reference", "candidate", "changed", "score", "box"),
    [
        pytest.param([_found()], [_found()], 0, 0, 0, id="nothing on either side"),
        pytest.param([_found(ONE)], [_found(ONE)], 0, 0, 0, id="the same"),
        pytest.param([_found(ONE)], [_found((12, 10, 50, 50, 0.85))], 0, 0.05, 2, id="moved a little"),
        pytest.param([_found(ONE)], [_found()], 1, 0, 0, id="lost"),
        pytest.param([_found()], [_found(ONE)], 1, 0, 0, id="new"),
        pytest.param([_found(ONE)], [_found((60, 60, 90, 90, 0.9))], 2, 0, 0, id="elsewhere"),
        pytest.param([_found(ONE), _found()], [_found(), _found(ONE)], 2, 0, 0, id="in another frame"),
        pytest.param([_found(ONE)], [_found(ONE, (11, 11, 50, 50, 0.7))], 1, 0, 0, id="twice"),
    ],
)
def test_changed_detections(
    reference: list[Found], candidate: list[Found], changed: int, score: float, box: float
) -> None:
    parity = compare_detections(reference, candidate)
    assert parity.changed == changed
    assert parity.detections == sum(len(found.scores) for found in reference)
    assert parity.score == pytest.approx(score, abs=1e-6)
    assert parity.box_px == pytest.approx(box)
