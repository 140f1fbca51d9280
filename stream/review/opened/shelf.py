"""The folder of what was opened in the page: the files that were sent, and the list that its study goes by."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError, SourceError, WriteError
from engine.files import HeldError, claim, make_folder, partial_path, write_errors, write_text
from engine.reading.bounded import shortened
from engine.reading.tables import read_table
from stream.procedure.index import index_path
from stream.record.event_sink import run_record_path
from stream.review.jobs import CancelledError
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.opening import open_source
from stream.sources.picture_files import PICTURE_SUFFIXES, is_picture
from stream.sources.source import SourceKind
from stream.study.probing import VIDEO_SUFFIXES

FILES, LIST = "files", "opened.csv"
_PATH, _PROCEDURE = "path", "procedure"
_LONGEST_NAME = 120
_SPARE_BYTES = 1 << 30  # that a file leaves free, for what is found in it
_LOOK_S = 0.5  # between two looks at whether another server is done
_RECORDINGS = VIDEO_SUFFIXES | {".dcm"}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where opened recordings and pictures are. What was sent at once lies in a folder of its own.

    Attributes:
        folder: of the study of opened recordings, and of the event lines of opened pictures.
        sources: folders whose files may be opened by their paths.
        most_bytes: that may be sent at once.
    """

    folder: Path
    sources: Collection[Path]
    most_bytes: float

    @property
    def list_path(self) -> Path:
        """The list of the study."""
        return self.folder / LIST

    def events_path(self, name: str) -> Path:
        """The event lines of opened pictures, by the name of their procedure."""
        return self.folder / f"{name}.jsonl"

    def allowed(self, text: str) -> Path:
        """What is opened by its path on this machine: a file, or a folder of pictures.

        Raises:
            InputError: it is in none of the folders whose files may be opened, or is not there.
        """
        if not self.sources:
            raise InputError("no path may be opened; start the review with --recordings FOLDER, or send the file")
        try:
            path = Path(text).resolve()
            inside = self._is_inside(path)
        except (OSError, ValueError, RuntimeError):
            inside = False
        # What lies elsewhere is not even looked for: nobody learns which files there are.
        if not inside:
            folders = ", ".join(str(folder) for folder in self.sources)
            raise InputError(f"only files in the folders of --recordings may be opened: {folders}")
        if not path.is_file() and not path.is_dir():
            raise InputError(f"there is no file {shortened(text)}; check the path")
        if path.is_dir() and not all(self._is_inside(one.resolve()) for one in path.iterdir()):
            raise InputError(f"{shortened(text)} holds links out of the folders of --recordings; copy the files")
        return path

    def _is_inside(self, path: Path) -> bool:
        return any(path.is_relative_to(folder.resolve()) for folder in self.sources)

    @contextmanager
    def taking(self, what: str, size: int | None) -> Iterator[Path]:
        """Gives a new folder for what is sent at once; nothing is left of it when the `with` block fails.

        Args:
            what: is sent, for messages.
            size: in bytes; None where that is not known.

        Raises:
            InputError: it is too large.
            WriteError: the disk has no room for it.
        """
        self.check_size(size or 0)
        folder = self.folder / FILES
        make_folder(self.folder)
        make_folder(folder)
        free = shutil.disk_usage(folder).free - _SPARE_BYTES
        if (size or 0) > free:
            raise WriteError(
                f"the disk of the results has no room for {what}: it has {(size or 0) / 1e9:.2f} GB, and "
                f"{max(free, 0) / 1e9:.2f} GB are free; free space, and send it again"
            )
        with write_errors(folder, remedy="free space, and send it again"):
            own = Path(tempfile.mkdtemp(dir=folder))
            try:
                yield own
            except BaseException:
                shutil.rmtree(own, ignore_errors=True)
                raise

    def check_size(self, size: int) -> None:
        """Refuses what is too large.

        Raises:
            InputError: it is.
        """
        if size > self.most_bytes:
            raise InputError(
                f"{self.most_bytes / 1e9:g} GB at most may be sent at once; start the review with a larger "
                "--upload-limit, or put it in a folder of --recordings and open it by its path"
            )

    @contextmanager
    def turn(self, stopping: threading.Event) -> Iterator[None]:
        """Waits until no other server of these results looks at anything that was opened, and keeps it so.

        Raises:
            CancelledError: it was stopped before.
            OutputError: the folder cannot be written.
        """
        make_folder(self.folder)
        while True:
            if stopping.is_set():
                raise CancelledError
            try:
                held = claim(self.list_path)
                break
            except HeldError:
                stopping.wait(_LOOK_S)
        with held:
            yield

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
            rows[path] = self.free_name(path.stem, taken)
            self._write(rows)
        return rows[path]

    def free_name(self, wanted: str, taken: Collection[str]) -> str:
        """A name that no procedure has, as near to a wanted one as can be."""
        others = {*taken, *self._rows().values(), *(path.stem for path in self.folder.glob("*.jsonl"))}
        number, found = 1, wanted
        while found in others:
            number += 1
            found = f"{wanted} ({number})"
        return found

    def unlist(self, path: Path) -> None:
        """Takes a recording off the list."""
        rows = self._rows()
        if rows.pop(path, None) is not None:
            self._write(rows)

    def remove_events(self, name: str) -> None:
        """Removes what was found in pictures, by the name of their procedure."""
        events = self.events_path(name)
        for path in (events, partial_path(events), run_record_path(events), index_path(events)):
            path.unlink(missing_ok=True)

    def forget(self, path: Path) -> None:
        """Removes what was sent; what was opened by its path stays."""
        sent = next((one for one in (path, path.parent) if one.parent == self.folder / FILES), None)
        if sent is not None:
            shutil.rmtree(sent, ignore_errors=True)

    def _rows(self) -> dict[Path, str]:
        if not self.list_path.is_file():
            return {}
        try:
            return {Path(row[_PATH]): row[_PROCEDURE] for row in read_table(self.list_path, (_PATH, _PROCEDURE))}
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.list_path} cannot be read ({error}); remove it, and open the file again"
            ) from error

    def _write(self, rows: dict[Path, str]) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerows([(_PATH, _PROCEDURE), *((str(path), name) for path, name in rows.items())])
        write_text(self.list_path, text.getvalue(), private=True)


