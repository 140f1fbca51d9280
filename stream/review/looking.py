"""The process that looks at single frames again: its detector is opened once, and it ends with whoever started it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import cause_of
from engine.processes.channel import DONE, Channel, Message, own_channel
from stream.detection.detector import Detector
from stream.record.recording import CANDIDATES_FROM
from stream.review.media.frames import FrameReader
from stream.review.media.material import Material
from stream.view.field_of_view import find_field_of_view

CODE = "from stream.review.looking import main; main()"
LOOK, SEEN, FAILED = "look", "seen", "failed"


def send_order(channel: Channel, material: Material, model: Path, frames: Sequence[int]) -> bool:
    """Tells the process at which frames to look; False where it has gone."""
    fields, times = material.message()
    return channel.send(LOOK, times, **fields, model=str(model), frames=list(frames))


def main() -> None:
    """Carries out orders until nobody is there to give any."""
    channel = own_channel()
    detectors: dict[str, Detector] = {}
    while (order := channel.receive()) is not None:
        try:
            _look(channel, order, detectors)
        except Exception as error:
            channel.send(FAILED, error=cause_of(error))
        else:
            channel.send(DONE)


def _look(channel: Channel, order: Message, detectors: dict[str, Detector]) -> None:
    fields = order.fields
    detector = _detector(fields["model"], detectors)
    material = Material.of_message(fields, order.body)
    floor = min(CANDIDATES_FROM, detector.threshold)
    with FrameReader(material) as reader:
        for frame in fields["frames"]:
            image = reader.image(frame)
            (found,) = detector.detect([image], [find_field_of_view(image)], floor=floor)
            candidates: list[Any] = [[*map(float, one.box_xyxy), float(one.score)] for one in found]
            if not channel.send(SEEN, frame=frame, candidates=candidates):
                return


def _detector(model: str, detectors: dict[str, Detector]) -> Detector:
    if model not in detectors:
        for other in detectors.values():
            other.close()
        detectors.clear()
        detectors[model] = Detector.open(Path(model))
    return detectors[model]
