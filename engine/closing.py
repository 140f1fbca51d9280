"""What is to be released, or completed, at the end of a `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

_Any = TypeVar("_Any", bound="Closing")


class Closing(ABC):
    """Holds something until `close`; a `with` block closes it at its end."""

    @abstractmethod
    def close(self) -> object:
        """Releases what is held."""

    def __enter__(self: _Any) -> _Any:
        """The thing itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()


class Completing(Closing):
    """Makes something that is complete with `close` only; a `with` block that ends by an exception aborts it."""

    @abstractmethod
    def abort(self) -> object:
        """Ends without completing it; what was finished is kept."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Completes it, or aborts after an exception."""
        if kind is None:
            self.close()
        else:
            self.abort()
