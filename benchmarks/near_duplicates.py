"""How many held-out frames have a near-duplicate among the training frames.

    python -m benchmarks.near_duplicates --data DATA

Every frame of every data set is compared with every other one, within and across the sets, by the perceptual hash of
its field of view (`train/data/near_duplicates.py`).
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.environment import write_result
from train.data.datasets import Split, read_dataset
from train.data.near_duplicates import NEAR_BITS, near_pairs
from train.data.picture_hashes import hashes_of

SETS = ("cvc-clinicdb", "kvasir-seg", "bkai-neopolyp", "polypgen", "cp-child", "cvc-colondb")


def main() -> None:
    """Compares, prints, and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    arguments = parser.parse_args()
    sets = [read_dataset(arguments.data / name) for name in SETS if (arguments.data / name).is_dir()]
    samples = [sample for one in sets for sample in one]
    hashes = [found for one in sets for found in hashes_of([sample.image for sample in one])]
    held_out: dict[str, dict[str, set[int]]] = {}
    across: Counter[str] = Counter()
    names: list[dict[str, str]] = []
    for one, other in near_pairs(hashes).tolist():
        if samples[one].dataset != samples[other].dataset:
            across[f"{samples[one].dataset} and {samples[other].dataset}"] += 1
        for first, second in ((one, other), (other, one)):
            side, known = samples[first].split, samples[second].split
            if side is not Split.TRAIN and known is Split.TRAIN:
                held_out.setdefault(samples[first].dataset, {}).setdefault(side.value, set()).add(first)
                names.append({"held_out": _name(samples[first]), "training": _name(samples[second])})
    rows: dict[str, Any] = {}
    for one in sets:
        name = one[0].dataset
        counts = Counter(sample.split.value for sample in one)
        known = held_out.get(name, {})
        rows[name] = {
            side: {"frames": counts[side], "with_near_duplicate_in_training": len(known.get(side, ()))}
            for side in (Split.VALIDATION.value, Split.TEST.value)
        } | {"training": counts[Split.TRAIN.value]}
        print(name, rows[name])
    print("pairs across data sets:", dict(across))
    command = "python -m benchmarks.near_duplicates --data DATA"
    write_result(
        "near_duplicates",
        {"command": command, "bits_of_128": NEAR_BITS, "sets": rows, "pairs_across_sets": dict(across), "pairs": names},
    )


def _name(sample: Any) -> str:
    return f"{sample.dataset}/{sample.image.name}"


if __name__ == "__main__":
    main()
