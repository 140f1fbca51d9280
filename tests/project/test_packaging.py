"""The wheel in a fresh environment: what it carries, and that it runs from an empty folder without torch.

Most tests lend the environment the third-party libraries of the one that runs the tests; the long one installs
everything from scratch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import av
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import polypstream
from tests.kit.media import make_video

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("stream", "engine", "train", "calibration", "polypstream")
CORE = ("numpy", "cv2", "av", "openvino", "onnxruntime", "filelock", "platformdirs", "tifffile", "tqdm")
FRAMES = 12
MODEL = ROOT / "models" / "polyp" / "model.json"
needs_model = pytest.mark.skipif(not MODEL.is_file(), reason="these sources hold no models/polyp")

_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "runs", "tests", "benchmarks")
#: Runs at every start of the environment's Python: detection has to do without these.
_KEEPER = """
import sys

class Keeper:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "onnx", "onnxscript", "matplotlib", "tensorrt", "pycuda", "pytest"}:
            raise ModuleNotFoundError(f"No module named {name!r} (kept out by a test)", name=name)

sys.meta_path.insert(0, Keeper)
"""


#: Variables that lead back to the sources.
_LEADS_BACK = ("PYTHONPATH", "MYPYPATH", "PYTHONHOME", "VIRTUAL_ENV")
#: Every line with `type: ignore` is a fault on purpose: mypy also complains of one that is none.
_PROGRAM = """
from __future__ import annotations

from pathlib import Path

import polypstream
from polypstream import (
    Classifier,
    Detection,
    Detector,
    FieldOfView,
    Frame,
    InputError,
    ModelBundle,
    PolypstreamError,
    RecordingResult,
    RecordingSettings,
    RuntimeSettings,
    Tracker,
    TrackerSettings,
    detect_recording,
    find_field_of_view,
    load_bundle,
    open_source,
    read_picture,
)


def scores(path: Path) -> list[float]:
    detector: Detector = Detector.open("polyp", settings=RuntimeSettings(threads=1))
    image = read_picture(path)
    field: FieldOfView = find_field_of_view(image)
    found: tuple[Detection, ...] = detector.detect_picture(image, field)
    return [polyp.score for polyp in found]


def tracks(video: str) -> dict[int, float]:
    tracker, last_s = Tracker(TrackerSettings(found_threshold=0.8)), dict[int, float]()
    with Detector.open("polyp") as detector, open_source(video) as source:
        frame: Frame
        for frame in source:
            for polyp in tracker.update(detector.detect_picture(frame.image), frame.time_s):
                if polyp.track_id is not None:
                    last_s[polyp.track_id] = frame.time_s
    return last_s


def whole(video: str) -> int:
    bundle: ModelBundle = load_bundle("polyp")
    try:
        result: RecordingResult = detect_recording(RecordingSettings(video, model=str(bundle.folder)))
    except InputError as error:
        return error.exit_status
    except PolypstreamError:
        return 1
    return result.report.frames


