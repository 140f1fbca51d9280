"""Figures of frames whose polyps are known by their boxes only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.arrays import Image
from stream.frame import FieldOfView
from tests.kit.labelled import write_dataset
from train.evaluation.data import read_judging_sets
from train.evaluation.figures import stills_figures
from train.interchange.coco import read_coco_truth, write_coco
from train.judging.stills import Still, judge_stills
from train.metrics.matching import FramePrediction, truth_of_boxes


def _all_found(
    stills: Sequence[Still], images: Sequence[Image], fields: Sequence[FieldOfView]
) -> list[FramePrediction]:
    """Finds all polyps where they are."""
    boxes = [still.load()[1].boxes_xyxy for still in stills]
    return [FramePrediction(one, np.full(len(one), 0.9, np.float32)) for one in boxes]


def test_boxes_take_the_place_of_outlines_where_they_can(tmp_path: Path) -> None:
    (data,) = read_judging_sets([write_dataset(tmp_path / "set")], split="all")
    assert any("2 frames with polyps have boxes only" in note for note in data.notes)
    judged = judge_stills(_all_found, data.stills)
    figures = stills_figures(judged, 0.5)
    assert (figures["polyps"], figures["centroid_recall"], figures["ap50"]) == (5, 1.0, 1.0)
    # Only the two outlined ones have a size.
    assert sum(size["polyps"] for size in figures["by_size"].values()) == 2
    truth, _ = write_coco(tmp_path / "coco", "set", data.stills, judged.judged)
    record = json.loads(truth.read_text())
    assert sum("segmentation" in one for one in record["annotations"]) == 2
    again = judge_stills(_all_found, read_coco_truth(truth, record))
    assert again.figures(0.5)["centroid_recall"] == 1.0


def test_a_polyp_within_the_box_of_another_is_found_by_its_own() -> None:
    truth = truth_of_boxes(np.array([[40, 40, 60, 60], [10, 10, 90, 90]], np.float32), (100, 100))
    assert truth.boxes_xyxy.tolist() == [[10, 10, 90, 90], [40, 40, 60, 60]]
    assert (truth.labels[50, 50], truth.labels[20, 20], truth.labels[95, 95]) == (2, 1, 0)
