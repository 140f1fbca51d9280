"""The examples in the README and in docstrings run as they are written."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import polypstream
from engine.arrays import Image
from tests.live_kit import tissue
from tests.media import make_video

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("engine", "stream", "train", "calibration", "polypstream")
FRAMES = 10
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What the examples need beside the core, by their files.
_NEEDED = {"stream.live.page.page": "websockets"}
#: Modules of which one example at least is expected, so that a search that finds nothing does not pass.
_EXPECTED = {"polypstream", "stream.detection.detector", "stream.lesion.classifier", "stream.sources.picture_reader"}

pytestmark = pytest.mark.skipif(not (ROOT / "models/polyp/model.json").is_file(), reason="holds no models/polyp")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder of an example: `exam.mp4`, 10 frames, and `frame.png`, both with a margin."""

    def drawn(number: int, size_wh: tuple[int, int]) -> Image:
        image = tissue(size_wh, polyp_xy=(160 + number, 120))
        image[:, :40] = 0
        return image

    make_video(tmp_path / "exam.mp4", frames=FRAMES, size=(320, 240), draw=drawn)
    assert cv2.imwrite(str(tmp_path / "frame.png"), drawn(0, (320, 240)))
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def python_blocks(text: str) -> list[str]:
    """The blocks of Python in a page of Markdown; there has to be one."""
    blocks = _BLOCK.findall(text)
    assert blocks, "no block ```python was found"
    return blocks


def modules_with_examples() -> list[str]:
    """Names of the modules whose docstrings hold examples."""
    found = []
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def test_a_page_without_python_is_noticed() -> None:
    assert python_blocks("text\n```python\na = 1\n```\n```json\n{}\n```\n") == ["a = 1\n"]
    with pytest.raises(AssertionError, match="no block"):
        python_blocks("```json\n{}\n```\n")


def test_the_examples_of_the_readme_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in python_blocks((ROOT / "README.md").read_text(encoding="utf-8")):
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    assert f"{FRAMES} frames," in capsys.readouterr().out
    assert (folder / "annotated.mp4").is_file()
    assert len((folder / "events.jsonl").read_text(encoding="utf-8").splitlines()) == FRAMES


def test_modules_with_examples_are_found() -> None:
    assert set(modules_with_examples()) >= _EXPECTED


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(name: str, folder: Path) -> None:
    """Each with the public names, and those of its own module, imported."""
    pytest.importorskip(_NEEDED.get(name, "numpy"))
    module = import_module(name)
    names: dict[str, Any] = {public: getattr(polypstream, public) for public in polypstream.__all__}
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    tests = [test for test in doctest.DocTestFinder().find(module, name, module, extraglobs=names) if test.examples]
    assert tests, f"{name} was thought to hold examples"
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.failures == 0, "\n".join(report)


def test_the_pictures_of_the_examples_show_something(folder: Path) -> None:
    image = polypstream.read_picture("frame.png")
    assert image.shape == (240, 320, 3) and not np.any(image[:, :40])