def faults(detector: Detector, classifier: Classifier) -> None:
    detector.detect_picture("frame.png")  # type: ignore[arg-type]
    wrong: int = read_picture("frame.png")  # type: ignore[assignment]
    wrong = classifier.classify([])  # type: ignore[assignment]
    wrong = polypstream.run_live  # type: ignore[assignment]
    polypstream.Detektor  # type: ignore[attr-defined]
    settings: RecordingSettings = polypstream.RecordingSettings(1)  # type: ignore[arg-type]
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    def run(self, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment with nothing in its surroundings that leads back to the sources."""
        surroundings = {key: value for key, value in os.environ.items() if key not in _LEADS_BACK}
        command = [str(self.bin / program), *arguments]
        return subprocess.run(command, cwd=cwd, env=surroundings, capture_output=True, text=True, check=False)

    def python(self, code: str, *, cwd: Path) -> str:
        done = self.run("python", "-c", code, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, so that nothing left over from other builds gets into it."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "sources", ignore=_NOT_COPIED)
    arguments = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder))
    quick = "--config-settings=--build-option=--compression=stored"
    _pip(*arguments, quick, str(folder / "sources"))
    (made,) = folder.glob("polypstream-*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with the wheel in it, and the third-party libraries lent."""
    made = Environment(tmp_path_factory.mktemp("fresh environment") / "venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made.folder)], check=True)
    _pip("--python", str(made.bin / "python"), "install", "--no-deps", "--no-index", str(wheel))
    site_packages = Path(made.python("import sysconfig; print(sysconfig.get_path('purelib'))", cwd=made.folder))
    lent = {Path(spec.origin).parents[1] for spec in map(find_spec, CORE) if spec is not None and spec.origin}
    (site_packages / "keeper_of_the_test.py").write_text(_KEEPER, encoding="utf-8")
    lines = [*(str(folder) for folder in sorted(lent)), "import keeper_of_the_test"]
    (site_packages / "lent.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def test_the_wheel_carries_the_rooms_and_the_models(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    rooms = {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
    shipped = {
        f"polypstream_models/{path.relative_to(ROOT / 'models').as_posix()}"
        for path in (ROOT / "models").glob("*/*")
        if path.suffix in {".json", ".onnx", ".md"}
    }
    assert carried == rooms | shipped
    assert {f"{room}/py.typed" for room in ROOMS} <= carried


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    about = _metadata(wheel)
    assert about["Name"] == "polypstream"
    assert about["Version"] == polypstream.__version__
    assert about["License-Expression"] == "Apache-2.0"
    asked = [Requirement(line) for line in about.get_all("Requires-Dist", [])]
    core = {canonicalize_name(one.name) for one in asked if one.marker is None or "extra" not in str(one.marker)}
    assert core == {
        *("numpy", "opencv-python-headless", "av", "openvino", "onnxruntime"),
        *("filelock", "platformdirs", "tifffile", "tqdm"),
    }


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", [("linux", "x86_64"), ("darwin", "arm64"), ("darwin", "x86_64"), ("win32", "AMD64")])
def test_the_constraints_pin_every_requirement_once(wheel: Path, python: str, system: tuple[str, str]) -> None:
    platform, machine = system
    place = {"python_version": python, "python_full_version": f"{python}.0"}
    place |= {"sys_platform": platform, "platform_machine": machine}
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(place):
            assert pin.name not in pins, f"{pin.name} is pinned twice"
            found = re.fullmatch(r"==([\w.]+)", str(pin.specifier))
            assert found is not None, f"{line!r} is no pin"
            pins[canonicalize_name(pin.name)] = found[1]
    for extra in ("", "train", "search", "tensorboard", "test", "docs", "serve", "show"):
        for line in _metadata(wheel).get_all("Requires-Dist", []):
            asked = Requirement(line)
            if asked.marker is None or asked.marker.evaluate({**place, "extra": extra}):
                assert asked.specifier.contains(pins[canonicalize_name(asked.name)]), line


def test_the_program_comes_from_the_wheel(environment: Environment, tmp_path: Path) -> None:
    code = "import stream, engine, train, calibration, polypstream as p; print(*(m.__file__ for m in {}), sep='\\n')"
    files = environment.python(code.format("(stream, engine, train, calibration, p)"), cwd=tmp_path).splitlines()
    assert all(environment.folder in Path(file).parents for file in files)
    said = environment.run("polypstream", "--version", cwd=tmp_path)
    assert said.stdout.strip() == f"polypstream {polypstream.__version__}"


def test_a_type_checker_sees_the_types_of_the_installed_package(environment: Environment, tmp_path: Path) -> None:
    """What a program does with the public names, and faults that show that nothing of them is taken for `Any`."""
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(environment.bin / "python")]
    command += ["--cache-dir", str(tmp_path / "cache"), "program.py"]
    surroundings = {key: value for key, value in os.environ.items() if key not in _LEADS_BACK}
    done = subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_model
def test_doctor_in_a_fresh_environment(environment: Environment, tmp_path: Path) -> None:
    done = environment.run("polypstream", "doctor", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert report["can_detect"] and report["runtime"]


@needs_model
def test_detect_from_an_empty_folder(environment: Environment, tmp_path: Path) -> None:
    _assert_detects(environment, tmp_path)


@needs_model
@pytest.mark.long
def test_detect_after_an_installation_from_scratch(wheel: Path, tmp_path: Path) -> None:
    made = Environment(tmp_path / "venv")
    subprocess.run([sys.executable, "-m", "venv", str(made.folder)], check=True)
    done = made.run("python", "-m", "pip", "install", "-c", str(ROOT / "constraints.txt"), str(wheel), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AssertionError, match="torch"):
        made.python("import torch", cwd=tmp_path)
    _assert_detects(made, tmp_path)


def _assert_detects(environment: Environment, folder: Path) -> None:
    clip = make_video(folder / "clip.mp4", frames=FRAMES, size=(320, 240))
    empty = folder / "empty"
    empty.mkdir()
    outputs = ("--output", "out.mp4", "--events", "out.jsonl", "--threshold", "0")
    done = environment.run("polypstream", "detect", str(clip), *outputs, cwd=empty)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in empty.iterdir()} == {"out.mp4", "out.jsonl", "out.run.json"}
    events = [json.loads(line) for line in (empty / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["frame"] for event in events] == list(range(FRAMES))
    record = json.loads((empty / "out.run.json").read_text(encoding="utf-8"))
    assert environment.folder in Path(record["model"]["folder"]).parents
    with av.open(str(empty / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES


def _pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode("utf-8"))
