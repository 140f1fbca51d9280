from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from engine.bundle import load_bundle, shipped_bundles
from engine.errors import InputError, RunError, RuntimeUnavailableError
from engine.gpu import library as tensorrt_library
from engine.runtime import RuntimeSettings
from engine.runtimes import opening as runtimes
from engine.runtimes.opening import open_runtime
from tests.kit.tiny_bundle import PROCESSOR_RUNTIMES, REACH, make_tiny_bundle


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are of the processor, also where there is a GPU."""
    monkeypatch.setattr(tensorrt_library, "nvidia_gpu", lambda: None)


def _pictures(count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).random((count, 3, 64, 64), np.float32)


@pytest.mark.parametrize("name", PROCESSOR_RUNTIMES)
def test_outputs_are_those_of_the_network(tmp_path: Path, name: str) -> None:
    pictures = _pictures(3)
    with open_runtime(make_tiny_bundle(tmp_path), name) as runtime:
        outputs = runtime.run(pictures)
    cells = pictures.mean(1).reshape(3, 8, 8, 8, 8).mean((2, 4)).reshape(3, 64)
    assert outputs["logits"].shape == (3, 64 + 16 + 4)
    assert outputs["logits"][:, :64] == pytest.approx(20 * (cells - 0.5), abs=1e-3)
    assert (outputs["distances"] == REACH).all()


@pytest.mark.parametrize("name", PROCESSOR_RUNTIMES)
def test_several_threads_get_their_own_answers(tmp_path: Path, name: str) -> None:
    wrong: list[int] = []
    with open_runtime(make_tiny_bundle(tmp_path), name, RuntimeSettings(streams=2)) as runtime:
        expected = [runtime.run(_pictures(1, seed))["logits"] for seed in range(4)]

        def work(seed: int) -> None:
            for _ in range(20):
                if not np.array_equal(runtime.run(_pictures(1, seed))["logits"], expected[seed]):
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert runtime.description.streams == 2
    assert wrong == []


@pytest.mark.parametrize("name", sorted(shipped_bundles()))
def test_runtimes_agree_on_a_shipped_network(name: str) -> None:
    bundle = load_bundle(name)
    width, height = bundle.input_wh
    pictures = np.random.default_rng(0).normal(0, 0.6, (2, 3, height, width)).astype(np.float32)
    answers = []
    for runtime_name in PROCESSOR_RUNTIMES:
        with open_runtime(bundle, runtime_name, RuntimeSettings(precision="fp32")) as runtime:
            answers.append(runtime.run(pictures))
    for key, value in answers[0].items():
        assert np.abs(value - answers[1][key]).max() < 2e-3, key


def test_auto_says_what_it_chose_and_why(tmp_path: Path) -> None:
    with open_runtime(make_tiny_bundle(tmp_path)) as runtime:
        assert runtime.description.name == "openvino"
        assert runtime.description.reason.startswith("first that works; tensorrt not available: no NVIDIA driver")


def test_auto_goes_on_to_the_next_and_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runtimes._FILES, "openvino", "engine.no_such_library")
    with open_runtime(make_tiny_bundle(tmp_path)) as runtime:
        assert runtime.description.name == "onnxruntime"
        assert "pip install openvino" in runtime.description.reason
    with pytest.raises(RuntimeUnavailableError, match="pip install openvino"):
        open_runtime(make_tiny_bundle(tmp_path), "openvino")


def test_unknown_runtime_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown runtime 'cuda': choose one of auto, tensorrt, openvino, onnxruntime"):
        open_runtime(make_tiny_bundle(tmp_path), "cuda")


@pytest.mark.parametrize("name", PROCESSOR_RUNTIMES)
def test_network_file_that_is_no_network(tmp_path: Path, name: str) -> None:
    bundle = make_tiny_bundle(tmp_path)
    bundle.networks["fp32"].path.write_bytes(b"no onnx")
    with pytest.raises(RuntimeUnavailableError, match=r"cannot load .*model\.fp32\.onnx"):
        open_runtime(bundle, name)


@pytest.mark.parametrize("name", PROCESSOR_RUNTIMES)
def test_pictures_of_another_size_fail_with_a_cause(tmp_path: Path, name: str) -> None:
    with open_runtime(make_tiny_bundle(tmp_path), name) as runtime, pytest.raises(RunError, match="failed"):
        runtime.run(np.zeros((1, 3, 32, 32), np.float32))
