"""What works only in the process that opened it: the threads of a library stand behind it."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import NoReturn

from engine.closing import Closing
from engine.errors import InputError, RunError


class OwnProcess(Closing):
    """Refuses to be used in a process that was forked later, or to be sent to another one.

    A fork copies the memory of a library but not its threads: what they were to compute is then waited for without end.
    For the same reason a forked process has to end by `os._exit`, as those of `multiprocessing` do: at the usual end of
    a process both ONNX Runtime and OpenVINO wait for their threads.
    """

    def __init__(self) -> None:
        """Belongs to this process."""
        self._process_id = os.getpid()

    def close(self) -> None:
        """Releases what is held; nothing in a forked process, as it belongs to the first one."""
        if self._process_id == os.getpid():
            self._release()

    @abstractmethod
    def _release(self) -> None:
        """Releases what is held."""

    def _check_process(self) -> None:
        """Raises RunError in a process that was forked after this was opened."""
        here = os.getpid()
        if self._process_id != here:
            raise RunError(
                f"a {type(self).__name__} was opened in process {self._process_id} and cannot be used in process "
                f"{here}, which was forked from it; open one in each process"
            )

    def __reduce__(self) -> NoReturn:
        """Refuses to be pickled or copied.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"a {type(self).__name__} cannot be copied or sent to another process; send the model's name or folder, "
            "and open it there"
        )
