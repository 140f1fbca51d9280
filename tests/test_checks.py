from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from engine.checks import require_above, require_at_least, require_within
from engine.errors import InputError


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (lambda value: require_within("share", value, 0, 1), 0, None),
        (lambda value: require_within("share", value, 0, 1), 1.0, None),
        (lambda value: require_within("share", value, 0, 1), 1.5, "share must be within 0 to 1. Received: 1.5"),
        (lambda value: require_within("share", value, 0, 1), math.nan, "share must be within 0 to 1. Received: nan"),
        (lambda value: require_within("level", value, 0, 5, wanted="0 to 5"), -1, "level must be 0 to 5. Received: -1"),
        (lambda value: require_at_least("epochs", value, 1), 1, None),
        (lambda value: require_at_least("epochs", value, 1), 0, "epochs must be at least 1. Received: 0"),
        (lambda value: require_at_least("size", value, 8, wanted="at least 8 px"), 7, "size must be at least 8 px."),
        (lambda value: require_at_least("age", value, 0), math.inf, "age must be at least 0. Received: inf"),
        (lambda value: require_at_least("age", value, 0), math.nan, "age must be at least 0. Received: nan"),
        (lambda value: require_above("rate", value), 1e-9, None),
        (lambda value: require_above("rate", value), 0, "rate must be above 0. Received: 0"),
        (lambda value: require_above("rate", value, wanted="above 0 s"), math.inf, "rate must be above 0 s. Received"),
    ],
)
def test_ranges(check: Callable[[float], None], value: float, message: str | None) -> None:
    if message is None:
        check(value)
        return
    with pytest.raises(InputError) as caught:
        check(value)
    assert str(caught.value).startswith(message)
