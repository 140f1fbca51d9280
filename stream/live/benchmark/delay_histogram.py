"""A picture of measured delays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from engine.errors import InputError
from engine.text.printing import chart_text
from stream.charts import plain_style

_LABELS = {
    "off": "video, detection off",
    "on": "video, detection on",
    "annotation": "annotation",
}
_COLOURS = {"off": "#7f7f7f", "on": "#1f77b4", "annotation": "#d95f02"}
_LEAST_MS = 0.01


def check_histogram() -> None:
    """Find out whether pictures can be drawn, before anything is measured.

    Raises:
        InputError: Matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("--histogram needs Matplotlib; install it with: pip install 'polypstream[train]'") from error


@plain_style()
def draw_histogram(delays_ms: Mapping[str, Sequence[float]], path: Path, *, title: str) -> None:
    """Draw how delays are distributed, on a logarithmic axis, as rare long ones are what matters.

    Args:
        delays_ms: milliseconds, by kind: "off", "on" (video delay with detection off and on), "annotation".
        path: picture to write; the format follows from its ending.
        title: of the picture.

    Raises:
        InputError: Matplotlib is not installed.
        OSError: the picture cannot be written.
    """
    check_histogram()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    longest = max((max(values) for values in delays_ms.values() if len(values)), default=1.0)
    bins = np.geomspace(_LEAST_MS, max(longest, 1.0) * 1.1, 120).tolist()
    for kind, values in delays_ms.items():
        if not len(values):
            continue
        shares = np.full(len(values), 100 / len(values))
        p99 = float(np.percentile(values, 99, method="inverted_cdf"))
        label = f"{_LABELS[kind]}: p99 {p99:.2f} ms, {len(values)} frames"
        axes.hist(
            np.maximum(values, _LEAST_MS), bins=bins, weights=shares, alpha=0.6, color=_COLOURS[kind], label=label
        )
        axes.axvline(p99, color=_COLOURS[kind], linestyle="--", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="delay, ms", ylabel="share of frames, %")
    axes.set_title(chart_text(title, most=90))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    figure.savefig(path, dpi=120)
