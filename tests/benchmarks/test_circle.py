"""The way of a label once around, in small: study, review page, export, import, training, evaluation, all real."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("aiohttp", reason="needs the extra review")
pytest.importorskip("jinja2", reason="needs the extra study")

from benchmarks import circle
from benchmarks.circle import judge_all, make_dataset
from calibration.decisions.calibrating import CalibrationPlan
from calibration.decisions.operating_point import Goal
from calibration.shipping.shipping import bundle_checkpoint
from polypstream.cli import main
from tests.kit.labelled import boxes_in
from tests.kit.studies import make_recording
from tests.kit.tiny_bundle import make_tiny_bundle
from train.dense.presets import preset
from train.dense.recipe import DenseRecipe, train_dense

pytestmark = pytest.mark.slow

_FRAMES = 50
#: A polyp that the detector of bright spots does not see.
_DARK = (4.0, 4.0, 30.0, 30.0)


def _spot(seed: int, number: int) -> list[float] | None:
    """The box of the spot that `tests.kit.studies.spot_picture` draws; None where it draws none."""
    if number % (20 + seed % 7) < 6:
        return None
    x, y = 40 + (7 * seed + number) % 80, 40 + (5 * seed) % 48
    return [x - 24, y - 24, x + 25, y + 25]


def _truth(path: Path, polyps: Mapping[int, list[dict[str, object]]]) -> None:
    lines = (json.dumps({"frame": frame, "polyps": polyps.get(frame, [])}) for frame in range(_FRAMES))
    path.with_suffix(".truth.jsonl").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spots that are polyps, in the last one spots that are none; in the first one a polyp that is not seen."""
    folder = tmp_path_factory.mktemp("recordings")
    for seed, name in enumerate(("first", "second", "third", "none"), start=1):
        path = make_recording(folder / f"{name}.mp4", seed, frames=_FRAMES)
        polyps: dict[int, list[dict[str, object]]] = {}
        for frame in range(_FRAMES):
            spot = _spot(seed, frame)
            if spot is not None and name != "none":
                polyps.setdefault(frame, []).append({"id": 1, "box_xyxy": spot})
            if name == "first" and 40 <= frame < 46:
                polyps.setdefault(frame, []).append({"id": 2, "box_xyxy": list(_DARK)})
        _truth(path, polyps)
    return folder


def test_the_circle(recordings: Path, tmp_path: Path) -> None:
    model = str(make_tiny_bundle(tmp_path / "tiny").folder)
    results = tmp_path / "results"
    assert main(["study", str(recordings), "--output", str(results), "--model", model, "--workers", "1"]) == 0
    counts = judge_all(results)
    assert counts["right"] >= 3 and counts["wrong"] >= 1 and counts["added"] >= 1
    data = make_dataset(results, tmp_path, spacing_s=0.12)
    names = {path.stem.rpartition("_")[0] for path in (data / "images").iterdir()}
    assert names == {"first", "second", "third", "none"}
    boxes = boxes_in(data)
    assert not any(name.startswith("none") for name in boxes)  # judged wrong, in the whole recording
    assert any(name.startswith("none") for name in (data / "negatives.txt").read_text().split())
    of_first = [box for name, found in boxes.items() for box, _ in found if name.startswith("first")]
    assert any(all(abs(a - b) < 0.5 for a, b in zip(box, _DARK, strict=True)) for box in of_first)  # what was added

    fit = replace(preset("nano"), input_wh=(64, 64), epochs=1, steps_per_epoch=3, warm_up_steps=2, batch_size=4)
    recipe = DenseRecipe(data=(data,), folder=tmp_path / "run", synthetic=0, fit=fit)
    plan = CalibrationPlan(Goal(value=0.01), optional=True)
    # As `train`, but for the rule over time, whose rendered clips take minutes.
    bundle = bundle_checkpoint(recipe, train_dense(recipe), plan=plan, rehearse=False)
    figures = tmp_path / "figures.json"
    assert main(["evaluate", str(bundle.folder), str(recordings), "--json", str(figures)]) == 0
    (of_recordings,) = json.loads(figures.read_text())["models"][0]["results"].values()
    assert of_recordings["live"]["polyps"] == 4  # one in each of three recordings, and the dark one


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two procedures; what takes long is not done with them."""
    for name in ("first", "second"):
        (tmp_path / "study" / name).mkdir(parents=True)
        (tmp_path / "study" / name / "events.jsonl").touch()

    def make(_: Path, work: Path, **more: Any) -> None:
        for name in ("yolo", "data/images"):
            (work / name).mkdir(parents=True)

    monkeypatch.setattr(circle, "judge_all", lambda _: {"right": 1})
    monkeypatch.setattr(circle, "make_dataset", make)
    monkeypatch.setattr(circle, "_link_clips", lambda _, folder: folder.mkdir())
    monkeypatch.setattr(circle, "trained", lambda *_, **more: "model")
    monkeypatch.setattr(circle, "measured", lambda *_, **more: {"threshold": 0.5})
    monkeypatch.setattr(circle, "write_result", lambda *_: "written")
    return tmp_path / "study"


def _circle(results: Path, *more: str) -> int:
    return circle.main([str(results), "--work", str(results.parent / "work"), "--held-out", "1", *more])


def test_a_first_stage_that_was_cut_off_is_made_again(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = results.parent / "work"

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("judge_all", "_link_clips"):  # in its first step, and in its last
        with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
            broken.setattr(circle, name, cut_off)
            _circle(results)
        assert (work / "results" / "first").is_dir() and not (work / "judged.json").exists()
    assert _circle(results) == 0
    shutil.rmtree(work / "yolo")  # what is finished is not done again
    assert _circle(results) == 0 and not (work / "yolo").exists()


def test_runs_with_other_options_are_not_mixed(results: Path) -> None:
    work = results.parent / "work"
    assert _circle(results, "--boxes-only", "nano") == _circle(results, "--boxes-only", "small") == 0
    with pytest.raises(SystemExit, match=r"other options \(epochs 4, not 5; rate 0.0001, not 0.001\); give another"):
        _circle(results, "--epochs", "5", "--rate", "1e-3")
    with pytest.raises(SystemExit, match="results .*study, not .*other"):
        _circle(results.rename(results.with_name("other")))
    (work / "options.json").unlink()
    with pytest.raises(SystemExit, match="holds 'results', and nothing says with which options"):
        _circle(results.with_name("other"))
    with pytest.raises(SystemExit):
        _circle(results)  # which is no more
    assert not (work / "options.json").exists()
