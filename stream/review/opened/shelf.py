"""The folder of what was opened in the page: the files that were sent, and the list that its study goes by."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError, WriteError
from engine.files import make_folder, replacing, write_errors, write_text
from engine.reading.bounded import shortened
from engine.reading.tables import read_table
from stream.study.probing import VIDEO_SUFFIXES

FILES, LIST = "files", "opened.csv"
_PATH, _PROCEDURE = "path", "procedure"
_LONGEST_NAME = 120
_SPARE_BYTES = 1 << 30  # that a file leaves free, for what is found in it


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where opened recordings are.

    Attributes:
        folder: of the study of what was opened.
        sources: folders whose files may be opened by their paths.
        most_bytes: of a file that is sent.
    """

    folder: Path
    sources: Collection[Path]
    most_bytes: float

    @property
    def list_path(self) -> Path:
        """The list of the study."""
        return self.folder / LIST

    def allowed(self, text: str) -> Path:
        """A recording that is opened by its path on this machine.

        Raises:
            InputError: it is in none of the folders whose files may be opened, or is no file.
        """
        if not self.sources:
            raise InputError("no path may be opened; start the review with --recordings FOLDER, or send the file")
        try:
            path = Path(text).resolve()
            inside = any(path.is_relative_to(folder.resolve()) for folder in self.sources)
        except (OSError, ValueError, RuntimeError):
            inside = False
        # What lies elsewhere is not even looked for: nobody learns which files there are.
        if not inside:
            folders = ", ".join(str(folder) for folder in self.sources)
            raise InputError(f"only files in the folders of --recordings may be opened: {folders}")
        if not path.is_file():
            raise InputError(f"there is no file {shortened(text)}; check the path")
        return path

    @contextmanager
    def taking(self, name: str, size: int | None) -> Iterator[tuple[Path, Path]]:
        """Takes in a file that is sent; nothing is left of it when the `with` block fails.

        Args:
            name: that it has where it comes from.
            size: in bytes; None where that is not known.

        Yields:
            Where to write it, and the path that it has afterwards.

        Raises:
            InputError: it has no such name, or is too large.
            WriteError: the disk has no room for it.
        """
        check_name(name)
        self.check_size(size or 0)
        folder = self.folder / FILES
        make_folder(self.folder)
        make_folder(folder)
        free = shutil.disk_usage(folder).free - _SPARE_BYTES
        if (size or 0) > free:
            raise WriteError(
                f"the disk of the results has no room for {name}: it has {(size or 0) / 1e9:.2f} GB, and "
                f"{max(free, 0) / 1e9:.2f} GB are free; free space, and send it again"
            )
        target = _free_name(folder / name)
        with (
            write_errors(target, remedy="free space, and send it again"),
            replacing(target, private=True, overwrite=False) as partial,
        ):
            yield partial, target

    def check_size(self, size: int) -> None:
        """Refuses a file that is too large.

        Raises:
            InputError: it is.
        """
        if size > self.most_bytes:
            raise InputError(
                f"a file may have {self.most_bytes / 1e9:g} GB at most; start the review with a larger --upload-limit, "
                "or put it in a folder of --recordings and open it by its path"
            )

    def add(self, path: Path, taken: Collection[str]) -> str:
        """Puts a recording on the list; returns the name of its procedure.

        Args:
            path: of it.
            taken: names that other procedures have.

        Raises:
            WriteError: the list cannot be written.
        """
        rows = {one: name for one, name in self._rows().items() if one.is_file()}
        if path not in rows:
            rows[path] = _other_name(path.stem, {*taken, *rows.values()})
            make_folder(self.folder)
            self._write(rows)
        return rows[path]

    def remove(self, path: Path) -> None:
        """Takes a recording off the list, and removes it where it was sent."""
        rows = self._rows()
        if rows.pop(path, None) is not None:
            self._write(rows)
        if path.parent == self.folder / FILES:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _rows(self) -> dict[Path, str]:
        if not self.list_path.is_file():
            return {}
        try:
            return {Path(row[_PATH]): row[_PROCEDURE] for row in read_table(self.list_path, (_PATH, _PROCEDURE))}
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(
                f"{self.list_path} cannot be read ({error}); remove it, and open the file again"
            ) from error

    def _write(self, rows: dict[Path, str]) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerows([(_PATH, _PROCEDURE), *((str(path), name) for path, name in rows.items())])
        write_text(self.list_path, text.getvalue(), private=True)


def check_name(name: str) -> None:
    """Refuses what is no plain name of a recording.

    Raises:
        InputError: it holds folders or characters that are not to be printed, is too long, or of no video.
    """
    plain = name.isprintable() and not name.startswith(".") and not set(name) & set('/\\:*?"<>|')
    if not plain or len(name.encode()) > _LONGEST_NAME:
        raise InputError(
            f"a file needs a plain name of at most {_LONGEST_NAME} bytes, without folders. Received: {shortened(name)}"
        )
    if Path(name).suffix.lower() not in VIDEO_SUFFIXES:
        raise InputError(f"{name} has no ending of a video, such as .mp4, .avi or .mpg; give it its ending")


def _free_name(path: Path) -> Path:
    name = _other_name(path.stem, {one.stem for one in path.parent.glob(f"*{path.suffix}")})
    return path.with_name(f"{name}{path.suffix}")


def _other_name(name: str, taken: Collection[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found
