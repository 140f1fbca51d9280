from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays import Float32s
from engine.windows.preprocess import lay_in, layout, normalise
from engine.windows.sliding import SlidingGrid, cut_windows, levels_of
from tests.kit.kernel_library import KernelLibrary, compiler_or_skip
from tests.kit.planes import formats, soft_image

ROOT = Path(__file__).resolve().parents[3]
KERNELS = ROOT / "engine" / "gpu" / "kernels"
SOURCES = sorted(KERNELS.glob("*.cu"))
MEAN, STD = 127.0, 128.0
Box = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> KernelLibrary:
    compiler_or_skip()
    return KernelLibrary(tmp_path_factory.mktemp("kernels"))


def _frame(width: int, height: int, seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _expected(frame: npt.NDArray[np.uint8], box: Box, input_wh: tuple[int, int]) -> Float32s:
    """The same in float32 by OpenCV, without rounding to 8 bit in between."""
    halvings, box, letterbox = layout(box, input_wh)
    side = 1 << halvings
    left, top, right, bottom = letterbox.inner_xyxy
    crop = frame[box[1] : box[3], box[0] : box[2]].astype(np.float32)
    rows, columns = crop.shape[0] // side, crop.shape[1] // side
    crop = crop.reshape(rows, side, columns, side, 3).mean((1, 3))
    canvas = np.zeros((input_wh[1], input_wh[0], 3), np.float32)
    canvas[top:bottom, left:right] = cv2.resize(crop, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return np.asarray(((canvas[..., ::-1] - MEAN) / STD).transpose(2, 0, 1), np.float32)


def _steps_apart(found: npt.NDArray[np.float16], expected: Float32s) -> float:
    """Largest difference in steps of FP16 beyond what FP32 itself rounds.

    A position near 200 is rounded by 200 / 2**24 of a pixel, and the picture changes by up to 255 / 128 from pixel to
    pixel: 2.4e-5 along each side. Near zero that is many steps of FP16.
    """
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float16).astype(np.float64)) - 5e-5
    steps = np.spacing(np.abs(expected).astype(np.float16)).astype(np.float64)
    return float((apart / steps).max())


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, Box, tuple[int, int], int]:
    width, height = draw(st.integers(2, 200)), draw(st.integers(2, 160))
    left, top = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    box = (left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height)))
    return width, height, box, (draw(st.integers(1, 96)), draw(st.integers(1, 96))), draw(st.integers(0, 99))


@given(layouts())
@settings(max_examples=100)
def test_laying_in_is_within_one_step_of_opencv(
    kernels: KernelLibrary, layout: tuple[int, int, Box, tuple[int, int], int]
) -> None:
    width, height, box, input_wh, seed = layout
    frame = _frame(width, height, seed)
    found = kernels.lay_in(frame, box, input_wh, mean=MEAN, std=STD)
    assert _steps_apart(found, _expected(frame, box, input_wh)) <= 1


