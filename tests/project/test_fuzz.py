"""Every parser of ours, fed with damaged files and with nonsense: it reads, or refuses in one line of an `InputError`.

`POLYPSTREAM_FUZZ=1000` tries more inputs for each parser than the usual ones.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine.bundle import load_bundle
from engine.errors import InputError
from engine.vouching.manifest import seal
from engine.vouching.onnx_data import external_files
from stream.sources.containers.animated import is_animation
from stream.sources.containers.heif import primary_grid
from stream.sources.containers.picture_sizes import largest_size
from stream.sources.picture_reader import read_picture
from stream.view.endoscope import load_preset
from tests.kit.tiny_bundle import make_tiny_bundle, make_tiny_windows_bundle
from train.data.class_folders import RECORD, read_class_folders
from train.data.datasets import read_dataset
from train.data.video_truth import read_clip, read_clip_list, read_json
from train.dense.recipe import DenseRecipe
from train.interchange.coco import read_coco_detections, read_coco_truth
from train.run.settings import read_assignments, read_settings, with_settings

_EXAMPLES = int(os.environ.get("POLYPSTREAM_FUZZ", "40"))
_SETTINGS = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize="POLYPSTREAM_FUZZ" not in os.environ,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
_NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.sampled_from([10**7, 2**31, 2**63, 10**11, 10**30, -(10**30), 10**400, 0.5, 1e300, -1e300]),
    st.floats(),
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    _NUMBERS,
    st.text(max_size=12),
    st.sampled_from(["x" * 5000, "../../etc", "a\0b", "\x1b[2J", "bad$\\frac{$", "\ud800"]),
)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)
_DEEP = b"[" * 50_000


def _deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@st.composite
def _damaged(draw: st.DrawFn, valid: Any) -> bytes:
    """A record with some places changed or taken out, another JSON, or bytes of any kind."""
    way = draw(st.integers(0, 9))
    if way == 0:
        return draw(st.binary(max_size=60) | st.just(_DEEP) | st.just(b"9" * 10_000) | st.just(b"\xef\xbb\xbf{}"))
    if way == 1:
        return json.dumps(draw(_JSON)).encode()
    record = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        _change(draw, record)
    data = json.dumps(record).encode()
    if way == 2:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw(st.binary(max_size=3)) + data[place + 1 :]
    return data


def _change(draw: st.DrawFn, record: Any) -> None:
    """Changes one place somewhere in a record."""
    while True:
        keys = list(record) if isinstance(record, dict) else list(range(len(record)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        inner = record[key]
        if isinstance(inner, (dict, list)) and inner and draw(st.integers(0, 3)):
            record = inner
            continue
        if draw(st.integers(0, 5)):
            record[key] = draw(_JSON | st.just(_deep(80)) | st.just(_deep(700)))
        else:
            del record[key]
        return


@st.composite
def _damaged_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """A file with some bytes changed, cut out or cut off."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        data[place : place + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


def _refused_or_read(parse: Callable[[], object]) -> None:
    """Runs a parser: another error than `InputError` fails the test by itself."""
    try:
        parse()
    except InputError as error:
        text = str(error)
        assert len(text.splitlines()) == 1 and len(text) < 2000, text[:3000]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("make", [make_tiny_bundle, make_tiny_windows_bundle])
def test_records_of_models(room: Path, make: Callable[[Path], object]) -> None:
    folder = room / make.__name__
    make(folder)
    valid = json.loads((folder / "model.json").read_text())
    valid["calibration"] = {"scores": [0.0, 0.4, 1.0], "probabilities": [0.0, 0.5, 1.0]}

    @_SETTINGS
    @given(_damaged(valid))
    def fuzz(data: bytes) -> None:
        (folder / "model.json").write_bytes(data)
        seal(folder)
        _refused_or_read(lambda: load_bundle(folder))

    fuzz()


def test_manifests(room: Path) -> None:
    folder = room / "manifest"
    make_tiny_bundle(folder)
    valid = json.loads((folder / "manifest.json").read_text())

    @_SETTINGS
    @given(_damaged(valid))
    def fuzz(data: bytes) -> None:
        (folder / "manifest.json").write_bytes(data)
        _refused_or_read(lambda: load_bundle(folder))

    fuzz()


def _coco(room: Path) -> dict[str, Any]:
    cv2.imwrite(str(room / "a.png"), np.zeros((20, 30, 3), np.uint8))
    runs = [{"size": [20, 30], "counts": counts} for counts in ([10, 590], [0, 1e11], "0d:", "oooooooooooooooo")]
    shapes = [[[1, 1, 9, 1, 9, 9]], *runs]
    return {
        "images": [{"id": 1, "file_name": "a.png", "group": "p"}],
        "annotations": [
            {"id": number, "image_id": 1, "bbox": [1, 2, 3, 4], "segmentation": shape}
            for number, shape in enumerate(shapes)
        ],
    }


def test_truth_of_coco(room: Path) -> None:
    path = room / "truth.json"

    @_SETTINGS
    @given(_damaged(_coco(room)), st.integers(0, 4))
    def fuzz(data: bytes, which: int) -> None:
        path.write_bytes(data)

        def parse() -> None:
            record = dict(read_json(path))
            annotations = record.get("annotations")
            if isinstance(annotations, list) and which < len(annotations):
                record["annotations"] = annotations[which : which + 1]  # else the first that is refused hides the rest
            for still in read_coco_truth(path, record):
                still.load()

        _refused_or_read(parse)

    fuzz()


