"""Tesseract, the program that reads text in pictures: where it is, its version, its languages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from engine.doctor.findings import Finding, State
from engine.errors import first_line
from engine.processes.programs import find_program, run_program

PROGRAM = "tesseract"
REMEDY = "install it (Debian, Ubuntu: sudo apt install tesseract-ocr; macOS: brew install tesseract)"
"""How to get Tesseract."""

_TIMEOUT_S = 60


def examine_tesseract() -> Iterator[Finding]:
    """Says what Tesseract there is; detection does without it."""
    program = find_program(PROGRAM)
    if program is None:
        yield Finding("Tesseract", State.OPTIONAL, "not installed (for text in pictures: deidentify)", REMEDY)
        return
    languages = languages_of(program)
    version = version_of(program).removeprefix("tesseract ")
    if languages:
        yield Finding("Tesseract", State.OK, f"{version}, {' '.join(sorted(languages))} (for deidentify)")
    else:
        yield Finding("Tesseract", State.PROBLEM, f"{version}: it names no language", REMEDY)


@lru_cache(maxsize=4)
def languages_of(program: Path) -> frozenset[str]:
    """The languages that a Tesseract has; none where it does not say."""
    try:
        said = run_program(program, "--list-langs", timeout_s=_TIMEOUT_S)
    except OSError:
        return frozenset()
    return frozenset(line.strip() for line in said.stdout.splitlines()[1:] if line.strip())


@lru_cache(maxsize=4)
def version_of(program: Path) -> str:
    """A Tesseract's version; why it does not work where it does not."""
    try:
        said = run_program(program, "--version", timeout_s=_TIMEOUT_S)
    except OSError as error:
        return first_line(error)
    return (said.stdout or said.stderr).partition("\n")[0].strip()
