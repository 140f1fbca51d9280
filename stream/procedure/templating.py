"""How pages are made from templates: for a report, and for a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.text.printing import printable

if TYPE_CHECKING:
    from jinja2 import Environment


def page_templates(folder: Path, **filters: Callable[..., object]) -> Environment:
    """Templates that escape what they are given, and stop where something is missing.

    Args:
        folder: that holds them.
        filters: by name.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters.update(filters)
    return environment
