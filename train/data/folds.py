"""Folds for cross-validation: whole groups only, every class spread over all folds as evenly as the groups allow."""

from __future__ import annotations

import numpy as np

from engine.arrays import Int64s
from engine.checks import require_at_least
from engine.errors import InputError


def group_folds(labels: Int64s, groups: Int64s, *, folds: int, seed: int = 0) -> Int64s:
    """Divides items into folds.

    The largest groups are dealt first, each into the fold in which the shares of the classes stay most even.

    Args:
        labels: int64 (items,), class of each.
        groups: int64 (items,), group of each.
        folds: 2 or more.
        seed: of the order of equal groups.

    Returns:
        int64 (items,), fold of each, from 0.

    Raises:
        InputError: fewer than two folds, or a class that does not reach into every fold.
    """
    require_at_least("`folds`", folds, 2, wanted="2 or more")
    names, index = np.unique(groups, return_inverse=True)
    classes = int(labels.max()) + 1
    counts = np.zeros((len(names), classes))
    np.add.at(counts, (index, labels), 1)
    shares = counts / counts.sum(0)
    order = np.lexsort((np.random.default_rng(seed).random(len(names)), -counts.sum(1)))
    filled = np.zeros((folds, classes))
    fold_of = np.zeros(len(names), np.int64)
    for group in order.tolist():
        # What the largest deviation from even shares would be with the group in each of the folds.
        tried = filled[None] + np.eye(folds)[:, :, None] * shares[group]
        spread = ((tried - tried.mean(1, keepdims=True)) ** 2).sum((1, 2))
        chosen = int(spread.argmin())
        fold_of[group] = chosen
        filled[chosen] += shares[group]
    if not filled.all():
        raise InputError(
            f"{folds} folds need each class in at least {folds} groups that are no near-duplicates of each other; "
            "add pictures, or ask for fewer folds"
        )
    return fold_of[index.reshape(-1)]
