"""`polypstream evaluate` from its settings to its files: checks first, then one pass, then everything is written."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.checks import require_at_least
from engine.errors import InputError, OutputError
from engine.files import claim_folder, write_text
from engine.runtime import AUTO
from stream.record.output_path import claim_output
from train.data.label_reading import AS_USUAL, LabelReading
from train.evaluation.data import read_judging_sets
from train.evaluation.report import MOST_PICTURES, write_report
from train.evaluation.report_charts import require_matplotlib
from train.evaluation.run import Evaluation, evaluate
from train.interchange.coco import write_coco
from train.judging.stills import StillsResult


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """What is to be judged, and what is to be written.

    Attributes:
        models: shipped names, folders of bundles, or a COCO file with detections; reports are about the first, the
            others are compared with it.
        data: data sets, as `train.evaluation.data.read_judging_sets` takes them.
        split: train, validation, test or all.
        threshold: score from which detections count, 0 to 1; each model's own when None.
        runtime: name of a runtime, or "auto".
        precision: "fp32", "bf16", "fp16", "int8", or "auto" for the fastest that passed its gate.
        json: file for all figures, or None.
        report: page to write (.html), or None.
        pictures: misses, and false alarms, that the report shows of each data set of frames, beside every event of
            clips; 0 for none.
        coco: folder for truth and detections of the first model as COCO files, or None.
        labels: what those of the data sets mean.
    """

    models: tuple[str, ...]
    data: tuple[Path, ...]
    split: str = "test"
    threshold: float | None = None
    runtime: str = AUTO
    precision: str = AUTO
    json: Path | None = None
    report: Path | None = None
    pictures: int = MOST_PICTURES
    coco: Path | None = None
    labels: LabelReading = AS_USUAL

    def __post_init__(self) -> None:
        require_at_least("pictures", self.pictures, 0)


def run_evaluation(settings: EvaluateSettings) -> Evaluation:
    """Judges the models and writes what was asked for; existing files are replaced.

    Raises:
        InputError: wrong usage or unusable input, before any work or when a picture turns out to be unreadable.
        WriteError: an output could not be written.
    """
    inputs = [path for path in (*settings.data, *map(Path, settings.models)) if path.is_file()]
    with ExitStack() as held:
        for target, suffixes in ((settings.json, {".json"}), (settings.report, {".html", ".htm"})):
            if target is not None:
                held.enter_context(claim_output(target, suffixes=suffixes, overwrite=True, inputs=inputs))
        if settings.report is not None:
            require_matplotlib()
        if settings.coco is not None:
            if settings.coco.exists() and not settings.coco.is_dir():
                raise OutputError(f"cannot write to {str(settings.coco)!r}: it is a file; name a folder")
            held.enter_context(claim_folder(settings.coco))
        sets = read_judging_sets(settings.data, split=settings.split, labels=settings.labels)
        unmarked = [one.name for one in sets if not all(still.outlined for still in one.stills)]
        if settings.coco is not None and unmarked:
            raise InputError(f"{unmarked[0]!r} has polyps that nobody outlined, which COCO needs; leave --coco out")
        evaluation = evaluate(
            settings.models,
            sets,
            threshold=settings.threshold,
            runtime=settings.runtime,
            precision=settings.precision,
        )
        if settings.json is not None:
            write_text(settings.json, json.dumps(evaluation.as_json(), indent=2, allow_nan=False) + "\n", private=True)
        if settings.coco is not None:
            for one in evaluation.models[0].judged:
                if isinstance(one.result, StillsResult):
                    name = one.data.name.replace("/", "_").strip("_.")
                    write_coco(settings.coco, name, one.data.stills, one.result.judged)
        if settings.report is not None:
            write_report(settings.report, evaluation, pictures=settings.pictures)
        return evaluation
