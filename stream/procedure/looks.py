"""Looks at a track: the frames that show it best, and its pictures there, read from the recordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.errors import InputError
from engine.interrupts import check
from engine.reading.digests import quick_digest
from stream.frame import FieldOfView, Frame
from stream.procedure.kept import KeptPictures
from stream.procedure.reading import Procedure, Recording, Sighting
from stream.sources.opening import open_source

#: Looks at one track.
MOST_LOOKS = 8
# Times in event lines are rounded to a microsecond.
_ALIKE_S = 1e-4
_CROP = 64  # pixels along the longer side of a crop when its sharpness is judged
_REMEDY = "say with --recordings where the right one is"
#: Told how many frames were passed since it was told last.
ProgressListener = Callable[[int], object]


class OtherRecordingError(InputError):
    """A recording that is not the one that was looked at, or is not there any more.

    Attributes:
        fault: what is wrong, without a remedy: this depends on who asks.
    """

    def __init__(self, fault: str, remedy: str = _REMEDY) -> None:
        """Say what is wrong, and what to do about it."""
        super().__init__(f"{fault}; {remedy}")
        self.fault = fault


@dataclass(frozen=True, eq=False)
class Look:
    """One look at a track.

    Attributes:
        track_id: its number.
        sighting: where and when.
        image: BGR uint8 (height, width, 3), the whole frame.
        quality: how well it shows the polyp: large, central, sharp, certain. Without unit.
    """

    track_id: int
    sighting: Sighting
    image: Image
    quality: float

    @property
    def field(self) -> FieldOfView:
        """Field of view of its frame."""
        return FieldOfView(self.sighting.field_xyxy)


def choose_looks(sightings: Sequence[Sighting], *, most: int = MOST_LOOKS) -> list[Sighting]:
    """The sightings that promise the best pictures, spread over the time in view.

    Args:
        sightings: of one track, in order.
        most: how many.
    """
    seen = [one for one in sightings if not one.detection.between] or list(sightings)
    seen = [one for one in seen if one.useful] or seen
    parts = np.array_split(np.arange(len(seen)), min(most, len(seen)))
    return [max((seen[index] for index in part), key=_promise) for part in parts]


def read_looks(
    procedure: Procedure,
    *,
    places: Sequence[Path] | None = None,
    kept: KeptPictures | None = None,
    on_progress: ProgressListener | None = None,
) -> Iterator[Look]:
    """Reads the pictures of all tracks, in the order of time.

    Args:
        procedure: of which.
        places: where its recordings are now; None for where they were.
        kept: pictures of earlier reports: what is there is not read again, what is read is kept there, and other frames
            of these recordings go.
        on_progress: told of frames that were passed.

    Raises:
        OtherRecordingError: a recording was moved or changed.
        WriteError: a picture cannot be kept.
    """
    wanted: dict[int, list[tuple[int, Sighting]]] = {}
    for track_id, sightings in procedure.tracks.items():
        for sighting in choose_looks(sightings):
            wanted.setdefault(sighting.frame, []).append((track_id, sighting))
    readers = []
    frames_of: list[tuple[Recording, list[int]]] = []
    for recording in _placed(procedure.recordings, places):
        end = recording.first_frame + recording.frames
        frames = sorted(frame - recording.first_frame for frame in wanted if recording.first_frame <= frame < end)
        frames_of.append((recording, frames))
        if frames:
            times_s = procedure.times_s[recording.first_frame : end] - recording.start_s
            readers.append(_Reader(recording, frames, times_s, kept))
    for reader in readers:  # before hours are read
        reader.check()
    for reader in readers:
        for index, image in reader.pictures(on_progress or (lambda passed: None)):
            for track_id, sighting in wanted[reader.recording.first_frame + index]:
                yield Look(track_id, sighting, image, _promise(sighting) * _sharpness(image, sighting))
    if kept is not None:
        for recording, frames in frames_of:
            kept.keep_only(recording, frames)


class _Reader:
    """Reads frames of one recording: the video up to the last one that is not kept, and the others where they are kept.

    Attributes:
        recording: where it is now.
    """

    def __init__(
        self, recording: Recording, frames: Sequence[int], times_s: npt.NDArray[np.float64], kept: KeptPictures | None
    ) -> None:
        """Reads nothing yet.

        Args:
            recording: where it is now.
            frames: indices in the recording, in order.
            times_s: of all its frames, in seconds of the recording.
            kept: pictures of earlier reports.
        """
        self.recording = recording
        self._frames, self._times_s, self._kept = frames, times_s, kept
        self._missing = [frame for frame in frames if kept is None or not kept.holds(recording, frame)]

    def check(self) -> None:
        """Raises OtherRecordingError where the video is needed, and is not the one that was looked at."""
        if self._missing:
            _check(self.recording)

    def pictures(self, on_progress: ProgressListener) -> Iterator[tuple[int, Image]]:
        """Index and picture of each frame, in order."""
        last = self._missing[-1] if self._missing else -1
        yield from self._from_video([frame for frame in self._frames if frame <= last], on_progress)
        for place, frame in enumerate(self._frames):
            if frame > last and self._kept is not None:
                check()
                image = self._kept.read(self.recording, frame)
                if image is None:  # it was damaged, or somebody has removed it since
                    self._missing = list(self._frames[place:])
                    self.check()
                    yield from self._from_video(self._missing, on_progress)
                    return
                yield frame, image

    def _from_video(self, frames: Sequence[int], on_progress: ProgressListener) -> Iterator[tuple[int, Image]]:
        """Index and picture of frames, in order; those that are missing are kept."""
        if not frames:
            return
        recording, last, wanted, missing = self.recording, frames[-1], set(frames), set(self._missing)
        index = -1
        with open_source(recording.path, stream=recording.stream, deinterlace=recording.deinterlace) as source:
            for frame in source:
                check()
                if frame.index > last:
                    break
                index = frame.index
                _check_time(recording, frame, float(self._times_s[index]))
                if index in missing and self._kept is not None:
                    self._kept.write(recording, index, frame.image)
                if index in wanted:
                    yield index, frame.image
                on_progress(1)
        if index < last:
            raise OtherRecordingError(
                f"{str(recording.path)!r} is not the recording of the events: it ends after {index + 1} frames"
            )


def places_in(procedure: Procedure, place: Path) -> list[Path]:
    """Where recordings are, given the folder that holds them now, or the file where there is one."""
    if place.is_dir():
        return [place / one.path.name for one in procedure.recordings]
    if len(procedure.recordings) > 1:
        raise InputError(
            f"{procedure.name} has {len(procedure.recordings)} recordings and {place} is no folder; name the folder "
            "that holds them"
        )
    return [place]


def _promise(sighting: Sighting) -> float:
    """How well a sighting promises to show a polyp, by its box alone: large, central and certain."""
    x1, y1, x2, y2 = sighting.detection.box_xyxy
    left, top, right, bottom = sighting.field_xyxy
    width, height = max(right - left, 1), max(bottom - top, 1)
    size = math.sqrt(max(x2 - x1, 1.0) * max(y2 - y1, 1.0) / (width * height))
    across = ((x1 + x2) / 2 - left) / width - 0.5, ((y1 + y2) / 2 - top) / height - 0.5
    central = 1.0 - min(math.hypot(*across), 0.7)
    # A lesion that fills the picture shows nothing of its surroundings.
    return min(size, 0.5) * central * sighting.detection.score


def _sharpness(image: Image, sighting: Sighting) -> float:
    """How sharp a picture is in its box: the Laplacian's size in shares of the mean brightness, at one scale."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (round(side) for side in sighting.detection.box_xyxy)
    crop = image[max(y1, 0) : min(y2, height), max(x1, 0) : min(x2, width)]
    if min(crop.shape[:2]) < 2:
        return 0.0
    scale = _CROP / max(crop.shape[:2])
    size_wh = max(round(crop.shape[1] * scale), 3), max(round(crop.shape[0] * scale), 3)
    grey = cv2.cvtColor(cv2.resize(crop, size_wh, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY).astype(np.float32)
    detail = float(np.percentile(np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=3)), 90))
    return min(detail / max(float(grey.mean()), 1.0), 2.0)


def _placed(recordings: Sequence[Recording], places: Sequence[Path] | None) -> list[Recording]:
    if places is None:
        return list(recordings)
    return [replace(one, path=place) for one, place in zip(recordings, places, strict=True)]


def _check(recording: Recording) -> None:
    try:
        if recording.sha256 is None or quick_digest(recording.path) == recording.sha256:
            return
    except OSError as error:
        raise OtherRecordingError(
            f"cannot read the recording {str(recording.path)!r} of the events: {error.strerror or error}",
            "say with --recordings where it is now",
        ) from error
    raise OtherRecordingError(
        f"the recording {str(recording.path)!r} has changed since it was looked at",
        f"run `polypstream detect` again, or {_REMEDY}",
    )


def _check_time(recording: Recording, frame: Frame, expected_s: float) -> None:
    if abs(frame.time_s - expected_s) > _ALIKE_S:
        raise OtherRecordingError(
            f"{str(recording.path)!r} is not the recording of the events: its frame {frame.index} is at "
            f"{frame.time_s:.3f} s and not at {expected_s:.3f} s"
        )
