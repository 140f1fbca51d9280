"""The search for hyper-parameters: its own habits with a run that costs nothing, then one real network."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training is an extra: pip install polypstream[train]")
pytest.importorskip("optuna", reason="the search is an extra: pip install polypstream[search]")

from engine.errors import InputError, OutputError, RunError, WriteError
from stream.sources.picture_reader import read_picture
from train.run.settings import read_settings, with_settings
from train.search.recipes import search_windows
from train.search.search import Choice, Range, Report, TrialRow, search, table_text
from train.windows.fit import WindowFitSettings
from train.windows.recipe import WindowRecipe

SPACE = {"fit.rate": Range(1e-4, 1e-1, log=True), "fit.batch_size": Choice((4, 8))}


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing a picture takes longer than the trials here: only the test that asks for `picture` has it."""
    if "picture" not in request.fixturenames:
        monkeypatch.setattr("train.search.search._write_picture", lambda *_: None)


@pytest.fixture
def picture() -> str:
    return "search.png"


class Runs:
    """Runs whose figure grows with the rate, and who remember what they were asked."""

    def __init__(self, *, epochs: int = 4) -> None:
        self.seen: list[tuple[float, int]] = []
        self.folders: list[str] = []
        self.epochs = epochs

    def __call__(self, recipe: WindowRecipe, report: Report) -> None:
        self.seen.append((recipe.fit.rate, recipe.fit.batch_size))
        self.folders.append(recipe.folder.name)
        for epoch in range(1, self.epochs + 1):
            report(epoch, recipe.fit.rate * epoch)


def _search(folder: Path, run: object, *, trials: int, resume: bool = False) -> list[TrialRow]:
    recipe = WindowRecipe(data=Path("none"), folder=folder)
    return search(recipe, SPACE, run, trials=trials, seed=1, resume=resume)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_best_values_come_first_and_are_a_recipe(tmp_path: Path, picture: str) -> None:
    runs = Runs(epochs=1)
    rows = _search(tmp_path, runs, trials=3)
    assert [row.number for row in sorted(rows, key=lambda row: row.number)] == list(range(3))
    assert rows[0].figure == pytest.approx(max(rate for rate, _ in runs.seen))
    assert runs.folders == [f"trial-{number:03d}" for number in range(3)]
    best = with_settings(WindowRecipe(data=Path(), folder=Path()), read_settings(tmp_path / "best.json"))
    assert (best.fit.rate, best.fit.batch_size) == (rows[0].values["fit.rate"], rows[0].values["fit.batch_size"])
    with (tmp_path / "search.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [int(line["trial"]) for line in table] == [row.number for row in rows]
    assert table_text(rows).splitlines()[1].split()[0] == str(rows[0].number)
    pytest.importorskip("matplotlib")
    assert read_picture(tmp_path / picture).std() > 5


def test_it_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    first = Runs(epochs=1)

    def cut_off(recipe: WindowRecipe, report: Report) -> None:
        if len(first.seen) == 2:
            first.seen.append((recipe.fit.rate, recipe.fit.batch_size))
            raise KeyboardInterrupt
        first(recipe, report)

    with pytest.raises(KeyboardInterrupt):
        _search(tmp_path, cut_off, trials=4)
    with pytest.raises(InputError, match="holds a search already"):
        _search(tmp_path, first, trials=4)
    then = Runs(epochs=1)
    rows = _search(tmp_path, then, trials=4, resume=True)
    assert len(rows) == 4 and len(then.seen) == 2
    assert then.seen[0] == pytest.approx(first.seen[2])  # the values of the trial that was cut off
    assert then.seen[1] not in first.seen
    again = Runs()
    assert _search(tmp_path, again, trials=4, resume=True) == rows and not again.seen


def test_a_killed_process_leaves_its_trial_to_be_tried_anew(tmp_path: Path) -> None:
    import optuna

    _search(tmp_path, Runs(epochs=1), trials=1)
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{(tmp_path / 'search.db').as_posix()}")
    left = study.ask()
    values = (left.suggest_float("fit.rate", 1e-4, 1e-1, log=True), left.suggest_categorical("fit.batch_size", (4, 8)))
    then = Runs(epochs=1)
    rows = _search(tmp_path, then, trials=2, resume=True)
    assert then.seen == [pytest.approx(values)] and len(rows) == 2


def test_poor_trials_are_cut_off(tmp_path: Path) -> None:
    count = 0

    def run(recipe: WindowRecipe, report: Report) -> None:
        nonlocal count
        count += 1
        for epoch in range(1, 6):
            report(epoch, 0.9 if count <= 4 else 0.1)

    rows = _search(tmp_path, run, trials=6)
    assert [row.state for row in rows] == ["complete"] * 4 + ["pruned"] * 2


def test_a_failed_trial_ends_neither_the_search_nor_its_count(tmp_path: Path) -> None:
    def run(recipe: WindowRecipe, report: Report) -> None:
        report(1, 0.5)
        if recipe.folder.name == "trial-000":
            raise RunError("the loss became nan")

    rows = _search(tmp_path / "one", run, trials=3)
    assert [row.state for row in rows] == ["complete", "complete", "failed"] and rows[2].figure is None

    def never(recipe: WindowRecipe, report: Report) -> None:
        raise RunError("the loss became nan")

    with pytest.raises(RunError, match="every trial of the search failed"):
        _search(tmp_path / "all", never, trials=2)

    def full(recipe: WindowRecipe, report: Report) -> None:
        raise WriteError("disk full")

    with pytest.raises(WriteError):
        _search(tmp_path / "full", full, trials=2)
    with pytest.raises(InputError, match="at least one trial"):
        _search(tmp_path / "none", full, trials=0)


@pytest.mark.parametrize("damage", ["text", "cut", "garbled", "folder"])
def test_a_damaged_search_is_told_in_one_line(tmp_path: Path, damage: str) -> None:
    base = tmp_path / "search.db"
    if damage == "folder":
        base.mkdir()
    else:
        _search(tmp_path, Runs(epochs=1), trials=1)
        whole = base.read_bytes()
        kept = {"text": b"no search at all\n" * 9, "cut": whole[: len(whole) // 3], "garbled": whole[:100]}[damage]
        base.write_bytes(kept + (b"\x07" * (len(whole) - 100) if damage == "garbled" else b""))
    with pytest.raises(InputError) as caught:
        _search(tmp_path, Runs(), trials=2, resume=True)
    told = str(caught.value)
    assert told.startswith(f"search {str(base)!r} cannot be read (") and "\n" not in told and "SQL" not in told
    assert told.endswith("); delete it, or name another folder")


def test_a_file_is_no_folder_for_a_search(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"taken' cannot be made \(a file is there\); give another folder"):
        _search(tmp_path / "taken", Runs(), trials=1)


def test_windows_for_real(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("validation", 8)):
        for number in range(count):
            picture = rng.integers(60, 120, (32, 32, 3)).astype(np.uint8)
            name = "polyp" if number % 2 else "non_polyp"
            if number % 2:
                picture[8:24, 8:24] = 250
            path = tmp_path / "windows" / split / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
    recipe = WindowRecipe(
        data=tmp_path / "windows",
        folder=tmp_path / "search",
        fit=WindowFitSettings(network="cnn1", input_px=32, epochs=1, bf16=False),
    )
    rows = search_windows(recipe, trials=2)
    assert len(rows) == 2 and all(0 <= (row.figure or -1) <= 1 for row in rows)
    assert (tmp_path / "search" / "trial-001" / "best.pt").is_file()
    assert json.loads((tmp_path / "search" / "best.json").read_text())["fit"]["network"] == "cnn1"
