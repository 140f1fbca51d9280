"""All objects of a procedure, written to a folder."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from engine.errors import InputError, OutputError
from engine.files import claim_folder, write_errors
from engine.reading.bounded import MALFORMED, read_json_bounded
from stream.hospital.dicom.document import pdf_object
from stream.hospital.dicom.findings import ReportedFinding, structured_report
from stream.hospital.dicom.identity import Worklist, identity_for
from stream.hospital.dicom.instances import Study, write_instance
from stream.hospital.dicom.pictures import ENDOSCOPIC, Kinds, Recorded, key_picture, video_header
from stream.hospital.dicom.regions import judged_findings_of, regions_of
from stream.hospital.dicom.streams import make_stream
from stream.hospital.dicom.uids import UidRoot
from stream.judgements.lists import USUAL, JudgementLists, read_lists
from stream.judgements.reviewed import judgements_folder
from stream.judgements.state import JudgedFinding
from stream.procedure.contents import picture_name, report_of
from stream.procedure.findings import StepListener, find_findings
from stream.procedure.reading import Procedure, Recording, read_procedure
from stream.procedure.report import JSON, PDF
from stream.procedure.times import moments_of, times_of
from stream.sources.containers.dicom.objects import quiet, read_object
from stream.sources.containers.dicom.preamble import is_dicom
from stream.sources.interlaced.deinterlacer import Deinterlace

FINDINGS = "findings.dcm"
"""Name of the structured report. It is written last: where it stands, all objects of the procedure do."""

_VIDEOS, _PICTURES, _DOCUMENT = "video", "finding", "report.dcm"
_OURS = re.compile(r"(video|finding)-\d{2,}\.dcm|report\.dcm")
_REMEDY = "free space, or name another folder"


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What objects are made with.

    Attributes:
        worklist: says whose procedures they are; None for what source objects say.
        uids: where new identifiers come from.
        overwrite: replace objects that stand in the folder.
        kinds: what videos and pictures are written as.
    """

    worklist: Worklist | None = None
    uids: UidRoot = field(default_factory=UidRoot)
    overwrite: bool = False
    kinds: Kinds = ENDOSCOPIC


