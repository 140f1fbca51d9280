from __future__ import annotations

import pytest

from engine.errors import InputError, cause_of, first_line


@pytest.mark.parametrize(
    ("error", "line", "cause"),
    [
        (InputError("no model 'a'; name another\nmore"), "no model 'a'; name another", "no model 'a'; name another"),
        (ValueError("\n wrong \nmore"), "wrong", "ValueError: wrong"),
        (ValueError(), "ValueError", "ValueError"),
        (InputError(" "), "InputError", "InputError"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
        (MemoryError("of 3 GB\n"), "of 3 GB", "out of memory"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device", None),
    ],
)
def test_one_line_of_an_error(error: BaseException, line: str, cause: str | None) -> None:
    assert first_line(error) == line
    assert cause_of(error) == (cause or f"OSError: {line}")
