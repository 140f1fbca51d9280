"""Names that a folder of windows uses."""

from __future__ import annotations

#: Class of windows that show no polyp.
NON_POLYP = "non_polyp"
#: Lists the windows of a folder, with where each was cut.
MANIFEST = "manifest.csv"
