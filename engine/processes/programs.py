"""Programs that are started beside this one: the one place that starts them.

Nobody vouches for the folder that a user stands in. It may be a shared one, or one with files of others. `python -c`
looks for modules there, an empty entry of PATH, PYTHONPATH or LD_LIBRARY_PATH means it, and Windows looks for programs
there. So programs are found by absolute folders only, and a Python that is started here takes its modules from where
this one takes them, without that folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess  # nosec B404
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

#: Lists of folders in which systems and libraries look for code. An empty or relative entry means the current folder.
_FOLDER_LISTS = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    "DYLD_FRAMEWORK_PATH",
    "QT_PLUGIN_PATH",
)
#: Environment variable that can hold the token of the page.
PAGE_VARIABLE = "POLYPSTREAM_TOKEN"
#: What a program that is started here has no business to know.
_SECRETS = (PAGE_VARIABLE,)
#: Python finds its own modules and the installed packages by itself (-I: without the current folder, without the
#: variables PYTHON*). Then come the folders that this process has beside them, in its order.
_START = """
import sys
given = {folders!r}
sys.path[:] = given + [folder for folder in sys.path if folder not in given]
"""


def absolute_folders(folders: str, *, separators: str = os.pathsep) -> list[str]:
    """The absolute entries of a list of folders such as PATH, in their order: none that means the current folder.

    Args:
        folders: the list.
        separators: characters that each part two entries.
    """
    return [folder for folder in re.split(f"[{re.escape(separators)}]", folders) if os.path.isabs(folder)]


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for another program: nothing in it means the current folder, and it holds no secret.

    Args:
        environment: to take it from (default: that of this process).
    """
    given = os.environ if environment is None else environment
    clean = {key: value for key, value in given.items() if key not in _SECRETS}
    for name in _FOLDER_LISTS:
        if name in clean:
            # Linux parts the entries of LD_LIBRARY_PATH by semicolons too.
            separators = ":;" if name == "LD_LIBRARY_PATH" else os.pathsep
            folders = absolute_folders(clean.pop(name), separators=separators)
            if folders:
                clean[name] = os.pathsep.join(folders)
    return clean


def find_program(name: str, folders: Sequence[str | Path] | None = None) -> Path | None:
    """Finds a program by its name; never in the current folder, unless PATH names that by its absolute path.

    Args:
        name: without a folder, and without the ending that Windows adds.
        folders: where to look (default: PATH). Those that are not absolute are passed over.
    """
    wanted = absolute_folders(os.environ.get("PATH", os.defpath)) if folders is None else map(str, folders)
    for folder in filter(os.path.isabs, wanted):
        # With a folder in front of the name only that folder is looked into, on Windows too.
        found = shutil.which(os.path.join(folder, name))
        if found is not None:
            return Path(found)
    return None


def run_program(
    program: Path,
    *arguments: str,
    timeout_s: float,
    silent: bool = False,
    stdin: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end.

    Args:
        program: its absolute path, from `find_program`.
        arguments: what it is told. No shell reads them.
        timeout_s: after so many seconds it is ended.
        silent: what it says is thrown away. Otherwise it is in the result, and undecodable bytes are replaced.
        stdin: what it reads from its standard input.
        variables: of its environment, beside those of this process.

    Raises:
        OSError: it cannot be started, or took too long (TimeoutError).
    """
    said = subprocess.DEVNULL if silent else subprocess.PIPE
    try:
        done = subprocess.run(  # nosec B603
            [str(program), *arguments],
            input=stdin,
            stdout=said,
            stderr=said,
            env={**clean_environment(), **(variables or {})},
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{program.name} took over {timeout_s:g} s") from error
    return subprocess.CompletedProcess(done.args, done.returncode, _text(done.stdout), _text(done.stderr))


PythonProcess: TypeAlias = subprocess.Popen[bytes]
"""A process that `start_python` started."""


def run_python(code: str, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own, which imports what this process would, save from the current folder.

    Args:
        code: the program.
        timeout_s: after so many seconds it is ended.

    Raises:
        OSError: it cannot be started, or took too long (TimeoutError).
    """
    started = _START.format(folders=_own_folders()) + code
    return run_program(Path(sys.executable), "-I", "-c", started, timeout_s=timeout_s)


def start_python(code: str, *, hear_errors: bool = False) -> PythonProcess:
    """Starts Python code in a process beside this one, which imports what `run_python` would.

    Its standard input and output are pipes to this process. Ctrl-C on a terminal reaches this process alone, which ends
    the other one in its own order.

    Args:
        code: the program.
        hear_errors: whether its standard error is a pipe to this process too; otherwise it is that of this process.

    Raises:
        OSError: it cannot be started.
    """
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(  # nosec B603
        [sys.executable, "-I", "-c", _START.format(folders=_own_folders()) + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if hear_errors else None,
        env=clean_environment(),
        **apart,
    )


def ends_within(process: PythonProcess, seconds: float) -> bool:
    """Waits for a process to end; False when it still runs after so many seconds."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def leave_current_folder() -> None:
    """Sees to it that nothing in this process's surroundings means the current folder; for the start of a command.

    A PYTHONPATH such as `:/opt/tools` means it by accident: what that added to the folders of modules is taken away.
    Python itself has read it by then, and has run a `sitecustomize.py` that lies there; that cannot be undone. On Linux
    `import cv2` puts its own folders in front of LD_LIBRARY_PATH, which leaves an empty entry behind when that is not
    set: every program that any library starts from then on would look for its libraries in the current folder.
    """
    named = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    if named:
        entries = named.split(os.pathsep)
        wanted = {os.path.normpath(entry) for entry in entries if os.path.isabs(entry)}
        unwanted = {os.path.abspath(entry) for entry in entries if not os.path.isabs(entry)} - wanted
        sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) not in unwanted]
    clean = clean_environment()
    for name in _FOLDER_LISTS:
        if name in os.environ and name not in clean:
            del os.environ[name]
        elif name in clean:
            os.environ[name] = clean[name]
    if sys.platform.startswith("linux"):
        os.environ.setdefault("LD_LIBRARY_PATH", os.devnull)  # no folder, so nothing is ever found there


def _own_folders() -> list[str]:
    """This process's folders of modules, without the current one, unless these sources themselves lie there."""
    sources = Path(__file__).resolve().parents[2]
    return [
        folder
        for folder in sys.path
        if os.path.isabs(folder) and (Path(folder).resolve() == sources or not _is_current(folder))
    ]


def _is_current(folder: str) -> bool:
    try:
        return os.path.samefile(folder, os.curdir)
    except OSError:  # archives of modules that are not there, and folders that were removed
        return False


def _text(said: bytes | None) -> str | None:
    """What a program said, with line ends as Python has them."""
    return None if said is None else said.decode("utf-8", "replace").replace("\r\n", "\n")