def holds_pictures(path: Path) -> bool:
    """Whether what is opened is looked at as pictures: a folder, a picture, or a DICOM object of pictures."""
    if path.is_dir() or is_picture(path):
        return True
    if not is_dicom(path):
        return False
    try:
        with open_source(path) as source:
            return source.info.kind is not SourceKind.VIDEO
    except SourceError:  # who looks at it says why
        return False


def check_recording_name(name: str) -> None:
    """Refuses what is no plain name of a recording.

    Raises:
        InputError: it holds folders or characters that are not to be printed, is too long, or of no video.
    """
    _check_plain(name)
    if Path(name).suffix.lower() not in _RECORDINGS:
        raise InputError(f"{name} has no ending of a video, such as .mp4, .avi or .mpg; give it its ending")


def check_picture_name(name: str) -> None:
    """Refuses what is no plain name of a picture; else as `check_recording_name`."""
    _check_plain(name)
    if Path(name).suffix.lower() not in PICTURE_SUFFIXES:
        raise InputError(f"{name} has no ending of a picture, such as .jpg or .png; give it its ending")


def _check_plain(name: str) -> None:
    plain = name.isprintable() and not name.startswith(".") and not set(name) & set('/\\:*?"<>|')
    if not plain or len(name.encode()) > _LONGEST_NAME:
        raise InputError(
            f"a file needs a plain name of at most {_LONGEST_NAME} bytes, without folders. Received: {shortened(name)}"
        )
