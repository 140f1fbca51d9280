"""Which files are wanted beside a procedure's report, and whether they are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.errors import InputError
from stream.procedure.page import check_page
from stream.procedure.report import FHIR, PDF
from stream.record.encoders import AUTO, check_encoder
from stream.record.track.marking import Marking

FRAMES = "frames.parquet"
"""Name of the table of frames in a procedure's folder."""

VIDEOS = "videos"
"""Name of the folder of annotated recordings in a procedure's folder."""

_ENDINGS = {Marking.BURNED: ".mp4", Marking.TRACK: ".mkv"}


@dataclass(frozen=True, slots=True)
class Extras:
    """What is wanted beside the report of each procedure.

    Attributes:
        pdf: the report as PDF.
        fhir: the report as FHIR.
        frames_table: a table of all frames (Parquet).
        videos: how marks get into annotated recordings; None for no such recordings.
        encoder: of burned-in marks, a name of `stream.record.encoders`.
    """

    pdf: bool = False
    fhir: bool = False
    frames_table: bool = False
    videos: Marking | None = None
    encoder: str = AUTO

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Extras:
        """Extras of their values as JSON holds them."""
        videos = record["videos"]
        return cls(**{**record, "videos": None if videos is None else Marking(videos)})

    def check(self) -> None:
        """Finds out whether all of it can be made, before any work is done for it.

        Raises:
            InputError: a package is missing, or there is no encoder of this name or nothing for it to do.
        """
        if check_encoder(self.encoder) != AUTO and self.videos is not Marking.BURNED:
            raise InputError(f"--encoder {self.encoder} has no effect without --videos burned; leave it out")
        check_page(pdf=self.pdf)
        if self.frames_table:
            try:
                import_module("pyarrow.parquet")
            except ImportError as error:
                raise InputError(
                    f"--frames-table needs the package PyArrow ({error}): pip install 'polypstream[tables]'"
                ) from error

    def are_in(self, folder: Path, *, recordings: int) -> bool:
        """Whether a procedure's folder holds all of it.

        Args:
            folder: of the procedure.
            recordings: that the procedure has.
        """
        wanted = {PDF: self.pdf, FHIR: self.fhir, FRAMES: self.frames_table}
        names = [name for name, is_wanted in wanted.items() if is_wanted]
        if self.videos is not None:
            for number in range(1, recordings + 1):
                video = video_path(folder, number, self.videos)
                names += [str(path.relative_to(folder)) for path in (video, video_record_path(video))]
        return all((folder / name).is_file() for name in names)


def video_path(folder: Path, number: int, marking: Marking) -> Path:
    """Where an annotated recording stands in a procedure's folder; `number` counts its recordings from 1."""
    return folder / VIDEOS / f"{number:02d}{_ENDINGS[marking]}"


def video_record_path(video: Path) -> Path:
    """Where it stands what an annotated recording was made of. It is written last: where it is, the video is whole."""
    return video.with_suffix(".json")
