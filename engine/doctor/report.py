"""What is installed, which runtime would be used and why, what is missing and how to get it.

It has to tell of broken installs, so it imports no library, and no module that needs one, before it is tried.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.doctor.findings import Finding, State
from engine.doctor.nvidia import examine_nvidia
from engine.doctor.tesseract import examine_tesseract
from engine.errors import PolypstreamError, cause_of
from engine.machine import nvidia_gpu, processor
from engine.processes.programs import run_python

DEFAULT_MODEL = "polyp"
_GPU_RUNTIME = "tensorrt"
_TESTED_PYTHON = ((3, 10), (3, 13))
_IMPORT_TIMEOUT_S = 60
_SHARED_LIBRARY = re.compile(r"(lib[\w.+-]+?\.so)[\d.]*: cannot open shared object")
#: Debian's and Ubuntu's package of each shared library that a wheel may ask of the system.
_DEBIAN_PACKAGES = {
    "libGL.so": "libgl1",
    "libX11.so": "libx11-6",
    "libSM.so": "libsm6",
    "libICE.so": "libice6",
    "libXext.so": "libxext6",
    "libglib-2.0.so": "libglib2.0-0",
    "libgthread-2.0.so": "libglib2.0-0",
    "libgomp.so": "libgomp1",
    "libstdc++.so": "libstdc++6",
    "libxcb.so": "libxcb1",
    "libz.so": "zlib1g",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What `examine` found.

    Attributes:
        findings: in the order in which a person reads them.
        runtime: what `--runtime auto` takes; None when no runtime works.
    """

    findings: tuple[Finding, ...]
    runtime: str | None

    @property
    def can_detect(self) -> bool:
        """Whether `polypstream detect` can run here."""
        return self.runtime is not None and all(
            finding.state is State.OK for finding in self.findings if finding.needed
        )

    def as_json(self) -> dict[str, Any]:
        """The report in types that JSON knows."""
        findings = [{**asdict(finding), "state": finding.state.value} for finding in self.findings]
        return {"can_detect": self.can_detect, "runtime": self.runtime, "findings": findings}


@dataclass(frozen=True, slots=True)
class _Extra:
    """A library that detection does without: its title, module, what it is for, and how to get it."""

    title: str
    module: str
    purpose: str
    remedy: str


_AGAIN = "get polypstream again, and install it again"
_TRAIN = 'in the project\'s folder: pip install -c constraints.txt ".[train]"'
_DICOM = "pip install 'polypstream[dicom]'"
_DEIDENTIFY = "pip install 'polypstream[deidentify]'"
_EXTRAS = (
    _Extra("PyTorch", "torch", "for training", _TRAIN),
    _Extra("ONNX", "onnx", "for training", _TRAIN),
    _Extra("ONNX Script", "onnxscript", "for training", _TRAIN),
    _Extra("Matplotlib", "matplotlib", "for charts of training", _TRAIN),
    _Extra("pydicom", "pydicom", "for DICOM objects", _DICOM),
    _Extra("GDCM", "gdcm", "for DICOM pictures as JPEG without loss", _DICOM),
    _Extra("OpenJPEG", "openjpeg", "for DICOM pictures as JPEG 2000", _DICOM),
    _Extra("CharLS", "jpeg_ls", "for DICOM pictures as JPEG-LS", _DICOM),
    _Extra("highdicom", "highdicom", "for structured reports", _DICOM),
    _Extra("aiohttp", "aiohttp", "for the review page", "pip install 'polypstream[review]'"),
    _Extra("pynetdicom", "pynetdicom", "for DICOM archives (`polypstream dicom echo` asks one)", _DICOM),
    _Extra("dicomweb-client", "dicomweb_client", "for DICOM archives over HTTP (DICOMweb)", _DICOM),
    _Extra("dicom-anonymizer", "dicomanonymizer", "for DICOM objects without names", _DEIDENTIFY),
)
_NVIDIA_EXTRAS = (
    _Extra("TensorRT", "tensorrt", "for NVIDIA GPUs", "pip install tensorrt-cu13"),
    _Extra("TensorRT-RTX", "tensorrt_rtx", "for NVIDIA RTX GPUs", "pip install tensorrt-rtx-cu13"),
    _Extra("PyCUDA", "pycuda.driver", "for NVIDIA GPUs", "install the CUDA toolkit, then: pip install pycuda"),
)


