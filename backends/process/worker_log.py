"""Where what a worker and its libraries print goes, and the place that libraries have for temporary files."""

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

from backends.process.failures import tail
from state.errors import WorkerError
from state.paths import log_folder

#: How long logs of earlier workers are kept.
_LOGS_S: Final = 7 * 24 * 3600.0
_SHARED_MEMORY: Final = Path("/dev/shm")


def new_log() -> Path:
    """A file for what the worker says, where one can be written: a home and the folder for such files may be read-only.

    Raises:
        WorkerError: If nothing can be written anywhere.
    """
    _forget_old_logs()
    name = f"worker-{os.getpid()}.log"
    for path in (log_folder() / name, temporary_folder() / f"ckpt-tui-{name}"):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()
            return path
    raise WorkerError(
        f"the worker's log cannot be written in {log_folder()} or anywhere else", "set TMPDIR to a folder of yours"
    )


def _forget_old_logs() -> None:
    """Whoever was killed has left one, and nobody looks for the reason of last month's failure."""
    for log in log_folder().glob("worker-*.log"):
        pid = log.stem.removeprefix("worker-")
        with contextlib.suppress(OSError):
            if time.time() - log.stat().st_mtime > _LOGS_S and not (pid.isdecimal() and psutil.pid_exists(int(pid))):
                log.unlink()


def note(log: Path, text: str) -> None:
    """Append a text to a log, if it can be written."""
    with contextlib.suppress(OSError), log.open("a") as file:
        print(text, file=file)


def log_tail(log: Path) -> str:
    """The end of a log; empty if it cannot be read."""
    with contextlib.suppress(OSError):
        return tail(log.read_text(errors="replace"))
    return ""


def temporary_folder() -> Path:
    """Where libraries may put what they need for a while; in memory where no other place can be written."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return _SHARED_MEMORY
