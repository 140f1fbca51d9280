"""Tesseract, called as a program: words in pictures. Pictures reach it through a pipe and never lie on a disk."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tifffile

from engine.arrays import Plane
from engine.doctor.tesseract import PROGRAM, REMEDY, languages_of, version_of
from engine.errors import InputError, RunError
from engine.processes.programs import find_program, run_program

_TIMEOUT_S = 600
_WORD = "5"  # the level of words in Tesseract's tables
_SPARSE = "11"  # page segmentation: as much text as there is, in no order
_RESOLUTION = "100"  # dots per inch, of which a picture of a screen has none
_LANGUAGES = re.compile(r"[A-Za-z0-9_]{2,20}(\+[A-Za-z0-9_]{2,20})*")


@dataclass(frozen=True, slots=True)
class Word:
    """A word that was read.

    Attributes:
        text: of it. It never leaves this process.
        confidence: 0 to 100, as Tesseract says.
        box_xyxy: in pixels of the picture.
    """

    text: str
    confidence: float
    box_xyxy: tuple[float, float, float, float]

    @property
    def signs(self) -> int:
        """How many letters and digits it has."""
        return sum(sign.isalnum() for sign in self.text)


class Recogniser:
    """Reads words; may be used from several threads at once."""

    def __init__(self, program: Path, languages: str) -> None:
        """Takes the program.

        Args:
            program: Tesseract's path.
            languages: as Tesseract names them, such as "eng" or "eng+deu".
        """
        self._program, self._languages = program, languages

    @classmethod
    def find(cls, languages: str = "eng") -> Recogniser:
        """Finds Tesseract, and looks whether it knows the languages.

        Raises:
            InputError: it is not installed, does not work, or misses a language; the message names the remedy.
        """
        program = find_program(PROGRAM)
        if program is None:
            raise InputError(
                f"Tesseract, which finds text in pictures, is not installed; {REMEDY}, or cover margins and static "
                "overlays only, with --without-ocr"
            )
        if not _LANGUAGES.fullmatch(languages):
            raise InputError(f"--languages must be names such as eng or eng+deu. Received: {languages!r}")
        known = languages_of(program)
        missing = [one for one in languages.split("+") if one not in known]
        if missing:
            raise InputError(
                f"Tesseract does not have the language {missing[0]!r}, only {', '.join(sorted(known)) or 'none'}; "
                f"install it (Debian, Ubuntu: sudo apt install tesseract-ocr-{missing[0]})"
            )
        return cls(program, languages)

    @property
    def version(self) -> str:
        """Tesseract's version."""
        return version_of(self._program)

    def read(self, pictures: Sequence[Plane]) -> list[tuple[Word, ...]]:
        """Reads the words of pictures.

        Args:
            pictures: grey, uint8 of shape (height, width), dark text on light ground.

        Returns:
            The words of each picture, with boxes in its pixels.

        Raises:
            RunError: Tesseract failed.
        """
        if not pictures:
            return []
        pages = io.BytesIO()
        with tifffile.TiffWriter(pages) as writer:
            for picture in pictures:
                writer.write(picture, photometric="minisblack", metadata=None)
        options = ("--psm", _SPARSE, "--dpi", _RESOLUTION, "-l", self._languages, "tsv")
        try:
            done = run_program(
                self._program,
                *("stdin", "stdout", *options),
                timeout_s=_TIMEOUT_S,
                stdin=pages.getvalue(),
                variables={"OMP_THREAD_LIMIT": "1"},  # its threads cost more than they gain
            )
        except OSError as error:
            raise RunError(f"Tesseract cannot be run: {error}") from error
        if done.returncode:
            raise RunError(f"Tesseract ended with status {done.returncode}: {done.stderr.strip()[:200]}")
        found: list[list[Word]] = [[] for _ in pictures]
        for line in done.stdout.splitlines()[1:]:
            level, page, *_, left, top, width, height, confidence, text = line.split("\t", 11)
            if level == _WORD and text.strip():
                x, y, across, down = float(left), float(top), float(width), float(height)
                found[int(page) - 1].append(Word(text.strip(), float(confidence), (x, y, x + across, y + down)))
        return [tuple(words) for words in found]
