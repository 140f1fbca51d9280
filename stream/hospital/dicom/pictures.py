"""Videos and pictures of findings as VL and video objects."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from stream.hospital.dicom.instances import Series, Study, add_pixels, reference
from stream.hospital.dicom.streams import Stream

_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_H264, _JPEG = "ISO_14496_10", "ISO_10918_1"
_FRAME_TIME, _FRAME_TIMES = "FrameTime", "FrameTimeVector"
_LONGEST_VECTOR = 60_000  # characters: values of this kind have a length of 16 bits


@dataclass(frozen=True, slots=True)
class Kinds:
    """What videos and pictures are written as.

    Attributes:
        video: UID of the class of videos.
        picture: UID of the class of single pictures.
        modality: of both.
    """

    video: str
    picture: str
    modality: str


ENDOSCOPIC = Kinds("1.2.840.10008.5.1.4.1.1.77.1.1.1", "1.2.840.10008.5.1.4.1.1.77.1.1", "ES")
PHOTOGRAPHIC = Kinds("1.2.840.10008.5.1.4.1.1.77.1.4.1", "1.2.840.10008.5.1.4.1.1.77.1.4", "XC")
"""For viewers that show photographic video and no endoscopic one. The pixels are the same."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An object whose frames are those of a recording.

    Attributes:
        header: of the object, without pixels.
        kind: UID of its class.
        uid: of the object.
    """

    header: Dataset
    kind: str
    uid: str


def video_header(
    study: Study,
    series: Series,
    number: int,
    stream: Stream,
    *,
    source: Recorded | None,
    kinds: Kinds = ENDOSCOPIC,
) -> Dataset:
    """A Video Endoscopic or Photographic object, without its stream.

    Args:
        study: that it belongs to.
        series: of the object.
        number: of the object in its series.
        stream: that is to be its pixel data.
        source: the object that the frames come from; None where they come from another file.
        kinds: what it is written as; the series has its modality.
    """
    made = study.instance(kinds.video, stream.level.syntax, series, number)
    frames = len(stream.times_s)
    plain = stream.size_wh[0] * stream.size_wh[1] * 3 * frames
    ratio = plain / max(stream.path.stat().st_size, 1)
    add_pixels(made, stream.size_wh, "YBR_PARTIAL_420", method=_H264, ratio=ratio)
    made.NumberOfFrames = frames
    rate = 1 / stream.step_s
    vector = _decimals(stream)
    if stream.is_even or len("\\".join(vector)) > _LONGEST_VECTOR:
        made.FrameIncrementPointer = Tag(_FRAME_TIME)
        made.FrameTime = _decimal(stream.step_s * 1000)
    else:
        made.FrameIncrementPointer = Tag(_FRAME_TIMES)
        made.FrameTimeVector = vector
    made.CineRate = max(1, round(rate))
    made.RecommendedDisplayFrameRate = max(1, round(rate))
    if stream.aspect != 1:
        made.PixelAspectRatio = [stream.aspect.denominator, stream.aspect.numerator]  # height of a pixel, then width
    made.BurnedInAnnotation = "YES"
    if source is not None:
        made.SourceImageSequence = [reference(source.kind, source.uid)]
    return made


def key_picture(
    study: Study,
    series: Series,
    number: int,
    jpeg: bytes,
    *,
    recorded: Recorded,
    frame: int,
    description: str,
    kinds: Kinds = ENDOSCOPIC,
) -> Dataset:
    """A VL Endoscopic or Photographic object with the picture of a finding.

    Args:
        study: that it belongs to.
        series: of the object.
        number: of the object in its series.
        jpeg: the picture.
        recorded: object of the recording.
        frame: number of the frame in it, from 1.
        description: of what it shows, one line.
        kinds: what it is written as; the series has its modality.
    """
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    height, width = image.shape[:2]
    made = study.instance(kinds.picture, _JPEG_BASELINE, series, number)
    add_pixels(made, (width, height), "YBR_FULL_422", method=_JPEG, ratio=width * height * 3 / len(jpeg))
    made.DerivationDescription = description
    made.SourceImageSequence = [reference(recorded.kind, recorded.uid, frame)]
    return made


def _decimals(stream: Stream) -> list[str]:
    """The distances of frames in milliseconds, 0 for the first."""
    steps = [Fraction(0), *(after - before for before, after in zip(stream.times_s, stream.times_s[1:], strict=False))]
    return [_decimal(step * 1000) for step in steps]


def _decimal(value: Fraction) -> str:
    """A number as DICOM writes it, in 16 characters at most."""
    return f"{float(value):.6f}".rstrip("0").rstrip(".")[:16] or "0"
