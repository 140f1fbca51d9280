"""Charts that Matplotlib draws: in its own style, whatever settings lie in the current folder.

Matplotlib reads a file `matplotlibrc` of the current folder when it is imported. Such a file can change what a chart
shows, and can have its texts set by LaTeX, which runs programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_style() -> Iterator[None]:
    """Lets charts be drawn with Matplotlib's own settings in the `with` block, or in the function that it decorates.

    Nothing is done where Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        yield
        return
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