def examine() -> Report:
    """Looks at everything that detection needs or can use. Never raises; takes a few seconds."""
    runtime, auto = _auto()
    checks: tuple[tuple[str, Callable[[], Iterable[Finding]], bool], ...] = (
        ("polypstream", _program, False),
        ("Python", _python, True),
        ("system", _system, False),
        ("processor", _processor, False),
        ("NumPy", lambda: [_library("NumPy", "numpy", "numpy")], True),
        ("OpenCV", _opencv, True),
        ("PyAV", _pyav, True),
        ("filelock", lambda: [_library("filelock", "filelock", "filelock")], True),
        ("platformdirs", lambda: [_library("platformdirs", "platformdirs", "platformdirs")], True),
        ("tifffile", lambda: [_library("tifffile", "tifffile", "tifffile")], True),
        ("tqdm", lambda: [_library("tqdm", "tqdm", "tqdm")], True),
        ("models", _models, True),
        ("runtimes", _runtimes, False),
        ("runtime auto", lambda: [auto], True),
        *((extra.title, partial(_extra, extra), False) for extra in _EXTRAS),
        ("Tesseract", examine_tesseract, False),
        ("NVIDIA GPU", examine_nvidia, False),
        *((extra.title, partial(_extra, extra, needs_nvidia=True), False) for extra in _NVIDIA_EXTRAS),
    )
    findings = [finding for what, check, needed in checks for finding in _guarded(what, check, needed=needed)]
    return Report(tuple(findings), runtime)


def format_report(report: Report) -> str:
    """The report as an aligned table: state, thing, detail, and below it the remedy where there is one."""
    widest = max(len(finding.what) for finding in report.findings)
    lines = []
    for finding in report.findings:
        lines.append(f"{finding.state.value:<8}  {finding.what:<{widest}}  {finding.detail}".rstrip())
        if finding.remedy:
            lines.append(f"{'':<8}  {'':<{widest}}  -> {finding.remedy}")
    if report.can_detect:
        return "\n".join([*lines, "", f"Detection can run here, with the runtime {report.runtime}."])
    wanting = ", ".join(f.what for f in report.findings if f.needed and f.state is not State.OK)
    return "\n".join([*lines, "", f"Detection cannot run here: {wanting} (see above)."])


def _guarded(what: str, check: Callable[[], Iterable[Finding]], *, needed: bool) -> Iterator[Finding]:
    """The findings of a check; a failure of the check itself is one more."""
    try:
        yield from check()
    except Exception as error:  # a broken library can raise anything when it is imported
        yield Finding(what, State.PROBLEM, cause_of(error), _system_remedy(str(error)), needed)


def _program() -> Iterator[Finding]:
    folder = Path(__file__).resolve().parents[2]
    try:
        yield Finding("polypstream", State.OK, f"{version('polypstream')} in {folder}")
    except PackageNotFoundError:
        yield Finding("polypstream", State.OK, f"not installed, run from its sources in {folder}")


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()} ({platform.python_implementation()}, {sys.executable})"
    lowest, highest = _TESTED_PYTHON
    if sys.maxsize < 2**32:
        remedy = "install the 64-bit Python; the libraries exist for no other"
        yield Finding("Python", State.PROBLEM, f"{found}, 32-bit", remedy, needed=True)
    elif lowest <= sys.version_info[:2] <= highest:
        yield Finding("Python", State.OK, found, needed=True)
    else:
        tested = " to ".join(".".join(map(str, bound)) for bound in _TESTED_PYTHON)
        yield Finding("Python", State.PROBLEM, f"{found}, not tested", f"Python {tested} is known to work")


def _system() -> Iterator[Finding]:
    yield Finding("system", State.OK, platform.platform())


def _processor() -> Iterator[Finding]:
    found = processor()
    cores = f"{found.cores} cores"
    if found.usable_cores != found.cores:
        cores += f", {found.usable_cores} usable here"
    sets = " ".join(found.instruction_sets) or "no instruction sets known that speed up networks"
    yield Finding("processor", State.OK, f"{found.name}, {cores}, {sets}")


def _library(title: str, module: str, package: str, more: str = "") -> Finding:
    """A library that detection needs."""
    try:
        loaded = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        remedy = f"pip install --force-reinstall {package}"
        return Finding(title, State.MISSING, f"no module {module}", remedy, needed=True)
    return Finding(title, State.OK, f"{_version(package) or loaded.__version__}{more}", needed=True)


def _opencv() -> Iterator[Finding]:
    packages = [name for name in ("opencv-python-headless", "opencv-python") if _version(name)]
    package = packages[-1] if packages else "opencv-python-headless"
    # Both fill the same folder `cv2`; pip installs opencv-python last, so its files are the ones that run.
    both = ", over opencv-python-headless" if len(packages) == 2 else ""
    yield _library("OpenCV", "cv2", package, f" ({package}{both})")


