from __future__ import annotations

from tests.kit.curves import curves, no_curves

__all__ = ["curves", "no_curves"]
