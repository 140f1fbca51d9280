"""Order of work, threads, batches and faults of the GPU runner, on a stand-in for the GPU (`tests.kit.fake_gpu`)."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine.arrays import Float32s
from engine.bundle import ModelBundle
from engine.conversion.fp16 import add_fp16
from engine.errors import RunError, RuntimeUnavailableError
from engine.gpu import runner as gpu_runner
from engine.gpu.library import Flavour, TensorRtLibrary
from engine.gpu.pictures import KERNELS
from engine.gpu.runner import EngineRefusedError, GpuMemoryError, GpuRunner, RunnerSettings
from engine.pictures.color import ColorTags
from engine.pictures.picture import Picture
from engine.runtime import FrameInput, RuntimeSettings
from engine.runtimes.onnxruntime import OnnxRuntime
from engine.runtimes.processor_frames import ProcessorFrames
from engine.windows.preprocess import lay_in, normalise
from engine.windows.sliding import SlidingGrid
from tests.kit.fake_gpu import CudaError, FakeDriver, FakeGraph, FakeTensorRt
from tests.kit.kernel_library import KernelLibrary, compiler_or_skip
from tests.kit.planes import picture_of_format, soft_image
from tests.kit.tiny_bundle import make_tiny_bundle, make_tiny_windows_bundle

pytest.importorskip("onnxconverter_common", reason="needs onnxconverter-common")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return add_fp16(make_tiny_bundle(tmp_path_factory.mktemp("tiny")), _pictures(1))


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> KernelLibrary:
    compiler_or_skip()
    return KernelLibrary(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(autouse=True)
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    made: list[FakeGraph] = []

    def make(stream: int, enqueue: Any) -> FakeGraph:
        made.append(FakeGraph(stream, enqueue))
        return made[-1]

    monkeypatch.setattr(gpu_runner, "CudaGraph", make)
    return made


def _pictures(count: int, seed: int = 0) -> Float32s:
    return np.random.default_rng(seed).random((count, 3, 64, 64), np.float32)


def _runner(
    bundle: ModelBundle, driver: FakeDriver, *, largest: int = 4, lanes: int = 2, plan: bytes | None = None
) -> tuple[GpuRunner, FakeTensorRt]:
    module: Any = FakeTensorRt(driver)
    library = TensorRtLibrary(module, Flavour.RTX, "1.7")
    settings = RunnerSettings(bundle.input_wh, largest, lanes, bundle.mean, bundle.std)
    network = bundle.networks["fp16"].path.read_bytes() if plan is None else plan
    return GpuRunner(driver, library, network, settings), module


def _expected(bundle: ModelBundle, pictures: Float32s) -> dict[str, Any]:
    with OnnxRuntime(bundle, RuntimeSettings(precision="fp16"), "") as runtime:
        return dict(runtime.run(pictures))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_batches_of_every_size_are_answered_in_order(bundle: ModelBundle, count: int) -> None:
    runner, _ = _runner(bundle, FakeDriver())
    pictures = _pictures(count)
    try:
        outputs, expected = runner.run(pictures), _expected(bundle, pictures)
    finally:
        runner.close()
    assert set(outputs) == {"logits", "distances"}
    for name, values in expected.items():
        assert outputs[name].dtype == np.float32
        assert np.abs(outputs[name] - values).max() < 1e-2


def test_few_shapes_each_with_a_context_and_a_graph(bundle: ModelBundle, graphs: list[FakeGraph]) -> None:
    runner, library = _runner(bundle, FakeDriver(), largest=6, lanes=1)
    for count in (1, 3, 4, 5, 6, 2, 3, 6):
        runner.run(_pictures(count))
    runner.close()
    assert set(library.shapes) == {1, 2, 4, 6}
    assert library.contexts == len(graphs) == 4
    assert sum(graph.launches for graph in graphs) == 8 + 1  # the first when the lane is made


def test_nothing_is_allocated_for_a_frame(bundle: ModelBundle, kernels: KernelLibrary) -> None:
    driver = FakeDriver(kernels)
    runner, _ = _runner(bundle, driver, lanes=1)
    frame = FrameInput(np.zeros((80, 100, 3), np.uint8), (0, 0, 100, 80))
    runner.run_frames([frame] * 4)
    before = driver.allocations
    for _ in range(5):
        runner.run_frames([frame] * 3)
        runner.run(_pictures(2))
    assert driver.allocations == before
    runner.close()


def test_frames_are_prepared_as_on_the_processor(bundle: ModelBundle, kernels: KernelLibrary) -> None:
    random = np.random.default_rng(3)
    mask = np.ones((200, 300), np.bool_)
    mask[:, 150:] = False
    frames = [
        FrameInput(random.integers(0, 256, (200, 300, 3), np.uint8), (20, 10, 290, 190)),
        FrameInput(random.integers(0, 256, (200, 300, 3), np.uint8), (0, 0, 300, 200), mask),
        FrameInput(random.integers(0, 256, (40, 50, 3), np.uint8), (5, 0, 50, 40)),
    ]
    laid = [lay_in(frame.image, frame.box_xyxy, (64, 64), mask=frame.mask)[0] for frame in frames]
    expected = _expected(bundle, normalise(laid, bundle.mean, bundle.std))
    runner, _ = _runner(bundle, FakeDriver(kernels), largest=2)
    try:
        outputs = runner.run_frames(frames)
    finally:
        runner.close()
    assert np.abs(outputs["logits"] - expected["logits"]).max() < 0.05  # 20 * 1 / 255 at the most is 0.08
    assert np.array_equal(outputs["distances"], expected["distances"])


def test_frames_as_decoded_are_prepared_as_on_the_processor_and_are_half_the_upload(
    bundle: ModelBundle, kernels: KernelLibrary
) -> None:
    image, tags = soft_image((300, 200), 4), ColorTags(matrix=1)
    mask = np.ones((200, 300), np.bool_)
    mask[:, 150:] = False
    pictures = [
        picture_of_format(image, (2, 2), color=tags),
        Picture.of(image),
        picture_of_format(image, (2, 1), color=tags, bits=10),
        picture_of_format(image, None, color=tags),
    ]
    boxes = [(20, 10, 290, 190), (0, 0, 300, 200), (21, 11, 291, 191), (20, 10, 290, 190)]
    masks = [None, mask, mask, None]
    frames = [FrameInput(*inputs) for inputs in zip(pictures, boxes, masks, strict=True)]
    laid = [lay_in(frame.image, frame.box_xyxy, (64, 64), mask=frame.mask)[0] for frame in frames]
    expected = _expected(bundle, normalise(laid, bundle.mean, bundle.std))
    driver = FakeDriver(kernels)
    runner, _ = _runner(bundle, driver, largest=4)
    try:
        outputs = runner.run_frames(frames)
        driver.uploads.clear()
        runner.run_frames(frames[:1])
        (size,) = driver.uploads
    finally:
        runner.close()
    assert np.abs(outputs["logits"] - expected["logits"]).max() < 0.05
    assert np.array_equal(outputs["distances"], expected["distances"])
    assert size == image.nbytes // 2 + 48  # and the matrix to BGR


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    bundle = make_tiny_windows_bundle(tmp_path_factory.mktemp("colours"))
    return add_fp16(bundle, np.random.default_rng(0).random((1, 3, 32, 32), np.float32))


def _window_inputs() -> tuple[list[FrameInput], list[npt.NDArray[np.int32]]]:
    """Three frames, one with a mask, one without windows, in two sizes; windows smaller and larger than the input."""
    random = np.random.default_rng(5)
    mask = np.ones((90, 120), np.bool_)
    mask[:, 70:] = False
    frames = [
        FrameInput(random.integers(0, 256, (90, 120, 3), np.uint8), (4, 6, 118, 84)),
        FrameInput(random.integers(0, 256, (60, 60, 3), np.uint8), (0, 0, 60, 60)),
        FrameInput(random.integers(0, 256, (90, 120, 3), np.uint8), (0, 0, 120, 90), mask),
    ]
    grid = SlidingGrid((0.3, 0.8), 0.4, least_inside=0.3)
    windows = [grid.windows_xyxy(frame.box_xyxy, frame.mask) for frame in frames]
    windows[1] = windows[1][:0]
    windows[2] = random.permutation(windows[2])  # in no order
    return frames, windows


@pytest.mark.parametrize("largest", [1, 7, 64])
def test_windows_are_cut_as_on_the_processor(classifier: ModelBundle, kernels: KernelLibrary, largest: int) -> None:
    frames, windows = _window_inputs()
    with OnnxRuntime(classifier, RuntimeSettings(), "") as reference:
        expected = ProcessorFrames(classifier, reference).run_windows(frames, windows)["logits"]
    runner, library = _runner(classifier, FakeDriver(kernels), largest=largest, lanes=1)
    try:
        outputs = runner.run_windows(frames, windows)
    finally:
        runner.close()
    assert outputs["logits"].shape == expected.shape == (sum(map(len, windows)), 3)
    assert len(np.unique(expected[:, 0])) > 20
    assert np.abs(outputs["logits"] - expected).max() < 0.08  # 20 * 1 / 255
    assert max(library.shapes) <= largest


def test_windows_upload_each_frame_once_and_allocate_once(classifier: ModelBundle, kernels: KernelLibrary) -> None:
    driver = FakeDriver(kernels)
    runner, library = _runner(classifier, driver, largest=8, lanes=1)
    frames, windows = _window_inputs()
    runner.run_windows(frames[:1], windows[:1])
    before, shapes = driver.allocations, len(library.shapes)
    driver.uploads.clear()
    runner.run_windows(frames[:1], windows[:1])
    runner.close()
    assert driver.uploads == [Picture.of(frames[0].image).nbytes + 8 * len(windows[0])]
    assert len(library.shapes) - shapes == -(-len(windows[0]) // 8) > 1
    assert driver.allocations == before


def test_short_memory_in_the_middle_leads_to_smaller_batches(
    classifier: ModelBundle, kernels: KernelLibrary, caplog: pytest.LogCaptureFixture
) -> None:
    frames, windows = _window_inputs()
    frames, windows = [frames[0], frames[2]] * 2, [windows[0], windows[2]] * 2
    runner, _ = _runner(classifier, FakeDriver(kernels), largest=4, lanes=1)
    expected = runner.run_windows(frames, windows)["logits"]
    runner.close()
    driver = FakeDriver(kernels)
    runner, _ = _runner(classifier, driver, largest=4, lanes=1)
    driver.room = 300_000  # for the resized fields of one or two frames, and not of four
    found = runner.run_windows(frames, windows)["logits"]
    runner.close()
    assert np.array_equal(found, expected)
    assert "no room on the GPU for batches of 4 (out of memory); going on with 2" in caplog.text


def test_no_room_for_a_single_picture_ends_the_run(classifier: ModelBundle, kernels: KernelLibrary) -> None:
    frames, windows = _window_inputs()
    driver = FakeDriver(kernels)
    runner, _ = _runner(classifier, driver, lanes=1)
    driver.room = 0
    with pytest.raises(RunError, match="no room on the GPU even for single pictures: out of memory"):
        runner.run_windows(frames[:1], windows[:1])
    runner.close()


def test_no_room_for_another_batch_size(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """TensorRT gives no context for a batch of four."""
    runner, _ = _runner(bundle, FakeDriver(), lanes=1)
    make = runner._make_context
    monkeypatch.setattr(runner, "_make_context", lambda lane, size: make(lane, size) if size < 4 else _no_room())
    pictures = _pictures(4)
    assert np.abs(runner.run(pictures)["logits"] - _expected(bundle, pictures)["logits"]).max() < 1e-2
    assert "no room on the GPU for batches of 4 (no context); going on with 2" in caplog.text
    runner.close()


def _no_room() -> Any:
    raise GpuMemoryError("no context")


def test_several_threads_get_their_own_answers_and_one_owns_the_gpu(bundle: ModelBundle) -> None:
    driver = FakeDriver()
    runner, _ = _runner(bundle, driver)
    expected = [_expected(bundle, _pictures(1, seed))["logits"] for seed in range(4)]
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for _ in range(20):
            try:
                if np.abs(runner.run(_pictures(1, seed))["logits"] - expected[seed]).max() > 1e-2:
                    wrong.append(seed)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runner.device == "Fake GPU"
    runner.close()
    assert wrong == []
    assert len(driver.owners) == 1 and driver.owners.pop().startswith("gpu")
    assert driver.detached == 1


def test_pictures_of_another_size(bundle: ModelBundle) -> None:
    runner, _ = _runner(bundle, FakeDriver())
    with pytest.raises(RunError, match=r"must be \(batch, 3, 64, 64\), not \(1, 3, 32, 32\)"):
        runner.run(np.zeros((1, 3, 32, 32), np.float32))
    runner.close()


def test_lost_gpu_ends_the_run_and_lanes_come_back(bundle: ModelBundle) -> None:
    driver = FakeDriver()
    runner, _ = _runner(bundle, driver, lanes=1)
    for call in ("memcpy_htod_async", "wait", "memcpy_dtoh_async"):
        driver.failing = call
        with pytest.raises(RunError, match="the GPU failed: .*the device is lost"):
            runner.run(_pictures(1))
    driver.failing = None
    assert runner.run(_pictures(1))["logits"].shape == (1, 84)
    runner.close()
    assert driver.detached == 1


def test_engine_that_is_refused(bundle: ModelBundle) -> None:
    driver = FakeDriver()
    with pytest.raises(EngineRefusedError, match=r"TensorRT-RTX 1\.7 does not load the engine: engine of another GPU"):
        _runner(bundle, driver, plan=b"bad")
    assert driver.detached == 1


@pytest.mark.parametrize("room", [0, 100_000])
def test_no_room_on_the_gpu(bundle: ModelBundle, room: int) -> None:
    driver = FakeDriver(room=room)
    with pytest.raises(GpuMemoryError, match="no room on the GPU for batches of 4: out of memory"):
        _runner(bundle, driver)
    assert driver.detached == 1


def test_cuda_that_does_not_start(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver()

    def fail() -> None:
        raise CudaError("cuInit failed: no device")

    monkeypatch.setattr(driver, "init", fail)
    with pytest.raises(RuntimeUnavailableError, match="CUDA does not work here: cuInit failed: no device"):
        _runner(bundle, driver)
    assert driver.detached == 0


def test_kernels_lie_where_the_runner_looks() -> None:
    assert (KERNELS / "pictures.ptx").is_file()
