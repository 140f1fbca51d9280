"""The error tree: one class for each cause, each carrying the exit status that the command line returns."""

from __future__ import annotations

from engine.text.redaction import redacted_text


class PolypstreamError(Exception):
    """Base of every error that is raised on purpose; its text names the value and the remedy in one line.

    Secrets of addresses are taken out of the text.
    """

    exit_status: int = 1

    def __init__(self, *values: object) -> None:
        """Redact the texts."""
        super().__init__(*(redacted_text(value) if isinstance(value, str) else value for value in values))


class InputError(PolypstreamError, ValueError):
    """Wrong usage or unusable input: nothing was done (exit status 2)."""

    exit_status = 2


class SourceError(InputError):
    """A source that cannot be opened, or that holds no frame."""


class BundleError(InputError):
    """A model bundle that is unknown, incomplete or changed."""


class RuntimeUnavailableError(InputError):
    """A runtime that was asked for by name and does not work on this machine."""


class OutputError(InputError):
    """An output that cannot be written where it was asked for (found before any work was done)."""


class RunError(PolypstreamError, RuntimeError):
    """A fault in the middle of a run; what was finished is kept (exit status 1)."""


class LoginRefusedError(SourceError):
    """A server that refuses the user or the password; asking again and again may lock the account."""


class UntrustedError(SourceError):
    """A server whose certificate cannot be verified; nothing was sent to it."""


class DecodeError(RunError):
    """A source that broke off after it had given frames."""


class WriteError(RunError):
    """An output that could not be written to its end, for example on a full disk."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says; the name of its type when it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip() if text else type(error).__name__


def cause_of(error: BaseException) -> str:
    """Why something failed, in one line for people: errors raised on purpose explain themselves, others are named."""
    if isinstance(error, MemoryError):
        return "out of memory"
    line, name = redacted_text(first_line(error)), type(error).__name__
    return line if isinstance(error, PolypstreamError) or line == name else f"{name}: {line}"
