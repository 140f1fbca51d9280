"""Pictures to named classes: what `polypstream classify` does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from engine.arrays import Image
from engine.errors import InputError
from engine.files import Claim, claim_folder, replacing, write_errors
from engine.files.claims import held_in
from engine.runtime import AUTO
from engine.windows.preprocess import Letterbox
from stream.detection.detector import Detector
from stream.frame import Frame
from stream.lesion.classifier import Classified, Classifier
from stream.lesion.heat_map import class_evidence, draw_heat_map
from stream.lesion.view import Box, lesion_square
from stream.record.event_sink import EVENT_SUFFIXES, LineSink
from stream.record.output_path import claim_output
from stream.sources.opening import open_source
from stream.sources.picture_files import pictures_in
from stream.sources.source import SourceInfo, SourceKind, SourceProblems
from stream.view.field_of_view import find_field_of_view

_HEAT_MAP_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


@dataclass(frozen=True, slots=True)
class ClassifySettings:
    """What is to be classified, and how.

    Attributes:
        source: picture, or folder of pictures.
        model: name of a shipped classifier, or a bundle's folder.
        find: name of a shipped detector, or a bundle's folder, that finds the lesions of each picture; None when each
            picture shows one lesion, or whatever the model names.
        heat_map: picture to write where the source is one, else folder; None for none.
        json: file of JSON lines to write (.jsonl), or None.
        runtime: name of a runtime, or "auto".
        overwrite: replace files that exist.
    """

    source: str
    model: str = "lesion"
    find: str | None = None
    heat_map: Path | None = None
    json: Path | None = None
    runtime: str = AUTO
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class NamedPicture:
    """A picture, or a lesion in one, and what it was named.

    Attributes:
        file: name of the picture.
        answer: of the classifier.
        box_xyxy: of the lesion in pixels of the picture; None where the whole picture was classified.
        page: number of the page of a picture file that has several, from 1; else None.
    """

    file: str
    answer: Classified
    box_xyxy: Box | None = None
    page: int | None = None

    def record(self) -> dict[str, Any]:
        """As a line of JSON."""
        record: dict[str, Any] = {"file": self.file}
        if self.page is not None:
            record["page"] = self.page
        if self.box_xyxy is not None:
            record["box_xyxy"] = [round(value, 1) for value in self.box_xyxy]
        shares = {name: round(value, 4) for name, value in self.answer.probabilities.items()}
        return {**record, "class": self.answer.named, "probabilities": shares}


@dataclass(frozen=True, slots=True)
class ClassifyResult:
    """What came of it.

    Attributes:
        named: what was named, in order.
        problems: of the source.
        without: pictures in which no lesion was found.
        heat_maps: that were written.
    """

    named: tuple[NamedPicture, ...]
    problems: SourceProblems
    without: int
    heat_maps: int


@dataclass(frozen=True, slots=True)
class _View:
    """A picture as the network takes it, and how it lies in the source's picture."""

    picture: Image
    letterbox: Letterbox
    box_xyxy: Box | None = None


def classify_pictures(
    settings: ClassifySettings, *, on_named: Callable[[NamedPicture], object] | None = None
) -> ClassifyResult:
    """Names a picture or the pictures of a folder.

    Args:
        settings: what is to be done.
        on_named: told of each result as it comes.

    Raises:
        InputError: wrong usage or unusable input; nothing was written.
        RunError: the runtime failed.
        WriteError: the disk is full; the lines so far stay under a partial name.
    """
    with ExitStack() as stack:
        classifier = stack.enter_context(Classifier.open(settings.model, runtime=settings.runtime))
        source = stack.enter_context(open_source(settings.source))
        claim = _claim(settings, source.info, classifier, stack)
        detector, lines = None, None
        if settings.find is not None:
            detector = stack.enter_context(Detector.open(settings.find, runtime=settings.runtime))
        if settings.json is not None:
            lines = stack.enter_context(LineSink(settings.json, overwrite=settings.overwrite, claim=claim))
        named: list[NamedPicture] = []
        without = heat_maps = 0
        alike = _stems_of_several(source.info) if settings.heat_map is not None else frozenset[str]()
        for frame in source:
            views = list(_views(frame, classifier, detector))
            without += not views
            answers = classifier.classify([view.picture for view in views])
            for view, answer in zip(views, answers, strict=True):
                one = NamedPicture(str(frame.name), answer, view.box_xyxy, frame.page)
                named.append(one)
                if lines is not None:
                    lines.write_line(one.record())
                if on_named is not None:
                    on_named(one)
            if settings.heat_map is not None and views:
                one_picture = source.info.kind is SourceKind.PICTURE
                target = settings.heat_map if one_picture else settings.heat_map / _heat_map_name(frame, alike)
                _write_heat_map(target, frame, classifier, views, answers, overwrite=settings.overwrite)
                heat_maps += 1
        return ClassifyResult(tuple(named), source.problems, without, heat_maps)


