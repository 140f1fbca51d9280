"""Which detector a live run uses, and how it is opened, first and after each fault."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from engine.bundle import ModelBundle, load_bundle
from engine.checks import require_at_least, require_within
from engine.errors import InputError, RuntimeUnavailableError
from engine.runtime import AUTO, RuntimeSettings
from engine.runtimes.opening import open_runtime, runtime_names
from engine.runtimes.precision_choice import check_precision
from stream.decision.rule import DecisionRule, TimeRule, decision_rule, time_rule_of_model
from stream.detection.detector import Detector


class DetectorOpener(Protocol):
    """Opens detectors that are alike."""

    @property
    def rule(self) -> DecisionRule:
        """How it is decided what is shown."""

    def open(self, avoid: Collection[str] = ()) -> Detector:
        """Open a detector with the threshold of the rule.

        Args:
            avoid: runtimes that failed, by name; taken all the same where there is no other.

        Raises:
            PolypstreamError: it cannot be opened.
        """

    def turn(self, detector: Detector) -> AbstractContextManager[None]:
        """Wait until a detector of this opener may be used, and keep it from others for the `with` block.

        Raises:
            PolypstreamError: it cannot be used any more.
        """


@dataclass(frozen=True, slots=True)
class DetectorChoice:
    """A model, its runtime and threshold: a `DetectorOpener`.

    Attributes:
        bundle: the model.
        runtime: name of a runtime, or "auto": then another takes the place of one that failed.
        threshold: score from which a detection counts, 0 to 1.
        threads: processor threads for detection; 0 takes every core but one, which is left to the picture: measured on
            two cores, detection is 3 ms slower for it, and the slowest hundredth of the pictures 1.5 ms sooner.
        precision: "fp32", "bf16", "fp16", "int8", or "auto" for the fastest that passed its gate.
        time: how it is decided over time.
    """

    bundle: ModelBundle
    runtime: str
    threshold: float
    threads: int = 0
    precision: str = AUTO
    time: TimeRule = field(default_factory=TimeRule)

    @classmethod
    def of(
        cls,
        model: str = "polyp",
        *,
        runtime: str = AUTO,
        threshold: float | None = None,
        threads: int = 0,
        precision: str = AUTO,
    ) -> DetectorChoice:
        """Check a choice without opening the runtime.

        Args:
            model: name of a shipped bundle, or a bundle's folder.
            runtime: name of a runtime, or "auto".
            threshold: score from which a detection counts; the model's own when None.
            threads: processor threads for detection; 0 takes every core but one.
            precision: name of a precision, or "auto".

        Raises:
            InputError: no such model, runtime or precision, or a threshold outside 0 to 1.
            BundleError: the model's rule over time cannot be used.
        """
        bundle = load_bundle(model)
        threshold = bundle.threshold if threshold is None else threshold
        require_within("threshold", threshold, 0, 1)
        if runtime != AUTO and runtime not in runtime_names():
            raise InputError(f"unknown runtime {runtime!r}: choose one of {', '.join((AUTO, *runtime_names()))}")
        check_precision(precision)
        require_at_least("threads", threads, 0)
        return cls(bundle, runtime, threshold, threads, precision, time_rule_of_model(bundle.record))

    @property
    def rule(self) -> DecisionRule:
        """See `DetectorOpener`."""
        return decision_rule(self.threshold, self.time)

    def open(self, avoid: Collection[str] = ()) -> Detector:
        """See `DetectorOpener`."""
        threads = self.threads or max((os.cpu_count() or 1) - 1, 1)
        settings = RuntimeSettings(streams=1, threads=threads, precision=self.precision)
        bundle, threshold = self.bundle, self.threshold
        if self.runtime == AUTO and avoid:
            for name in runtime_names():
                if name not in avoid:
                    try:
                        return Detector(bundle, open_runtime(bundle, name, settings), threshold=threshold)
                    except RuntimeUnavailableError:
                        continue
        return Detector(bundle, open_runtime(bundle, self.runtime, settings), threshold=threshold)

    def turn(self, detector: Detector) -> AbstractContextManager[None]:
        """See `DetectorOpener`: it belongs to this run alone."""
        return nullcontext()
