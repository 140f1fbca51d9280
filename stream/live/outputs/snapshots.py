"""Pictures of each polyp that was found, untouched and with its box, written beside the run."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path

import cv2

from engine.arrays import Image
from engine.errors import OutputError, WriteError
from engine.files import UnfinishedFile, file_mode, folder_mode, make_folder
from stream.frame import FrameResult
from stream.live.outputs.marks import draw_live
from stream.live.states.result import LiveResult
from stream.live.states.side_worker import SideWorker
from stream.live.states.view import LiveView
from stream.overlay import draw_overlay

logger = logging.getLogger(__name__)

_WAITING = 4  # pictures; each holds a whole frame


@dataclass(frozen=True, slots=True)
class _Snapshot:
    name: str
    result: LiveResult | None = None
    view: LiveView | None = None

    def weight(self) -> int:
        """Bytes of its picture."""
        shown = self.result if self.result is not None else self.view
        return 0 if shown is None else shown.frame.picture.nbytes


class Snapshots:
    """Keeps pictures of each polyp as its alarm begins; a `DetectionListener`. A full disk ends it; the run goes on.

    Attributes:
        folder: of this run, named after the time of its start; it goes when no picture was taken.
    """

    def __init__(self, folder: Path) -> None:
        """Make a folder for this run.

        Args:
            folder: where it lies; made with its parents where it is missing.

        Raises:
            OutputError: it cannot be made.
        """
        self._made = make_folder(folder)
        try:
            self.folder = _new_folder(folder)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"cannot write snapshots to {folder}: {reason}; name another folder") from error
        self._files: list[Path] = []
        self._failure: Exception | None = None
        self._waiting: set[int] = set()  # tracks that found the queue full: their next frame does as well
        self._worker = SideWorker[_Snapshot](
            "snapshots", self._write, capacity=_WAITING, weigh=_Snapshot.weight, on_failure=self._fail
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """Pictures that were written."""
        return tuple(self._files)

    @property
    def failure(self) -> Exception | None:
        """Why it ended by itself; None while all is well."""
        return self._failure

    @property
    def dropped(self) -> Mapping[str, int]:
        """Polyps of which no picture was taken."""
        return {"snapshots": len(self._waiting)}

    def detected(self, result: LiveResult) -> None:
        """See `DetectionListener`."""
        if self._failure is not None:
            return
        shown = {one.track_id for one in result.detections}
        for track in sorted(self._waiting.union(result.begun)):
            if track in shown:
                name = f"polyp_{track:04d}_frame_{result.frame.index:06d}"
                taken = self._worker.offer(_Snapshot(name, result=result))
                (self._waiting.discard if taken else self._waiting.add)(track)

    def take(self, view: LiveView) -> bool:
        """Keep a picture of what is shown just now; False when there is no room for it."""
        return self._worker.offer(_Snapshot(f"view_frame_{view.frame.index:06d}", view=view))

    def close(self) -> None:
        """See `DetectionListener`."""
        self._worker.close()
        with contextlib.suppress(OSError):  # there are pictures
            self.folder.rmdir()
            if self._made:
                self.folder.parent.rmdir()

    def _write(self, snapshot: _Snapshot) -> None:
        result, view = snapshot.result, snapshot.view
        if result is not None:
            marked = draw_overlay(FrameResult(result.frame, result.field_of_view, result.detections))
            self._save(snapshot.name, result.frame.image, marked)
        elif view is not None:
            self._save(snapshot.name, view.frame.image, draw_live(view))

    def _save(self, name: str, untouched: Image, marked: Image) -> None:
        for ending, image in (("", untouched), ("_marked", marked)):
            path = self.folder / f"{name}{ending}.png"
            data = cv2.imencode(".png", image)[1].tobytes()
            try:
                with UnfinishedFile(path, file_mode()) as file:
                    file.write(data)
            except OSError as error:
                raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
            self._files.append(path)

    def _fail(self, error: Exception) -> None:
        self._failure = error
        logger.error("snapshots stopped: %s", error)


def _new_folder(folder: Path) -> Path:
    """A folder within `folder` that nobody had before. Raises OSError when it cannot be made."""
    began = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in count(1):
        path = folder / (began if number == 1 else f"{began}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=folder_mode())
            return path
    raise AssertionError
