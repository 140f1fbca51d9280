"""`import polypstream`: what it offers, what it costs, and what type checkers see of it."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import polypstream
from engine import errors
from tests.programs import POLYPSTREAM, surroundings

#: Nothing of these may be loaded by the import alone; the last is checked to show that loaded ones are found.
_HEAVY = ("torch", "openvino", "onnxruntime", "cv2", "matplotlib", "numpy", "av", "tensorrt", "ray", "pydicom")
_LOADED = f"import sys, polypstream; print(*[name for name in {_HEAVY} if name in sys.modules])"


@pytest.mark.parametrize("name", polypstream.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(polypstream, name) is not None
    assert name in dir(polypstream)


def test_the_names_are_sorted_and_given_once() -> None:
    assert list(polypstream.__all__) == sorted(set(polypstream.__all__))


def test_the_whole_error_tree_is_offered() -> None:
    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree and tree <= set(polypstream.__all__)


def test_type_checkers_see_the_names_that_programs_get() -> None:
    """The imports under TYPE_CHECKING and the table of homes say the same."""
    tree = ast.parse(Path(polypstream.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {
        imported.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for imported in node.names
        if imported.asname is None
    }
    assert seen == polypstream._HOME_OF
    eager = {"__version__", *(name for name in polypstream.__all__ if hasattr(errors, name))}
    assert seen.keys() | eager == set(polypstream.__all__)
    assert all(getattr(polypstream, name) is getattr(import_module(home), name) for name, home in seen.items() if home)


def test_a_star_import_brings_every_name() -> None:
    names: dict[str, object] = {}
    exec("from polypstream import *", names)
    assert set(polypstream.__all__) <= names.keys()


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'polypstream' has no attribute 'Detektor'"):
        _ = polypstream.Detektor  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        (_LOADED, ""),
        (_LOADED.replace("; print", ".cli; print"), ""),  # the command line, which starts with every command
        (_LOADED.replace("; print", "; polypstream.read_picture; print"), "cv2 numpy"),  # what is loaded is found
    ],
)
def test_the_import_loads_no_library(code: str, loaded: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], env=surroundings(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == loaded


def test_the_package_runs_as_a_program(tmp_path: Path) -> None:
    command = [*POLYPSTREAM, "--version"]
    done = subprocess.run(command, cwd=tmp_path, env=surroundings(), capture_output=True, text=True, check=True)
    assert done.stdout == f"polypstream {polypstream.__version__}\n"
