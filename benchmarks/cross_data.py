"""The cross-data-set matrix: a detector of each data set alone, judged on the held-out frames of every data set.

    python -m benchmarks.cross_data --data DATA --runs RUNS

Each detector learns from the training frames of one set and from nothing else, with one preset and the same number of
steps, and takes the threshold with the highest F1 on that set's own validation frames. The shipped detector, which
learned from all of them but CVC-ColonDB, is put beside them. Runs that were cut off go on; finished ones are kept. The
heat map is written to docs/cross_data.svg.
"""

from __future__ import annotations

import argparse
import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.environment import RESULTS, write_result
from engine.bundle import load_bundle
from engine.statistics.ratios import rounded
from train.dense.batches import Mixture
from train.dense.checkpoint import load_network
from train.dense.presets import PRESETS, preset
from train.dense.recipe import DenseRecipe, train_dense
from train.evaluation.data import JudgingSet, read_judging_sets
from train.evaluation.report_charts import heat_map
from train.evaluation.run import evaluate
from train.export.dense import bundle_dense

#: Sets to learn from, and the side on which each is judged.
SIDES = {"cvc-clinicdb": "validation", "kvasir-seg": "test", "bkai-neopolyp": "validation", "polypgen": "validation"}
UNSEEN = "cvc-colondb"


def main() -> None:
    """Trains what is not trained yet, judges all on all, and writes JSON and heat map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the training runs")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="nano")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    models = [_trained(arguments, name) for name in SIDES]
    evaluation = evaluate([*map(str, models), "polyp"], _judging_sets(arguments.data))
    matrices = {matrix.figure: matrix for matrix in evaluation.matrices()}
    for figure in ("centroid_f1", "ap50"):
        print(figure, *matrices[figure].data)
        for model, row in zip(matrices[figure].models, matrices[figure].values, strict=True):
            print(f"  {model}", *row)
    picture = base64.b64decode(heat_map(matrices["centroid_f1"]).split(",", 1)[1])
    (RESULTS.parents[1] / "docs" / "cross_data.svg").write_bytes(picture)
    command = f"python -m benchmarks.cross_data --data DATA --runs RUNS --preset {arguments.preset}"
    record = evaluation.as_json()
    write_result(
        "cross_data",
        {
            "command": f"{command} --epochs {arguments.epochs}",
            "sides": {**SIDES, UNSEEN: "test"},
            "training": {path.name: load_bundle(str(path)).record["training"] for path in models},
            "matrices": record["matrices"],
            "models": [_short(model) for model in record["models"]],
        },
    )


def _trained(arguments: argparse.Namespace, name: str) -> Path:
    """The bundle of the detector of one data set alone."""
    folder = arguments.runs / name
    bundle: Path = folder / f"only-{name}"
    if (bundle / "model.json").is_file():
        return bundle
    settings = replace(
        preset(arguments.preset),
        epochs=arguments.epochs,
        mixture=Mixture(normal_crops=0.15, negatives=0.0, synthetic=0.0),
        colour_exchange=0.3,
    )
    recipe = DenseRecipe(
        data=(arguments.data / name,),
        folder=folder,
        name=bundle.name,
        synthetic=0,
        fit=settings,
        resume=True,
    )
    network, record = load_network(train_dense(recipe))
    steps = settings.epochs * settings.steps_per_epoch
    figures = {figure: rounded(value) for figure, value in record["figures"].items()}
    facts = {"data": name, "steps": steps, "batch": settings.batch_size, "validation": figures}
    bundle_dense(
        network,
        bundle,
        name=bundle.name,
        input_wh=settings.input_wh,
        threshold=record["figures"]["threshold"],
        card=f"# {bundle.name}\n\nA detector of {name} alone, for comparison.\n",
        facts={"licence": "research use only", "training": facts},
    )
    return bundle


def _judging_sets(data: Path) -> list[JudgingSet]:
    sides: Sequence[tuple[str, str]] = (*SIDES.items(), (UNSEEN, "test"))
    return [one for name, side in sides for one in read_judging_sets([data / name], split=side)]


def _short(model: dict[str, object]) -> dict[str, object]:
    """The record of a model without its curves."""
    results = model["results"]
    assert isinstance(results, dict)
    curves = ("froc", "precision_recall")
    short = {name: {k: v for k, v in row.items() if k not in curves} for name, row in results.items()}
    return {**model, "results": short}


if __name__ == "__main__":
    main()
