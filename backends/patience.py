"""Questions that may never be answered: a mount whose server or program is gone keeps whoever asks, Ctrl-C or not."""

import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

#: How long a healthy storage may take for a small answer: a disk that has to start up first takes some seconds.
ANSWER_S: Final = 10.0
_READ_BYTES: Final = 1 << 16

_Answer = TypeVar("_Answer")


class UnansweredError(Exception):
    """It has taken too long. Not the system's own TimeoutError, which is an answer."""


def within(time_s: float, ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` gives, or raises, if that does not take too long.

    It is asked in a process of its own, which is left behind if it takes too long: a thread that waits for a storage
    would keep this process from ending. Where the system gives no process, it is asked without a limit.

    Args:
        time_s: How long it may take.
        ask: The question; it finds no open file but those that it opens. The answer is pickled.

    Raises:
        UnansweredError: If it does.
    """
    read_fd, write_fd = os.pipe()
    try:
        pid = os.fork()
    except OSError:  # better to wait than not to know
        os.close(read_fd)
        os.close(write_fd)
        return ask()
    if pid == 0:
        _answer(write_fd, ask)
    os.close(write_fd)
    try:
        told = _read_to_the_end(read_fd, time.monotonic() + time_s)
    finally:
        os.close(read_fd)
    if told is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
        raise UnansweredError
    os.waitpid(pid, 0)
    answer, error = pickle.loads(told)  # of this very program, a moment ago
    if error is not None:
        raise error
    return answer  # type: ignore[no-any-return]


def _answer(write_fd: int, ask: Callable[[], object]) -> NoReturn:
    """Answer, in the new process. It holds nothing that others wait for: no terminal, no pipe, no lock."""
    try:
        os.setsid()
        null_fd = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null_fd, fd)
        os.closerange(3, write_fd)
        os.closerange(write_fd + 1, os.sysconf("SC_OPEN_MAX"))
        told: tuple[object, BaseException | None]
        try:
            told = ask(), None
        except BaseException as error:
            told = None, error
        with os.fdopen(write_fd, "wb") as pipe:
            pipe.write(pickle.dumps(told))
    finally:
        os._exit(0)


def _read_to_the_end(fd: int, deadline_s: float) -> bytes | None:
    """All that comes; None if it has not come to an end in time."""
    read = b""
    while select.select([fd], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
        piece = os.read(fd, _READ_BYTES)
        if not piece:
            return read
        read += piece
    return None
