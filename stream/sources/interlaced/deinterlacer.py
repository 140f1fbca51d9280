"""From interlaced frames to whole pictures, at the rate of the frames or of the fields, by FFmpeg's filter bwdif."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from enum import Enum
from fractions import Fraction
from typing import Any

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from stream.sources.interlaced.judging import Scan, ScanJudge

logger = logging.getLogger(__name__)

_PARITY = {None: "auto", Scan.TOP_FIRST: "tff", Scan.BOTTOM_FIRST: "bff"}
# What bwdif takes in the place of layouts that it does not: the same values, otherwise arranged.
_PLANAR = {
    "uyvy422": "yuv422p",
    "yuyv422": "yuv422p",
    "yvyu422": "yuv422p",
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "rgb24": "gbrp",
    "bgr24": "gbrp",
    "rgb0": "gbrp",
    "bgr0": "gbrp",
    "rgba": "gbrp",
    "bgra": "gbrp",
}
_LONG_GAP = 2  # times the usual distance of two frames; a longer one is a pause, or a new clock


class Deinterlace(str, Enum):
    """What becomes of interlaced video.

    Attributes:
        AUTO: a picture for each frame, where frames are interlaced; others stay as they are.
        FIELD: two pictures for each frame, one for each field, whatever the frames are.
        FRAME: a picture for each frame, whatever the frames are.
        OFF: frames stay as they are.
    """

    AUTO = "auto"
    FIELD = "field"
    FRAME = "frame"
    OFF = "off"

    @property
    def pictures_a_frame(self) -> int:
        """How many pictures come of each frame."""
        return 2 if self is Deinterlace.FIELD else 1

    @classmethod
    def of_run(cls, record: Mapping[str, Any]) -> Deinterlace:
        """What became of interlaced frames in the run that a record is of: its lines have to meet the same frames."""
        settings = record.get("settings")
        wanted = settings.get("deinterlace") if isinstance(settings, Mapping) else None
        return next((one for one in cls if one.value == wanted), cls.AUTO)


class Deinterlacer:
    """Takes the decoded frames of a stream in their order and gives whole pictures, with their own times.

    Each picture needs the frame after its own, so pictures come one frame later. At the start frames are held back
    until it is known how they are made: at most `hold` of them, for at most `hold_s`.
    """

    def __init__(
        self,
        wanted: Deinterlace,
        *,
        name: str,
        time_base: Fraction,
        hold: int = 12,
        hold_s: float = float("inf"),
    ) -> None:
        """Nothing is known of the frames yet.

        Args:
            wanted: what becomes of them.
            name: of the source, for what is said.
            time_base: unit of the times of frames that do not name one, in seconds.
            hold: most frames that are held back at the start.
            hold_s: longest time for which they are, in seconds.
        """
        self._wanted, self._name, self._time_base = wanted, name, time_base
        self._judge = ScanJudge()
        self._hold, self._hold_s = hold if wanted is not Deinterlace.OFF else 0, hold_s
        self._held: list[VideoFrame] = []
        self._began_s: float | None = None
        self._flagged = False  # a frame said that it is interlaced
        self._filter: _FieldFilter | None = None
        self._said: bool | None = None
        self.pictures = 0

    @property
    def scan(self) -> Scan | None:
        """How the frames are made, by what their pictures show; None while nothing that moves was seen."""
        return self._judge.scan

    def take(self, frame: VideoFrame) -> list[VideoFrame]:
        """Take the next frame.

        Args:
            frame: with its time in `pts`, which may be None.

        Returns:
            What can be shown by now; times are in units of each picture's own `time_base`.
        """
        if self._wanted is Deinterlace.OFF:
            return [frame]
        if not frame.time_base:
            frame.time_base = self._time_base
        self._flagged = self._flagged or frame.interlaced_frame
        self._judge.look(frame)
        self._held.append(frame)
        now_s = time.monotonic()
        self._began_s = self._began_s or now_s
        waiting = len(self._held) < self._hold and now_s - self._began_s < self._hold_s
        if waiting and self._judge.scan is None:
            return []
        self._hold = 0
        return self._release()

    def rest(self) -> list[VideoFrame]:
        """The pictures that are still held at the end of the stream."""
        return [*self._release(), *self._drained()]

    def as_record(self) -> Mapping[str, Any]:
        """What a run record says."""
        scan = self._judge.scan
        return {
            "wanted": self._wanted.value,
            "flags": "interlaced" if self._flagged else "progressive",
            "pictures_show": None if scan is None else scan.value,
            "deinterlaced_pictures": self.pictures,
            "pictures_a_frame": self._wanted.pictures_a_frame,
        }

    def describe(self) -> str:
        """How the video is made and what becomes of it, in a few words; "" where it stays as it is."""
        if not self._deinterlaces:
            return ""
        scan, rate = self._judge.scan, self._wanted.pictures_a_frame
        how = f"{scan.value}, by what moves in it" if scan is not None else "interlaced, by its flags"
        if self._wanted is not Deinterlace.AUTO and (scan is None or not scan.interlaced):
            how = f"taken for interlaced, by --deinterlace {self._wanted.value}"
        return f"{how}; deinterlaced to {'two pictures' if rate == 2 else 'one picture'} a frame"

    @property
    def _deinterlaces(self) -> bool:
        if self._wanted is not Deinterlace.AUTO:
            return self._wanted is not Deinterlace.OFF
        scan = self._judge.scan
        return self._flagged if scan is None else scan.interlaced

    def _release(self) -> list[VideoFrame]:
        held, self._held = self._held, []
        return [picture for frame in held for picture in self._pass(frame)]

    def _pass(self, frame: VideoFrame) -> list[VideoFrame]:
        if not self._deinterlaces:
            self._say(False)
            return [*self._drained(), frame]
        self._say(True)
        scan = self._judge.scan
        order = scan if scan is not None and scan.interlaced else None
        done: list[VideoFrame] = []
        if self._filter is None or not self._filter.fits(frame, order):
            done = self._drained()
            self._filter = _FieldFilter(frame, order, pictures_a_frame=self._wanted.pictures_a_frame)
        pictures = self._filter.take(frame)
        self.pictures += len(pictures)
        return [*done, *pictures]

    def _drained(self) -> list[VideoFrame]:
        passed, self._filter = self._filter, None
        pictures = [] if passed is None else passed.rest()
        self.pictures += len(pictures)
        return pictures

    def _say(self, deinterlaces: bool) -> None:
        """Once at the start where frames are deinterlaced, and whenever that changes."""
        if deinterlaces != (self._said or False):
            what = self.describe() or "progressive after all; its frames stay as they are"
            remedy = "" if self._wanted is not Deinterlace.AUTO else " (--deinterlace off: frames as they are)"
            logger.warning("%s is %s%s", self._name, what, remedy if deinterlaces else "")
        self._said = deinterlaces


class _FieldFilter:
    """FFmpeg's filter for frames of one size and format."""

    def __init__(self, like: VideoFrame, order: Scan | None, *, pictures_a_frame: int) -> None:
        self._like, self._order, self._pictures = _kind(like), order, pictures_a_frame
        self._graph = Graph()
        self._graph.threads = 1
        source = self._graph.add_buffer(
            width=like.width,
            height=like.height,
            format=av.VideoFormat(_PLANAR.get(like.format.name, like.format.name)),
            time_base=like.time_base,
        )
        mode = "send_field" if pictures_a_frame == 2 else "send_frame"
        bwdif = self._graph.add("bwdif", f"mode={mode}:parity={_PARITY[order]}:deint=all")
        sink = self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
        self._graph.configure()
        self._waiting: VideoFrame | None = None  # the newest frame, whose pictures need the next one
        self._gap: int | None = None  # ticks between two frames

    def fits(self, frame: VideoFrame, order: Scan | None) -> bool:
        """Whether it was made for frames of this kind."""
        return self._like == _kind(frame) and self._order == order

    def take(self, frame: VideoFrame) -> list[VideoFrame]:
        """The pictures of the frame before this one."""
        self._graph.vpush(_planar(frame))
        return self._pulled(frame)

    def rest(self) -> list[VideoFrame]:
        """The pictures of the last frame."""
        self._graph.vpush(None)
        return self._pulled(None)

    def _pulled(self, after: VideoFrame | None) -> list[VideoFrame]:
        frame, self._waiting = self._waiting, after
        pictures: list[VideoFrame] = []
        while True:
            try:
                pictures.append(self._graph.vpull())
            except (av.error.BlockingIOError, av.error.EOFError):
                break
        if frame is None:
            return pictures
        if frame.pts is not None:
            gap = None if after is None or after.pts is None else after.pts - frame.pts
            usual = self._gap
            if gap is not None and gap > 0 and (usual is None or gap <= _LONG_GAP * usual):
                self._gap = gap
        for place, picture in enumerate(pictures):
            self._finish(picture, frame, place)
        return pictures

    def _finish(self, picture: VideoFrame, frame: VideoFrame, place: int) -> None:
        """Give a picture the time and the colours of its frame; the time of a second field is half a frame later."""
        picture.color_range, picture.colorspace = frame.color_range, frame.colorspace
        picture.color_primaries, picture.color_trc = frame.color_primaries, frame.color_trc
        if frame.pts is None or not frame.time_base:
            return
        picture.time_base = frame.time_base / 2
        picture.pts = 2 * frame.pts
        if place:
            picture.pts += self._gap or frame.duration or 1
        picture.duration = (2 // self._pictures) * frame.duration


def _kind(frame: VideoFrame) -> tuple[int, int, str, Fraction | None]:
    return frame.width, frame.height, frame.format.name, frame.time_base


def _planar(frame: VideoFrame) -> VideoFrame:
    """The frame in planes, with its time; the frame itself where it has planes already."""
    layout = _PLANAR.get(frame.format.name)
    if layout is None:
        return frame
    planar = frame.reformat(format=layout)
    planar.pts, planar.time_base = frame.pts, frame.time_base
    return planar