def _pyav() -> Iterator[Finding]:
    yield _library("PyAV", "av", "av")
    if find_spec("av") is None:
        return
    av = import_module("av")
    yield Finding("FFmpeg", State.OK, f"{av.ffmpeg_version_info}, inside PyAV")
    if "libx264" in av.codecs_available:
        yield Finding("H.264 encoder", State.OK, "libx264", needed=True)
    else:
        remedy = "pip install --force-reinstall --only-binary av av (the wheel brings libx264 along)"
        yield Finding("H.264 encoder", State.MISSING, "this FFmpeg was built without libx264", remedy, needed=True)


def _models() -> Iterator[Finding]:
    from engine.bundle import load_bundle, shipped_bundles

    shipped = shipped_bundles()
    for name, folder in shipped.items():
        needed = name == DEFAULT_MODEL
        try:
            bundle = load_bundle(name)
        except PolypstreamError as error:
            yield Finding(f"model {name}", State.PROBLEM, str(error), _AGAIN, needed)
        else:
            detail = f"{bundle.strategy.value}, {' '.join(bundle.networks)}, checksums right, in {folder}"
            yield Finding(f"model {name}", State.OK, detail, needed=needed)
    if DEFAULT_MODEL not in shipped:
        detail = "the default model is not there"
        yield Finding(f"model {DEFAULT_MODEL}", State.MISSING, detail, _AGAIN, needed=True)


def _runtimes() -> Iterator[Finding]:
    from engine.runtimes.opening import runtime_names, runtime_problem

    for name in runtime_names():
        problem = runtime_problem(name)
        if problem is None:
            yield Finding(f"runtime {name}", State.OK, _version(name) or "")
        elif name == _GPU_RUNTIME and not _gpu_driver():
            yield Finding(f"runtime {name}", State.OPTIONAL, problem)
        else:
            state = State.PROBLEM if _version(name) else State.MISSING
            yield Finding(f"runtime {name}", state, problem, _system_remedy(problem))


def _auto() -> tuple[str | None, Finding]:
    """The runtime that `auto` takes, if any, and the finding: it runs the default model on an empty picture."""
    try:
        import numpy as np

        from engine.bundle import load_bundle
        from engine.runtimes.opening import open_runtime

        bundle = load_bundle(DEFAULT_MODEL)
        with open_runtime(bundle) as runtime:
            width, height = bundle.input_wh
            runtime.run(np.zeros((1, 3, height, width), np.float32))
            used = runtime.description
    except Exception as error:  # a broken library can raise anything
        return None, Finding("runtime auto", State.PROBLEM, cause_of(error), _system_remedy(str(error)), needed=True)
    detail = f"{used.name}: {used.reason} ({used.library}, {used.device}, {used.precision}; tried with {bundle.name})"
    return used.name, Finding("runtime auto", State.OK, detail, needed=True)


def _extra(extra: _Extra, *, needs_nvidia: bool = False) -> Iterator[Finding]:
    """An optional library; imported in a process of its own, as it may be slow, and may end the process it is in."""
    package = extra.module.partition(".")[0]
    if find_spec(package) is None:
        # Advice to install NVIDIA's libraries would be in vain without a GPU.
        advise = not needs_nvidia or _gpu_driver()
        remedy = extra.remedy if advise else ""
        yield Finding(extra.title, State.OPTIONAL, f"not installed ({extra.purpose})", remedy)
        return
    code = f"import {extra.module}, {package}; print(getattr({package}, '__version__', ''))"
    try:
        child = run_python(code, timeout_s=_IMPORT_TIMEOUT_S)
    except TimeoutError:
        yield Finding(extra.title, State.PROBLEM, f"its import takes over {_IMPORT_TIMEOUT_S} s", extra.remedy)
        return
    if child.returncode == 0:
        yield Finding(extra.title, State.OK, f"{child.stdout.strip()} ({extra.purpose})")
    else:
        said = child.stderr.strip().splitlines() or [f"its import ends Python with status {child.returncode}"]
        yield Finding(extra.title, State.PROBLEM, said[-1], _system_remedy(said[-1]) or extra.remedy)


def _gpu_driver() -> bool:
    try:
        return nvidia_gpu() is not None
    except PolypstreamError:
        return True  # there is one, and it does not work


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _system_remedy(problem: str) -> str:
    """How to get the shared library whose absence an import complained of; empty when it did not."""
    found = _SHARED_LIBRARY.search(problem)
    if found is None:
        return ""
    if found[1] == "libcuda.so":
        return "install the NVIDIA driver"
    package = _DEBIAN_PACKAGES.get(found[1])
    return f"sudo apt install {package}" if package else f"install the system package that holds {found[1]}"