@dataclass(frozen=True, slots=True)
class Exported:
    """Objects that were written.

    Attributes:
        files: all of them.
        unknown: attributes of patient and study that stayed empty.
    """

    files: tuple[Path, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Contents:
    """What is reported: `report.json`, pictures of findings by number, the document, and what a review says."""

    report: Mapping[str, Any]
    pictures: Mapping[int, bytes]
    pdf: bytes | None
    judged: Mapping[str, JudgedFinding]
    lists: JudgementLists


def export_procedure(
    result: Path,
    folder: Path,
    settings: ExportSettings,
    *,
    procedure: Procedure | None = None,
    report: Path | None = None,
    annotated: Path | None = None,
    recordings: Sequence[Path] | None = None,
    on_step: StepListener | None = None,
) -> Exported:
    """Writes the objects of a procedure: its videos, pictures of findings, findings as a report, the report as PDF.

    A recording that is a DICOM object is referred to and not written again, unless it was annotated.

    Args:
        result: folder of a procedure, or event lines with candidates.
        folder: to write to.
        settings: see there.
        procedure: as it was read from the result before; None to read it.
        report: folder of its report; None for findings that are looked for anew, without the document.
        annotated: video with marks that is to be written in the place of the recording.
        recordings: where the recordings are now; None for where they were.
        on_step: told of the progress of each step.

    Raises:
        InputError: unusable results, or an output that cannot be written.
        RunError: a fault midway.
    """
    procedure = read_procedure(result) if procedure is None else procedure
    places = [one.path for one in procedure.recordings] if recordings is None else list(recordings)
    study = Study.of(identity_for(procedure.name, places, settings.worklist), settings.uids)
    with claim_folder(folder), quiet():
        if not settings.overwrite and any(folder.glob("*.dcm")):
            raise OutputError(
                f"{folder} holds DICOM objects already; name another folder, or allow it with --overwrite"
            )
        contents = _found(procedure, places, on_step) if report is None else _read(result, procedure, report)
        with write_errors(folder, what="DICOM objects", remedy=_REMEDY):
            (folder / FINDINGS).unlink(missing_ok=True)  # of an earlier run: what it refers to is about to be replaced
            writer = _Writer(procedure, places, study, folder, settings, on_step)
            writer.recordings(annotated)
            if contents.pdf is not None:
                writer.document(contents.pdf)
            writer.findings(contents)
            _remove_old(folder, writer.files)
    return Exported(tuple(writer.files), study.identity.unknown)


def _found(procedure: Procedure, places: Sequence[Path], on_step: StepListener | None) -> _Contents:
    findings = find_findings(procedure, places=places, on_step=on_step)
    times = times_of(procedure, moments_of(procedure), cecum_s=None)
    pictures = {one.number: one.picture.plain for one in findings}
    return _Contents(report_of(procedure, findings, times), pictures, None, {}, USUAL)


def _read(result: Path, procedure: Procedure, folder: Path) -> _Contents:
    try:
        report = read_json_bounded(folder / JSON)
        pictures = {one["number"]: (folder / picture_name(one["number"])).read_bytes() for one in report["findings"]}
        pdf = (folder / PDF).read_bytes() if (folder / PDF).is_file() else None
    except (OSError, *MALFORMED) as error:
        reason = getattr(error, "strerror", None) or repr(error)
        raise InputError(f"the report in {folder} cannot be read ({reason}); write it again") from error
    judged = judged_findings_of(result, procedure, report)
    return _Contents(report, pictures, pdf, judged, read_lists(judgements_folder(result)))


def _remove_old(folder: Path, files: Sequence[Path]) -> None:
    """Removes what an earlier run had more of."""
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path not in files:
            path.unlink(missing_ok=True)


class _Writer:
    """Writes the objects of one procedure one after the other."""

    def __init__(
        self,
        procedure: Procedure,
        places: Sequence[Path],
        study: Study,
        folder: Path,
        settings: ExportSettings,
        on_step: StepListener | None,
    ) -> None:
        self.files: list[Path] = []
        self._procedure, self._places, self._study = procedure, places, study
        self._folder, self._settings, self._on_step = folder, settings, on_step
        self._recorded: list[Recorded] = []
        self._evidence: list[Dataset] = []

    def recordings(self, annotated: Path | None) -> None:
        """Writes the videos that are no objects yet, and finds out which objects the others are."""
        named = "polypstream: annotated video" if annotated else "polypstream: video"
        series = self._study.series(9001, self._settings.kinds.modality, named)
        for number, (recording, place) in enumerate(zip(self._procedure.recordings, self._places, strict=True), 1):
            source = self._object_of(place)
            if source is not None:
                self._evidence.append(source.header)
            if source is None or annotated is not None:
                self._video(number, recording, annotated or place, series, source)
            else:
                self._recorded.append(source)

    def findings(self, contents: _Contents) -> None:
        """Writes the pictures and the structured report of the findings."""
        series = self._study.series(9002, self._settings.kinds.modality, "polypstream: pictures of findings")
        reported = []
        for entry in contents.report["findings"]:
            number = int(entry["number"])
            recorded, frame = self._place_of(int(entry["best_frame"]))
            picture = key_picture(
                self._study,
                series,
                number,
                contents.pictures[number],
                recorded=recorded,
                frame=frame,
                description=f"Finding {number} at {float(entry['best_time_s']):.2f} s of the procedure",
                kinds=self._settings.kinds,
            )
            self._write_jpeg(picture, contents.pictures[number], f"{_PICTURES}-{number:02d}.dcm")
            self._evidence.append(picture)
            regions = regions_of(entry, self._procedure, contents.judged, self._place_of)
            reported.append(ReportedFinding(entry, regions, picture))
        evidence = [*self._evidence]
        report = self._study.series(9003, "SR", "polypstream: findings, not for diagnosis")
        made = structured_report(self._study, report, reported, evidence, contents.report, contents.lists)
        self._write(made, FINDINGS)

    def document(self, pdf: bytes) -> None:
        """Writes the report as a document."""
        series = self._study.series(9004, "DOC", "polypstream: report, not for diagnosis")
        self._write(pdf_object(self._study, series, pdf), _DOCUMENT)

    def _object_of(self, place: Path) -> Recorded | None:
        """The object that a recording is; None where it is none, or lacks a UID by which it is referred to."""
        if not is_dicom(place):
            return None
        found = read_object(place)
        names = ("StudyInstanceUID", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
        study, kind, uid, series = map(found.text, names)
        if not (study and kind and uid and series):
            return None
        return Recorded(self._study.header_of(kind, uid, series), kind, uid)

    def _video(self, number: int, recording: Recording, path: Path, series: Any, source: Recorded | None) -> None:

        def told(frames: int) -> None:
            if self._on_step is not None:
                self._on_step(f"video {number}", recording.frames, frames)

        is_recording = path == self._places[number - 1]
        with tempfile.TemporaryDirectory(prefix=".video-", dir=self._folder) as scratch:
            stream = make_stream(
                path,
                Path(scratch) / "stream.mp4",
                stream=recording.stream if is_recording else None,
                deinterlace=recording.deinterlace if is_recording else Deinterlace.AUTO,
                on_progress=told,
            )
            if len(stream.times_s) != recording.frames:
                raise InputError(
                    f"{path} has {len(stream.times_s)} frames and its events tell of {recording.frames}; make them "
                    "again"
                )
            made = video_header(self._study, series, number, stream, source=source, kinds=self._settings.kinds)
            with stream.path.open("rb") as file:
                self._write(made, f"{_VIDEOS}-{number:02d}.dcm", file)
        del made.PixelData
        self._evidence.append(made)
        self._recorded.append(Recorded(made, made.SOPClassUID, made.SOPInstanceUID))

    def _place_of(self, frame: int) -> tuple[Recorded, int]:
        """The object of a frame of the procedure, and the number of the frame in it, from 1."""
        for recorded, recording in zip(self._recorded, self._procedure.recordings, strict=True):
            if recording.first_frame <= frame < recording.first_frame + recording.frames:
                return recorded, frame - recording.first_frame + 1
        raise InputError(f"the report tells of frame {frame}, which no recording has; write it again")

    def _write_jpeg(self, made: Dataset, jpeg: bytes, name: str) -> None:
        from pydicom.encaps import encapsulate

        made.PixelData = encapsulate([jpeg])
        made["PixelData"].VR = "OB"
        self._write(made, name)
        del made.PixelData

    def _write(self, made: Dataset, name: str, stream: Any = None) -> None:
        path = self._folder / name
        write_instance(made, path, overwrite=self._settings.overwrite, stream=stream)
        self.files.append(path)