def _claim(settings: ClassifySettings, info: SourceInfo, classifier: Classifier, stack: ExitStack) -> Claim | None:
    """Checks what is to be written and holds it for this run; returns the claim of the lines."""
    if info.kind is SourceKind.VIDEO:
        raise InputError(
            f"{settings.source!r} is a video; give a picture or a folder of pictures, or run `polypstream detect "
            f"{settings.source} --classify`"
        )
    if settings.find is not None and classifier.context is None:
        raise InputError(f"model {settings.model!r} was made for whole pictures, not for lesions; leave --find out")
    heat_map = settings.heat_map
    if heat_map is not None and not classifier.shows_where:
        raise InputError(f"model {settings.model!r} cannot show where it looked; train one of a `_map` network")
    claim = None

    def held(target: Path, suffixes: Collection[str]) -> Claim:
        return stack.enter_context(
            claim_output(target, suffixes=suffixes, overwrite=settings.overwrite, inputs=[info.path])
        )

    if settings.json is not None:
        claim = held(settings.json, EVENT_SUFFIXES)
    if heat_map is not None and info.kind is SourceKind.PICTURE:
        held(heat_map, _HEAT_MAP_SUFFIXES)
    elif heat_map is not None:
        refused = InputError(
            f"{str(heat_map)!r} must be a new or empty folder for the heat maps of a folder of pictures"
        )
        if heat_map.suffix or (os.path.lexists(heat_map) and not heat_map.is_dir()):
            raise refused
        stack.enter_context(claim_folder(heat_map))
        if any(held_in(heat_map)) and not settings.overwrite:
            raise refused
    return claim


def _views(frame: Frame, classifier: Classifier, detector: Detector | None) -> Iterator[_View]:
    """What of a picture is classified: its lesions, or all of it."""
    image = frame.image
    if detector is None:
        yield _View(*classifier.picture(image))
        return
    field = find_field_of_view(image)
    for seen in detector.detect([image], [field])[0]:
        picture = classifier.lesion(image, seen.box_xyxy, field)
        square = lesion_square(seen.box_xyxy, classifier.context or 1.0)
        yield _View(picture, Letterbox.fit(square, classifier.bundle.input_wh), seen.box_xyxy)


def _stems_of_several(info: SourceInfo) -> frozenset[str]:
    """Names without ending that several pictures of a folder have."""
    if info.kind is not SourceKind.FOLDER:
        return frozenset()
    stems = Counter(path.stem for path in pictures_in(info.path, tell=False))
    return frozenset(stem for stem, count in stems.items() if count > 1)


def _heat_map_name(frame: Frame, alike: frozenset[str]) -> str:
    """The picture's name with .png; with its ending and page in it where another picture would have the same."""
    name = Path(str(frame.name))
    page = "" if frame.page is None else f".{frame.page}"
    return f"{name.name if name.stem in alike else name.stem}{page}.png"


def _write_heat_map(
    target: Path,
    frame: Frame,
    classifier: Classifier,
    views: list[_View],
    answers: list[Classified],
    *,
    overwrite: bool,
) -> None:
    image = frame.image
    names = list(classifier.bundle.classes)
    for view, answer in zip(views, answers, strict=True):
        assert answer.maps is not None  # asked of the bundle before
        evidence = class_evidence(answer.maps, names.index(answer.named))
        image = draw_heat_map(image, evidence, view.letterbox, classifier.bundle.input_wh)
    done, code = cv2.imencode(target.suffix, cv2.hconcat([frame.image, image]))
    with write_errors(target, what="heat map"), replacing(target, private=True, overwrite=overwrite) as partial:
        partial.write_bytes(code.tobytes() if done else b"")