@pytest.mark.parametrize(
    ("size", "box"),
    [
        pytest.param((720, 576), (100, 20, 676, 532), id="shrinks by two"),
        pytest.param((640, 480), (31, 17, 601, 460), id="shrinks by a fraction"),
        pytest.param((384, 288), (10, 5, 200, 170), id="enlarges"),
        pytest.param((288, 256), (0, 0, 288, 256), id="as it is"),
    ],
)
def test_same_input_as_on_the_processor(kernels: KernelLibrary, size: tuple[int, int], box: Box) -> None:
    frame = np.asarray(cv2.GaussianBlur(_frame(*size, 1), (0, 0), 3), np.uint8)
    inside = np.zeros(frame.shape[:2], np.uint8)
    cv2.circle(inside, (size[0] // 2, size[1] // 2), size[1] // 2, 1, -1)
    mask = inside.astype(np.bool_)
    for shown in (None, mask):
        laid, _ = lay_in(frame, box, (288, 256), mask=shown)
        found = kernels.lay_in(frame, box, (288, 256), mean=MEAN, std=STD, mask=shown)
        apart = np.abs(found.astype(np.float32) - normalise([laid], MEAN, STD)[0]) * STD
        # The processor rounds to 8 bit after each halving and at the end: half a colour value each, and its weights.
        assert apart.max() <= 1.6
        assert (
            (found == np.float16(-MEAN / STD)).all(0) == (normalise([laid], MEAN, STD)[0] == -MEAN / STD).all(0)
        ).all()


@given(layouts(), st.data())
@settings(max_examples=100, deadline=None)
def test_planes_are_laid_in_as_bgr_of_them(
    kernels: KernelLibrary, layout: tuple[int, int, Box, tuple[int, int], int], data: st.DataObject
) -> None:
    width, height, box, input_wh, seed = layout
    width, height = width + 16, height + 16
    picture = data.draw(formats(soft_image((width, height), seed)))
    found = kernels.lay_in_planes(picture, box, input_wh, mean=MEAN, std=STD)
    apart = np.abs(found.astype(np.float32) - _expected(picture.image, box, input_wh)) * STD
    # Colours of the whole picture are rounded to 8 bit before they are shrunk, and cut to 0 to 255.
    assert apart.max() <= 1.1


@given(layouts(), st.booleans(), st.floats(0.05, 1), st.floats(0.05, 1))
@settings(max_examples=100)
def test_resizing_a_field_is_within_one_step_of_opencv(
    kernels: KernelLibrary,
    layout: tuple[int, int, Box, tuple[int, int], int],
    shrinks: bool,
    across: float,
    down: float,
) -> None:
    width, height, box, _, seed = layout
    frame = _frame(width, height, seed)
    box_wh = (box[2] - box[0], box[3] - box[1])
    shares = (across, down) if shrinks else (1 + 2 * across, 1 + 2 * down)
    resized = (max(1, round(box_wh[0] * shares[0])), max(1, round(box_wh[1] * shares[1])))
    crop = frame[box[1] : box[3], box[0] : box[2]].astype(np.float32)
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    expected = cv2.resize(crop, resized, interpolation=method).reshape(resized[1], resized[0], 3)
    found = kernels.resize_field(frame, box, resized, shrinks=shrinks, mean=MEAN, std=STD)
    assert _steps_apart(found, np.asarray(((expected[..., ::-1] - MEAN) / STD).transpose(2, 0, 1), np.float32)) <= 1


@pytest.mark.parametrize("input_wh", [(24, 24), (150, 150)], ids=["shrunk", "enlarged and shrunk"])
def test_windows_are_those_of_the_processor(kernels: KernelLibrary, input_wh: tuple[int, int]) -> None:
    box = (31, 17, 351, 257)
    frame = _frame(384, 288, 2)
    inside = np.zeros(frame.shape[:2], np.uint8)
    cv2.circle(inside, (190, 140), 130, 1, -1)
    mask = inside.astype(np.bool_)
    windows = SlidingGrid((0.3, 0.9), 0.34, least_inside=0.5).windows_xyxy(box, mask)
    expected = normalise(cut_windows(frame, box, windows, input_wh, mask=mask), MEAN, STD)
    for level in levels_of(box, windows, input_wh):
        planes = kernels.resize_field(
            frame, box, level.resized_wh, shrinks=level.shrinks, mean=MEAN, std=STD, mask=mask
        )
        found = kernels.gather_windows(planes, level.corners_xy, input_wh)
        # The processor rounds to 8 bit, half a colour value; enlarging, it computes in whole numbers on the way.
        assert np.abs(found.astype(np.float32) - expected[level.windows]).max() * STD <= 1


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 40), st.data())
@settings(max_examples=50)
def test_gathered_windows_are_identical(
    kernels: KernelLibrary, seed: int, width: int, height: int, data: st.DataObject
) -> None:
    planes = np.random.default_rng(seed).normal(size=(3, height, width)).astype(np.float16)
    side = (data.draw(st.integers(1, width)), data.draw(st.integers(1, height)))
    corner = st.tuples(st.integers(0, width - side[0]), st.integers(0, height - side[1]))
    corners = np.array(data.draw(st.lists(corner, min_size=1, max_size=12)), np.int32)
    expected = np.stack([planes[:, y : y + side[1], x : x + side[0]] for x, y in corners])
    assert np.array_equal(kernels.gather_windows(planes, corners, side), expected)


def test_shim_rounds_to_fp16_as_numpy(kernels: KernelLibrary) -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, np.uint32)
    values = np.concatenate(
        [bits.view(np.float32), np.array([0, -0.0, 65519.9, 65520, 1e-8, 2.98e-8, np.inf], np.float32)]
    )
    every = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)  # all that are finite and positive
    values = np.concatenate([values[~np.isnan(values)], every, (every[:-1] + every[1:]) / 2])
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    assert np.array_equal(kernels.halves(values).view(np.uint16), expected.view(np.uint16))


def test_the_kernels_are_where_these_tests_look() -> None:
    """Without sources, the tests below would have no cases and pass."""
    assert [path.name for path in SOURCES] == ["pictures.cu"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_kept_ptx_is_of_this_source(source: Path) -> None:
    digest = hashlib.sha256(source.read_bytes().replace(b"\r", b"")).hexdigest()
    last = source.with_suffix(".ptx").read_text().strip().splitlines()[-1]
    assert last == f"// source sha256 {digest}", "run scripts/compile_kernels.sh"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_compiling_again_gives_the_kept_ptx(source: Path, tmp_path: Path) -> None:
    kept = source.with_suffix(".ptx").read_text()
    version = re.search(r"release [\d.]+, V([\d.]+)", kept)
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    assert version is not None
    if version[1] not in subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout:
        pytest.skip(f"needs nvcc {version[1]}, with which the PTX was made")
    subprocess.run(["bash", str(ROOT / "scripts" / "compile_kernels.sh"), str(tmp_path)], check=True)
    assert (tmp_path / f"{source.stem}.ptx").read_text() == kept


def test_ptx_is_for_turing_and_newer_and_does_not_fuse() -> None:
    assert SOURCES
    for source in SOURCES:
        text = source.with_suffix(".ptx").read_text()
        assert ".target sm_75" in text
        assert not re.search(r"\bfma\.", text)
        for name in re.findall(r'extern "C" __global__ void (\w+)', source.read_text()):
            assert f".visible .entry {name}(" in text
