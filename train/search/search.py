"""Search for hyper-parameters with optuna: resumable, poor trials cut off early, told as a table and a picture."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from engine.errors import InputError, RunError, WriteError, first_line
from engine.files import make_folder, replacing, write_errors, write_text
from stream.charts import plain_style
from train.dense.recipe import DenseRecipe
from train.run.settings import plain, with_settings
from train.windows.recipe import WindowRecipe

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

Recipe = TypeVar("Recipe", DenseRecipe, WindowRecipe)
#: Called after each epoch with its number, from 1, and the figure that is to become high.
Report = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`; with `log` small ones are tried as often as large ones."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    options: tuple[int | float | str, ...]


#: What is tried, by the name of the setting.
Space = Mapping[str, Range | Choice]
DENSE_SPACE: Space = {
    "fit.rate": Range(3e-4, 3e-3, log=True),
    "fit.trunk_rate": Range(0.1, 1.0, log=True),
    "fit.weight_decay": Range(0.003, 0.3, log=True),
    "fit.mixture.normal_crops": Range(0.0, 0.2),
    "fit.mixture.negatives": Range(0.1, 0.4),
    "fit.mixture.synthetic": Range(0.0, 0.15),
}
WINDOW_SPACE: Space = {
    "fit.rate": Range(1e-4, 1e-2, log=True),
    "fit.weight_decay": Range(1e-4, 0.1, log=True),
    "fit.batch_size": Choice((16, 32, 64)),
}


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial: its state in a word, its best figure (None: there is none), its values."""

    number: int
    state: str
    figure: float | None
    values: Mapping[str, int | float | str]


def search(
    recipe: Recipe, space: Space, run: Callable[[Recipe, Report], None], *, trials: int, seed: int, resume: bool
) -> list[TrialRow]:
    """Tries sets of values until there are `trials` of them.

    Args:
        recipe: what the values are put into; its folder gets `search.db`, `search.csv`, `search.png`, `best.json` (the
            recipe with the best values, for `--config`), and a folder for each trial.
        space: what is tried.
        run: runs one recipe and reports after each epoch; what the report raises must come through.
        trials: finished ones in the end, those of earlier parts of the search among them.
        seed: of the choice of values.
        resume: go on with the search that the folder holds; a trial that was cut off is tried anew.

    Returns:
        The trials, best first.

    Raises:
        InputError: optuna is not installed, the folder holds a search and `resume` was not asked for, or that search is
            damaged.
        OutputError: the folder cannot be made.
        RunError: every trial failed.
        WriteError: the disk is full.
    """
    if trials < 1:
        raise InputError(f"a search needs at least one trial. Received: {trials}")
    try:
        import optuna
    except ImportError as error:
        raise InputError("the search needs optuna: pip install 'polypstream[search]'") from error
    make_folder(recipe.folder)
    base = recipe.folder / "search.db"
    if base.exists() and not resume:
        raise InputError(f"{str(recipe.folder)!r} holds a search already; go on with --resume, or name another folder")
    with _study(base) as study:
        # A resumed search must not repeat the values of its first part.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))

        def objective(trial: optuna.Trial) -> float:
            return _run_trial(trial, recipe, space, run)

        while len(_finished(study)) < trials:
            study.optimize(objective, n_trials=1)
            rows = _rows(study)
            _write_table(recipe.folder / "search.csv", space, rows)
            _write_picture(recipe.folder / "search.png", space, rows)
            if rows[0].figure is not None:
                best = with_settings(recipe, rows[0].values)
                write_text(recipe.folder / "best.json", json.dumps(plain(best), indent=2))
        rows = _rows(study)
    if all(row.figure is None for row in rows):
        raise RunError("every trial of the search failed; see the warnings, and take a lower rate")
    return rows


