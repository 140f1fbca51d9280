"""The classifier: pictures, or lesions cut from frames, in; a probability for each class out, and where it looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.arrays import Image
from engine.bundle import ModelBundle, Task, load_bundle
from engine.errors import BundleError, InputError
from engine.pictures.picture import AnyPicture
from engine.processes.own_process import OwnProcess
from engine.runtime import AUTO, Runtime, RuntimeSettings
from engine.runtimes.opening import open_runtime
from engine.scores import scores_of
from engine.windows.preprocess import Letterbox, lay_in, normalise
from stream.frame import FieldOfView, check_field, check_image, picture_of
from stream.lesion.view import Box, cut_lesion

#: Pictures that run as one batch.
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Classified:
    """What a classifier says of one picture.

    Attributes:
        probabilities: of each class by its name, in the bundle's order; they sum to 1.
        named: the class that is named.
        maps: float32 (classes, rows, columns): what each position of the picture adds to each class's logit; None
            where the model cannot tell.
    """

    probabilities: Mapping[str, float]
    named: str
    maps: npt.NDArray[np.float32] | None = None


class Classifier(OwnProcess):
    """Runs a bundle over pictures. May be used from several threads at once, in the process that opened it.

    Attributes:
        bundle: the model.
        runtime: what runs it.
        context: side of the square around a lesion, in lesion sizes; None for a model of whole pictures.
        shows_where: whether answers have maps.

    Example:
        >>> image = read_picture("frame.png")
        >>> lesion_xyxy, field = (60.0, 40.0, 140.0, 110.0), find_field_of_view(image)
        >>> with Classifier.open("lesion") as classifier:
        ...     answer = classifier.classify([classifier.lesion(image, lesion_xyxy, field)])[0]
        >>> 0 <= answer.probabilities["neoplastic"] <= 1
        True
    """

    def __init__(self, bundle: ModelBundle, runtime: Runtime) -> None:
        """Joins a bundle and a runtime that runs it.

        Args:
            bundle: a classifier.
            runtime: opened for this bundle; closed with the classifier.

        Raises:
            InputError: the bundle is no classifier.
            BundleError: it does not say how lesions are cut as it should.
        """
        super().__init__()
        _check(bundle)
        self.bundle, self.runtime = bundle, runtime
        self.context = _context(bundle)
        self.shows_where = bool(bundle.record.get("maps"))

    @classmethod
    def open(cls, model: str | Path, *, runtime: str = AUTO, settings: RuntimeSettings | None = None) -> Classifier:
        """Opens a shipped model by name, or a bundle by folder.

        Raises:
            InputError: the model is no classifier or cannot be used.
        """
        bundle = load_bundle(model)
        _check(bundle)
        return cls(bundle, open_runtime(bundle, runtime, settings))

    def picture(self, image: AnyPicture) -> tuple[Image, Letterbox]:
        """A whole picture, BGR uint8 or as it was decoded, as the network takes it, and how it was laid in.

        Raises:
            InputError: the image is no BGR uint8 picture.
        """
        whole = picture_of(image)
        return lay_in(whole, (0, 0, *whole.resolution_wh), self.bundle.input_wh)

    def lesion(self, image: AnyPicture, box_xyxy: Box, field: FieldOfView) -> Image:
        """A lesion of a frame with its surroundings, as the network takes it.

        Args:
            image: the frame: BGR uint8 (height, width, 3), or as it was decoded.
            box_xyxy: of the lesion, pixels of the frame.
            field: of view of the frame.

        Raises:
            InputError: the model was not made for lesions, the image is no BGR uint8 picture, or the field of view is
                not one of it.
        """
        if self.context is None:
            raise InputError(_of_whole_pictures(self.bundle))
        picture = picture_of(image)
        check_field(field, picture)
        return cut_lesion(picture, box_xyxy, field, context=self.context, side=self.bundle.input_wh[0])

    def classify(self, pictures: Sequence[Image]) -> list[Classified]:
        """Names pictures.

        Args:
            pictures: BGR uint8 of the network's size, as `picture` and `lesion` give them.

        Raises:
            InputError: a picture is not BGR uint8, or not of the network's size.
            RunError: the runtime failed, or the classifier belongs to another process.
        """
        self._check_process()
        bundle = self.bundle
        for index, picture in enumerate(pictures):
            check_image(picture, f"pictures[{index}]")
            if picture.shape[1::-1] != bundle.input_wh:
                raise InputError(
                    f"pictures[{index}] must have the network's size of {'x'.join(map(str, bundle.input_wh))} pixels, "
                    f"not {'x'.join(map(str, picture.shape[1::-1]))}; make it with `Classifier.lesion` or `.picture`"
                )
        answers: list[Classified] = []
        for start in range(0, len(pictures), _AT_ONCE):
            outputs = self.runtime.run(normalise(pictures[start : start + _AT_ONCE], bundle.mean, bundle.std))
            for row, shares in enumerate(scores_of(bundle, outputs["logits"]).tolist()):
                maps = outputs["maps"][row] if "maps" in outputs else None
                answers.append(Classified(dict(zip(bundle.classes, shares, strict=True)), self.named(shares), maps))
        return answers

    def named(self, probabilities: Sequence[float]) -> str:
        """The class that is named: with two classes by the bundle's threshold for the first, else the likeliest."""
        classes = self.bundle.classes
        if len(classes) == 2:
            return classes[0] if probabilities[0] >= self.bundle.threshold else classes[1]
        return classes[int(np.argmax(probabilities))]

    def _release(self) -> None:
        self.runtime.close()


def lesion_bundle(model: str) -> ModelBundle:
    """A shipped classifier of lesions by name, or one by folder; its runtime is not opened.

    Raises:
        InputError: the model is no classifier, was made for whole pictures, or cannot be used.
    """
    bundle = load_bundle(model)
    _check(bundle)
    if _context(bundle) is None:
        raise InputError(_of_whole_pictures(bundle))
    return bundle


def _of_whole_pictures(bundle: ModelBundle) -> str:
    return f"model {bundle.name!r} was made for whole pictures, not for lesions; choose another"


def _check(bundle: ModelBundle) -> None:
    if bundle.task is not Task.CLASSIFY:
        raise InputError(
            f"model {bundle.name!r} is no classifier but a detector; choose another, or run `polypstream detect`"
        )


def _context(bundle: ModelBundle) -> float | None:
    view = bundle.record.get("view")
    if view is None:
        return None
    try:
        context = float(view["context"])
        if not 1 <= context <= 10:
            raise ValueError(f"context {context}, which must be within 1 to 10")
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"bundle {str(bundle.folder)!r} has a view that cannot be used ({error})") from error
    return context
