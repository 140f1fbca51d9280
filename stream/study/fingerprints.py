"""What results depend on, as digests: results with the same key need not be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.bundle import ModelBundle, load_bundle
from engine.sealing.identity import digest_of
from stream.decision.rule import DecisionRule, decision_rule, time_rule_of_model
from stream.instruments.watch import instruments_bundle
from stream.record.recording import CANDIDATES_FROM
from stream.sources.interlaced.deinterlacer import Deinterlace
from stream.study.ledger import ProcedureEntry, RecordingEntry
from stream.study.settings import StudySettings
from stream.view.endoscope import load_preset

#: Raised when a recording is looked at in another way, so that earlier results are made anew; likewise of a procedure.
_PERCEIVING, _CONCLUDING = 1, 1
_KEY_LETTERS = 40


@dataclass(frozen=True, slots=True)
class Deciders:
    """What perceives and decides in a study.

    Attributes:
        model: that detects.
        threshold: score from which a detection counts, 0 to 1.
        rule: by which it is decided what is shown.
        perceiving: what the perceiving depends on, by name, as text.
    """

    model: ModelBundle
    threshold: float
    rule: DecisionRule
    perceiving: Mapping[str, str]

    @property
    def settings(self) -> str:
        """Fingerprint of what perceives."""
        return digest_of(dict(self.perceiving))[:_KEY_LETTERS]

    def perceived_key(self, sha256: str) -> str:
        """Key of what is perceived in a recording of these bytes."""
        return digest_of([sha256, self.settings])[:_KEY_LETTERS]

    def procedure_key(
        self, procedure: ProcedureEntry, recordings: Sequence[RecordingEntry], revisions: Mapping[str, int]
    ) -> str:
        """Key of a concluded procedure.

        Args:
            procedure: of the ledger.
            recordings: of the procedure, in order.
            revisions: as of `review_revisions`.
        """
        seen = [[recording.path, recording.key] for recording in recordings]
        depends = [_CONCLUDING, procedure.name, dict(procedure.listed), seen, self.threshold, asdict(self.rule)]
        if procedure.name in revisions:
            depends.append(revisions[procedure.name])
        return digest_of(depends)[:_KEY_LETTERS]


def deciders_of(settings: StudySettings) -> Deciders:
    """What perceives and decides, by the settings of a study.

    Raises:
        InputError: a model or preset that is unknown or cannot be used, or a threshold outside 0 to 1.
    """
    model = load_bundle(settings.model)
    threshold = model.threshold if settings.threshold is None else settings.threshold
    rule = decision_rule(threshold, time_rule_of_model(model.record))
    preset = None if settings.endoscope is None else load_preset(settings.endoscope)
    instruments = instruments_bundle()
    perceiving: dict[str, Any] = {
        "model": model.name,
        "model's networks": digest_of(_seen_by(model)),
        "runtime": settings.runtime,
        "precision": settings.precision,
        "endoscope": "found" if preset is None else f"{settings.endoscope} {digest_of(preset.as_record())}",
        "classifier": "none" if settings.classify is None else _named(load_bundle(settings.classify)),
        "instruments": "not told" if instruments is None else _named(instruments),
        "candidates from": min(CANDIDATES_FROM, rule.floor),
        "way of perceiving": _PERCEIVING,
    }
    if settings.stream is not None:
        perceiving["stream"] = settings.stream
    if settings.deinterlace is not Deinterlace.AUTO:
        perceiving["deinterlace"] = settings.deinterlace.value
    return Deciders(model, threshold, rule, {name: str(value) for name, value in perceiving.items()})


def _seen_by(model: ModelBundle) -> list[Any]:
    """What of a bundle has a say in candidates: a new threshold or rule of the same networks perceives nothing new."""
    return [
        {key: file.sha256 for key, file in model.networks.items()},
        *(model.strategy.value, model.classes, model.background, model.input_wh, model.grid, model.sliding),
        *(model.mean, model.std, model.temperature, model.calibration),
    ]


def _named(model: ModelBundle) -> str:
    return f"{model.name} {digest_of(dict(model.hashes))}"