def table_text(rows: Sequence[TrialRow]) -> str:
    """The trials as a table for people, best first."""
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    head = ["trial", "figure", "state", *(name.removeprefix("fit.") for name in names)]
    lines = [head, *([str(row.number), _text(row.figure), row.state, *_cells(row, names)] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines)


@contextmanager
def _study(base: Path) -> Iterator[optuna.Study]:
    """The search that a file holds, with trials that were cut off in its queue; a new one where there is no file."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with ExitStack() as stack:
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{base.resolve().as_posix()}")
            stack.callback(storage.engine.dispose)
            study = optuna.create_study(
                storage=storage, study_name="search", load_if_exists=True, direction="maximize", pruner=_pruner()
            )
            _try_anew(study)
        except Exception as error:  # SQLAlchemy and optuna raise many kinds for a damaged file
            reason = first_line(getattr(error, "orig", None) or error)
            raise InputError(
                f"search {str(base)!r} cannot be read ({reason}); delete it, or name another folder"
            ) from error
        yield study


def _pruner() -> optuna.pruners.BasePruner:
    import optuna

    # The first trials and the first epochs say too little to cut one off.
    return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)


def _run_trial(trial: optuna.Trial, recipe: Recipe, space: Space, run: Callable[[Recipe, Report], None]) -> float:
    import optuna

    values = {name: _suggest(trial, name, part) for name, part in space.items()}
    folder = recipe.folder / f"trial-{trial.number:03d}"
    best = math.nan

    def report(epoch: int, figure: float) -> None:
        nonlocal best
        best = figure if math.isnan(best) else max(best, figure)
        trial.report(best, epoch)
        trial.set_user_attr("figure", best)
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        run(replace(with_settings(recipe, values), folder=folder, resume=False), report)
    except WriteError:
        raise
    except RunError as error:  # a loss that is not a number: these values are no good, others may be
        log.warning("trial %d failed: %s", trial.number, error)
        trial.set_user_attr("failed", str(error))
        return math.nan  # which optuna counts as failed
    return best


def _suggest(trial: optuna.Trial, name: str, part: Range | Choice) -> int | float | str:
    if isinstance(part, Range):
        return trial.suggest_float(name, part.low, part.high, log=part.log)
    return cast("int | float | str", trial.suggest_categorical(name, part.options))


def _try_anew(study: optuna.Study) -> None:
    """Puts the values of trials that were cut off back into the queue."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    taken_up = {trial.user_attrs.get("again") for trial in trials}
    for trial in trials:
        if trial.state is optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        elif trial.state is not optuna.trial.TrialState.FAIL or "failed" in trial.user_attrs:
            continue
        if trial.number not in taken_up and trial.params:
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that ended by themselves: not those that were cut off by a kill."""
    import optuna

    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state in ended or "failed" in trial.user_attrs]


def _rows(study: optuna.Study) -> list[TrialRow]:
    rows = []
    for trial in _finished(study):
        failed = "failed" in trial.user_attrs
        state = "failed" if failed else trial.state.name.lower()
        figure = None if failed else trial.user_attrs.get("figure")
        rows.append(TrialRow(trial.number, state, figure, trial.params))
    # A trial that was cut off may have had a high figure, but nobody knows its end.
    return sorted(rows, key=lambda row: (row.state != "complete", -(row.figure if row.figure is not None else -1.0)))


def _write_table(path: Path, space: Space, rows: Sequence[TrialRow]) -> None:
    with write_errors(path), replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["trial", "figure", "state", *space])
        writer.writerows([row.number, _text(row.figure), row.state, *_cells(row, list(space))] for row in rows)


@plain_style()
def _write_picture(path: Path, space: Space, rows: Sequence[TrialRow]) -> None:
    """Figures over the trials, and over each value."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        log.warning("no picture of the search is drawn (%s): pip install matplotlib", error)
        return
    known = [row for row in rows if row.figure is not None]
    columns = min(4, len(space) + 1)
    lines = math.ceil((len(space) + 1) / columns)
    figure = Figure(figsize=(4 * columns, 3.2 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, name in zip(panels, ["trial", *space], strict=False):
        for state, marker in (("complete", "o"), ("pruned", "x")):
            picked = [row for row in known if row.state == state]
            places = [row.values.get(name, row.number) for row in picked]
            panel.plot(places, [row.figure for row in picked], marker, label=state)
        part = space.get(name)
        if isinstance(part, Range) and part.log:
            panel.set_xscale("log")
        panel.set_xlabel(name)
        panel.grid(alpha=0.3)
    for panel in panels[len(space) + 1 :]:
        panel.set_visible(False)
    panels[0].set_ylabel("best figure on validation")
    panels[0].legend()
    figure.savefig(path, dpi=90)


def _cells(row: TrialRow, names: Sequence[str]) -> list[str]:
    values = [row.values.get(name, "") for name in names]
    return [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]


def _text(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4f}"