@pytest.mark.parametrize(
    "counts", [[0, 1e11], [0, 10**11], [-1, 601], [600, "a"], [[600]], 600, "~" * 99, "\xe9", None]
)
def test_run_lengths(room: Path, counts: object) -> None:
    record = _coco(room)
    record["annotations"] = [
        {"id": 7, "image_id": 1, "bbox": [1, 2, 3, 4], "segmentation": {"size": [20, 30], "counts": counts}}
    ]
    (still,) = read_coco_truth(room / "truth.json", record)
    with pytest.raises(InputError, match=r"annotation 7 of .* cannot be used"):
        still.load()


def test_detections_of_coco(room: Path) -> None:
    stills = read_coco_truth(room / "truth.json", _coco(room))
    path = room / "detections.json"

    @_SETTINGS
    @given(_damaged([{"image_id": name, "bbox": [1, 2, 3, 4], "score": 0.5} for name in (1, "a", "a.png")]))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        _refused_or_read(lambda: read_coco_detections(path, stills)(stills, [], []))

    fuzz()


def test_truth_of_clips(room: Path) -> None:
    video = room / "clip.mp4"
    video.touch()
    line = {"frame": 0, "polyps": [{"id": 1, "box_xyxy": [1, 2, 3, 4]}]}

    @_SETTINGS
    @given(st.lists(_damaged(line), min_size=1, max_size=3))
    def fuzz(lines: list[bytes]) -> None:
        video.with_suffix(".truth.jsonl").write_bytes(b"\n".join([json.dumps(line).encode(), *lines]))
        _refused_or_read(lambda: read_clip(video))

    fuzz()


def test_lists_of_clips(room: Path) -> None:
    (room / "clip.mp4").touch()
    path = room / "clips.json"
    clip = {"video": "clip.mp4", "polyps": [{"id": 1, "frames": [[0, 9]]}], "judged": [[0, 9]], "group": "a"}

    @_SETTINGS
    @given(_damaged({"clips": [clip]}))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        _refused_or_read(lambda: read_clip_list(path))

    fuzz()


def test_presets_of_endoscopes(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPSTREAM_CONFIG", str(room))
    path = room / "endoscopes" / "mine.json"
    path.parent.mkdir()
    valid = {
        "format": 1,
        "name": "mine",
        "resolution_wh": [320, 240],
        "reach": [100.0] * 64,
        "covers_xyxy": [[1, 2, 3, 4]],
        "text_xyxy": [[5, 6, 7, 8]],
        "margin_level": 16,
    }

    @_SETTINGS
    @given(_damaged(valid))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        _refused_or_read(lambda: load_preset("mine"))

    fuzz()


@pytest.mark.parametrize("name", ["sequences.csv", "split_val.txt", "split_test.txt"])
def test_lists_of_data_sets(room: Path, name: str) -> None:
    folder = room / name.replace(".", "-")
    for number in range(2):
        for side in ("images", "masks"):
            (folder / side).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / side / f"f{number}.png"), np.full((32, 32), 255 * number, np.uint8))
    valid = b"image,sequence\nf0.png,1\nf1.png,2\n" if name.endswith("csv") else b"f0\nf1\n"

    @_SETTINGS
    @given(_damaged_bytes(valid) | st.just(b'image,sequence\n"' + b"x" * 200_000) | st.just(b"image,sequence\nf0\n"))
    def fuzz(data: bytes) -> None:
        (folder / name).write_bytes(data)
        _refused_or_read(lambda: read_dataset(folder))

    fuzz()


def test_records_of_class_folders(room: Path) -> None:
    folder = room / "classes"
    (folder / "one").mkdir(parents=True)

    @_SETTINGS
    @given(_damaged({"pictures": {"one/a.png": {"frame": "a", "group": "b"}}}))
    def fuzz(data: bytes) -> None:
        (folder / RECORD).write_bytes(data)
        _refused_or_read(lambda: read_class_folders(folder, size=32))

    fuzz()


@pytest.mark.slow
def test_settings_of_runs(room: Path) -> None:
    path = room / "recipe.json"
    start = DenseRecipe(data=(), folder=room)
    bombs = [
        b"a: &a [1]\nb: [*a, *a]\n",
        b"- " * 5000,
        b"{" * 5000,
        b"!!python/object/apply:os.system [ls]",
        b"a: " + b"x" * 2_000_000,
    ]

    @_SETTINGS
    @given(_damaged({"fit": {"epochs": 3, "rate": 0.1}, "input_wh": [64, 64], "seed": 1}) | st.sampled_from(bombs))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        _refused_or_read(lambda: with_settings(start, read_settings(path)))

    @_SETTINGS
    @given(st.lists(st.text(max_size=20) | st.sampled_from(["seed=1e400", "fit.rate=nan", "a.b.c=1", "fit=3"])))
    def assignments(texts: list[str]) -> None:
        _refused_or_read(lambda: with_settings(start, read_assignments(texts)))

    fuzz()
    assignments()


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tiff", "ppm", "jp2", "avif"])
def test_pictures(room: Path, ending: str) -> None:
    path = room / f"picture.{ending}"
    assert cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, (64, 96, 3), np.uint8))

    @_SETTINGS
    @given(_damaged_bytes(path.read_bytes()))
    def fuzz(data: bytes) -> None:
        path.write_bytes(data)
        largest_size(data)
        is_animation(path)
        primary_grid(path)
        _refused_or_read(lambda: read_picture(path))

    fuzz()


def test_networks(room: Path) -> None:
    make_tiny_bundle(room / "network")
    valid = (room / "network" / "model.fp32.onnx").read_bytes()

    @_SETTINGS
    @given(_damaged_bytes(valid) | st.binary(max_size=60))
    def fuzz(data: bytes) -> None:
        assert isinstance(external_files(data), tuple)

    fuzz()
