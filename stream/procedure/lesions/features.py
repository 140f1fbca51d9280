"""What the network's features say of a look: a vector whose direction is alike for looks at one lesion.

The features are those of the last layer before the shipped classifier `lesion` names kinds. Its trunk is that of a
detector of polyps. The mean over the middle of the crop is taken: its border shows surroundings that come and go.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.arrays import Float32s, Image
from engine.conversion.onnx_graph import network_with_output, session_of
from engine.errors import RunError
from engine.windows.preprocess import normalise
from stream.lesion.classifier import lesion_bundle
from stream.lesion.view import cut_lesion
from stream.procedure.looks import Look

MODEL = "lesion"
_LAYER = "getitem_141"  # (batch, channels, 6, 6): what its linear layer answers from, at every position
_MIDDLE = slice(1, 5)
_AT_ONCE = 16


class LookFeatures:
    """Makes features of looks.

    Attributes:
        context: side of the square around a polyp, in sizes of its box.
        side: of a crop in pixels.
    """

    def __init__(self) -> None:
        """Open the network, on one thread of the processor."""
        bundle = lesion_bundle(MODEL)
        network = network_with_output(bundle.networks["fp32"].path.read_bytes(), _LAYER)
        self._bundle, self._session = bundle, session_of(network)
        self._input = self._session.get_inputs()[0].name
        self.context = float(bundle.record["view"]["context"])
        self.side = bundle.input_wh[0]

    def crop(self, look: Look) -> Image:
        """The polyp of a look with its surroundings as the network takes it, BGR uint8, square."""
        box = look.sighting.detection.box_xyxy
        return cut_lesion(look.image, box, look.field, context=self.context, side=self.side)

    def of(self, crops: Sequence[Image]) -> Float32s:
        """Features of crops.

        Args:
            crops: as `crop` gives them.

        Returns:
            float32 (crops, channels), each of length 1.

        Raises:
            RunError: the runtime failed.
        """
        found = []
        for start in range(0, len(crops), _AT_ONCE):
            pictures = normalise(crops[start : start + _AT_ONCE], self._bundle.mean, self._bundle.std)
            try:
                (layer,) = self._session.run([_LAYER], {self._input: pictures})
            except Exception as error:  # the library's errors share no base but Exception
                raise RunError(f"ONNX Runtime failed on the features of findings: {error}") from error
            found.append(np.asarray(layer, np.float32)[:, :, _MIDDLE, _MIDDLE].mean(axis=(2, 3)))
        features = np.concatenate(found) if found else np.zeros((0, 1), np.float32)
        return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9), np.float32)
