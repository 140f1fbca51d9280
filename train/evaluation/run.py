"""One evaluation from the models and data sets that were named to figures: what `polypstream evaluate` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checks import require_within
from engine.errors import InputError
from engine.runtime import AUTO, RuntimeSettings
from engine.sealing.identity import deciders
from stream.decision.rule import TimeRule, time_rule_of_model
from stream.detection.detector import Detector
from train.evaluation.data import JudgingSet
from train.evaluation.figures import stills_figures
from train.interchange.coco import read_coco_detections
from train.judging.clips import ClipsResult, evaluate_clips
from train.judging.stills import Predictor, StillsResult, judge_stills, predictor_of

#: Figures that models are compared by, over data sets: those with polyps, and those without.
MATRIX_FIGURES = ("centroid_f1", "ap50", "frame_specificity")


@dataclass(frozen=True, slots=True)
class Judged:
    """A model on one data set.

    Attributes:
        data: the data set.
        result: every frame and detection; of frames or of clips.
        figures: ready for JSON.
        time: how the model decides over time; None for the default.
    """

    data: JudgingSet
    result: StillsResult | ClipsResult
    figures: Mapping[str, Any]
    time: TimeRule | None = None

    def figure(self, name: str) -> float | None:
        """One figure; of clips that of the detections of single frames. None where there is none."""
        value = self.figures.get("detections", self.figures).get(name)
        return None if value is None else float(value)


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """A model on all data sets.

    Attributes:
        name: by which reports call the model.
        threshold: score from which its detections count.
        facts: of the model and how it ran, ready for JSON.
        judged: one for each data set, in the order given.
    """

    name: str
    threshold: float
    facts: Mapping[str, Any]
    judged: tuple[Judged, ...]

    def as_json(self) -> dict[str, Any]:
        """Model and figures of each data set."""
        results = {
            one.data.name: {
                "split": one.data.split,
                "notes": list(one.data.notes),
                **({} if one.data.masks is None else {"masks": one.data.masks.as_json()}),
                **one.figures,
            }
            for one in self.judged
        }
        return {"name": self.name, "threshold": round(self.threshold, 4), **self.facts, "results": results}


@dataclass(frozen=True, slots=True)
class Matrix:
    """One figure of several models on several data sets.

    Attributes:
        figure: its name.
        models: names of the rows.
        data: names of the columns.
        values: rows of figures; None where there is none.
    """

    figure: str
    models: tuple[str, ...]
    data: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All models on all data sets; the first model is the one that reports are about."""

    models: tuple[ModelEvaluation, ...]

    def matrices(self) -> list[Matrix]:
        """Models against data sets, for each figure that any data set has; none for a single model."""
        if len(self.models) < 2:
            return []
        found: list[Matrix] = []
        for figure in MATRIX_FIGURES:
            columns = [n for n, one in enumerate(self.models[0].judged) if one.figure(figure) is not None]
            if columns:
                rows = tuple(tuple(model.judged[c].figure(figure) for c in columns) for model in self.models)
                names = tuple(self.models[0].judged[column].data.name for column in columns)
                found.append(Matrix(figure, tuple(model.name for model in self.models), names, rows))
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        matrices = {
            matrix.figure: {"models": matrix.models, "data": matrix.data, "values": matrix.values}
            for matrix in self.matrices()
        }
        return {"format": 1, "models": [model.as_json() for model in self.models], "matrices": matrices}


def evaluate(
    models: Sequence[str],
    sets: Sequence[JudgingSet],
    *,
    threshold: float | None = None,
    runtime: str = AUTO,
    precision: str = AUTO,
    seed: int = 0,
) -> Evaluation:
    """Judges models on data sets; every model goes over every frame once.

    Args:
        models: shipped names or folders of bundles; or a COCO file (`.json`) with the detections of another program.
        sets: data sets.
        threshold: score from which detections count, 0 to 1; each model's own when None.
        runtime: that the models run on.
        precision: that they run in; "auto" for the fastest that passed its gate.
        seed: of the bootstrap.

    Raises:
        InputError: a model or a picture that cannot be used, or a threshold outside 0 to 1.
    """
    if threshold is not None:
        require_within("threshold", threshold, 0, 1)
    if len(set(models)) < len(models):
        raise InputError(f"a model is given twice: {', '.join(models)}; name each once")
    judged: list[ModelEvaluation] = []
    for model in models:
        if Path(model).suffix.lower() == ".json":
            judged.append(_judge_file(Path(model), sets, threshold, seed))
        else:
            judged.append(_judge_bundle(model, sets, threshold, runtime, precision, seed))
    names = [one.name for one in judged]
    if len(set(names)) < len(names):
        judged = [
            ModelEvaluation(str(model), one.threshold, one.facts, one.judged)
            for model, one in zip(models, judged, strict=True)
        ]
    return Evaluation(tuple(judged))


def _judge_bundle(
    model: str, sets: Sequence[JudgingSet], threshold: float | None, runtime: str, precision: str, seed: int
) -> ModelEvaluation:
    settings = RuntimeSettings(precision=precision)
    with Detector.open(model, runtime=runtime, threshold=0.0, settings=settings) as detector:
        bundle = detector.bundle
        threshold = bundle.threshold if threshold is None else threshold
        judged: list[Judged] = []
        for data in sets:
            if data.clips:
                clips = evaluate_clips(detector, data.clips)
                time = time_rule_of_model(bundle.record)
                judged.append(Judged(data, clips, clips.figures(threshold, time, seed=seed), time))
            else:
                judged.append(_judge_stills(predictor_of(detector), data, threshold, seed))
        used = detector.runtime.description  # known at the end only: it may have taken over from one that failed
    training = bundle.record.get("training")
    trained_on = training.get("data") if isinstance(training, Mapping) else None
    if trained_on is not None:
        trained_on = sorted(map(str, trained_on)) if isinstance(trained_on, Mapping) else [str(trained_on)]
    facts = {
        "threshold_from": "the model" if threshold == bundle.threshold else "the command line",
        "input_wh": list(bundle.input_wh),
        "networks": {precision: file.sha256 for precision, file in bundle.networks.items()},
        "decided_by": deciders(bundle)["decided_by"],
        "runtime": "; ".join([f"{used.name} ({used.library}, {used.precision})", *used.failed_before]),
        "trained_on": trained_on,
    }
    return ModelEvaluation(bundle.name, threshold, facts, tuple(judged))


def _judge_file(path: Path, sets: Sequence[JudgingSet], threshold: float | None, seed: int) -> ModelEvaluation:
    if threshold is None:
        raise InputError(f"{str(path)!r} holds detections without a threshold to judge them at; give --threshold")
    if len(sets) != 1 or sets[0].clips:
        raise InputError(f"the detections of {str(path)!r} belong to one data set of frames; name that one alone")
    judged = _judge_stills(read_coco_detections(path, sets[0].stills), sets[0], threshold, seed)
    return ModelEvaluation(path.stem, threshold, {"threshold_from": "the command line"}, (judged,))


def _judge_stills(predictor: Predictor, data: JudgingSet, threshold: float, seed: int) -> Judged:
    stills = judge_stills(predictor, data.stills, label=data.name)
    return Judged(data, stills, stills_figures(stills, threshold, seed=seed))
