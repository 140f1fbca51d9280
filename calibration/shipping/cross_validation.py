"""What a classifier is worth on pictures it has not seen: cross-validation over groups, nothing chosen on a test fold.

For each fold, one network is trained without it and without a second fold; on that second one the calibration and the
threshold are fitted. Another network is trained on all but the test fold and judged on it with both. The number of
epochs is fixed beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from calibration.scores.class_scores import best_threshold, fit_class_calibration
from engine.arrays import Bools, Float64s, ImageStack, Labels
from engine.errors import InputError
from engine.statistics.bootstrap import GroupBootstrap
from engine.statistics.ratios import confusion_matrix, ratio, rounded
from train.data.class_folders import ClassFolders
from train.data.folds import group_folds
from train.data.windows import with_views
from train.evaluation.figures import bounds
from train.metrics.curves import auc
from train.windows.checkpoint import load_classifier, window_logits
from train.windows.fit import WindowFit, WindowFitSettings, begun_fit, finished_fit, fit_windows
from train.windows.frozen_features import frozen_features

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """Every picture, judged by a network that never saw its group.

    Attributes:
        folds: int64 (pictures,).
        logits: float32 (pictures, classes), not calibrated.
        probabilities: float64 (pictures, classes), calibrated on other folds.
        named: int64 (pictures,), the class that is named; with two classes by the threshold of other folds.
    """

    folds: Labels
    logits: npt.NDArray[np.float32]
    probabilities: Float64s
    named: Labels


def cross_validate(
    settings: WindowFitSettings,
    data: ClassFolders,
    folder: Path,
    *,
    folds: int,
    views: int,
    feature_cache: Path,
    resume: bool = False,
) -> CrossValidated:
    """Trains and judges, fold by fold.

    Args:
        settings: of every training; `epochs` is done in full.
        data: pictures with their groups.
        folder: gets a folder for each training.
        folds: 3 or more.
        views: how often each picture is learned from, varied, where blocks are frozen.
        feature_cache: folder for features of frozen blocks, shared by all.
        resume: take up trainings that are in `folder` already; one with other settings or on other pictures is done
            anew.

    Raises:
        InputError: fewer than 3 folds or 1 view, or too few groups for so many folds.
    """
    if folds < 3:
        raise InputError(f"one fold is judged, one calibrates, the rest trains: 3 folds or more. Received: {folds}")
    if views < 1:
        raise InputError(f"each picture is learned from at least once: 1 view or more. Received: {views}")
    labels = data.windows.labels
    fold_of = group_folds(labels, data.groups, folds=folds, seed=settings.seed)
    count, classes = len(labels), len(data.windows.classes)

    def answers(learned: Bools, asked: Bools, name: str) -> npt.NDArray[np.float32]:
        fit = train_on(settings, data, learned, folder / name, views=views, feature_cache=feature_cache, resume=resume)
        return _answers(settings, fit, data.windows.pictures[asked], feature_cache)

    logits = np.zeros((count, classes), np.float32)
    probabilities, named = np.zeros((count, classes)), np.zeros(count, np.int64)
    for fold in range(folds):
        test, inner = fold_of == fold, fold_of == (fold + 1) % folds
        held = answers(~(test | inner), inner, f"fold{fold}-inner")
        calibration = fit_class_calibration(held, labels[inner])
        threshold = threshold_of(calibration.probabilities(held), labels[inner])
        logits[test] = answers(~test, test, f"fold{fold}")
        probabilities[test] = calibration.probabilities(logits[test])
        named[test] = named_classes(probabilities[test], threshold)
        log.info("fold %d of %d: accuracy %.3f", fold + 1, folds, (named[test] == labels[test]).mean())
    return CrossValidated(fold_of, logits, probabilities, named)


def train_on(
    settings: WindowFitSettings,
    data: ClassFolders,
    chosen: Bools,
    folder: Path,
    *,
    views: int,
    feature_cache: Path,
    resume: bool = False,
) -> WindowFit:
    """Trains one network on the chosen pictures, bool (pictures,), for all its epochs.

    With `resume` a training in `folder` is taken up only when its settings, pictures and labels were just these: one on
    other pictures may have seen those that it is judged on.
    """
    training = data.picked(np.flatnonzero(chosen))
    views = views if settings.trained_blocks is not None else 1
    material = f"{training.digest()} in {views} views"
    if resume:
        finished = finished_fit(settings, folder, material=material)
        if finished is not None:
            return finished
        resume = begun_fit(settings, folder, material=material)
        if not resume and (folder / "last.pt").is_file():
            log.warning("%s holds a training with other settings or on other pictures; it is done anew", folder)
    if views > 1:
        training = with_views(training, views, seed=settings.seed)
    return fit_windows(settings, training, None, folder, feature_cache=feature_cache, material=material, resume=resume)


def threshold_of(probabilities: Float64s, labels: Labels) -> float:
    """Probability of the first of two classes from which it is named; one half of no meaning with more classes."""
    return best_threshold(probabilities[:, 0], labels == 0) if probabilities.shape[1] == 2 else 0.5


def named_classes(probabilities: Float64s, threshold: float) -> Labels:
    """The class named for each picture: by the threshold with two classes, else the likeliest."""
    if probabilities.shape[1] == 2:
        return np.where(probabilities[:, 0] >= threshold, 0, 1)
    return np.asarray(probabilities.argmax(1), np.int64)


def figures_of(found: CrossValidated, data: ClassFolders, chosen: Bools | None = None) -> dict[str, Any]:
    """Figures with 95 % intervals by bootstrap over groups.

    Args:
        found: of `cross_validate`.
        data: the same pictures.
        chosen: bool (pictures,), those to judge; all when None.

    Returns:
        `pictures`, `groups`, `counts` of each class, `accuracy`, `balanced_accuracy`, `confusion` (rows the truth),
        `majority_share`, `log_loss`, `calibration_error` (expected, ten bins of equal width, of the named class); with
        two classes also `auc`, `sensitivity` and `specificity` for the first class. Where there are intervals: the
        figure under `value`, its bounds under `interval`.
    """
    picked = np.flatnonzero(np.ones(len(found.named), bool) if chosen is None else chosen)
    labels, named = data.windows.labels[picked], found.named[picked]
    probabilities, groups = found.probabilities[picked], data.groups[picked]
    classes = data.windows.classes
    count = len(classes)
    confusion = confusion_matrix(labels, named, count)
    draws = GroupBootstrap([str(group) for group in groups])

    def told(figure: Callable[[npt.NDArray[np.int64]], float]) -> Mapping[str, Any]:
        value = figure(np.ones(len(picked), np.int64))
        return {"value": rounded(value), "interval": bounds(draws.of_weights(figure))}

    def share(of: Bools, right: Bools) -> Callable[[npt.NDArray[np.int64]], float]:
        return lambda weights: ratio(float(weights[of & right].sum()), float(weights[of].sum()))

    right, everything = named == labels, np.ones(len(picked), bool)
    recalls = [share(labels == number, right) for number in range(count) if (labels == number).any()]
    result: dict[str, Any] = {
        "pictures": len(picked),
        "groups": len(np.unique(groups)),
        "counts": {name: int((labels == number).sum()) for number, name in enumerate(classes)},
        "accuracy": told(share(everything, right)),
        "balanced_accuracy": told(lambda weights: float(np.mean([recall(weights) for recall in recalls]))),
        "majority_share": rounded(confusion.sum(1).max() / max(len(picked), 1)),
        "confusion": confusion.tolist(),
        "log_loss": rounded(float(-np.log(np.maximum(probabilities[range(len(picked)), labels], 1e-12)).mean())),
        "calibration_error": rounded(_calibration_error(probabilities, labels)),
    }
    if count == 2:
        positive, scores = labels == 0, probabilities[:, 0].astype(np.float32)
        result |= {
            "auc": told(lambda weights: auc(scores, positive, weights)),
            "sensitivity": told(share(positive, right)),
            "specificity": told(share(~positive, right)),
        }
    return result


def _answers(
    settings: WindowFitSettings, fit: WindowFit, pictures: ImageStack, feature_cache: Path
) -> npt.NDArray[np.float32]:
    """Logits of pictures; what frozen blocks make of them is there already, or will be used by other folds."""
    network, _ = load_classifier(fit.checkpoint)
    if settings.trained_blocks is None:
        return window_logits(network, pictures, bf16=settings.bf16)
    frozen = len(network.blocks()) - settings.trained_blocks
    features = frozen_features(network, frozen, pictures, feature_cache, bf16=settings.bf16)
    with torch.no_grad():
        return network.classify(torch.from_numpy(features).float(), frozen).numpy()


def _calibration_error(probabilities: Float64s, labels: Labels) -> float:
    """Expected calibration error of the likeliest class (Naeini et al. 2015)."""
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((sure * 10).astype(np.int64), 9)
    gaps = [abs(float(sure[bins == k].mean() - right[bins == k].mean())) * (bins == k).mean() for k in np.unique(bins)]
    return float(sum(gaps))
