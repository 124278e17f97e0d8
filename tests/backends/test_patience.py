"""Questions that may never be answered."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backends.patience import within
from state.errors import StorageError


@pytest.mark.parametrize("answer", [7, None, Path("/a"), "x" * 1_000_000])
def test_an_answer_is_given_and_nobody_is_left(answer: object) -> None:
    assert within(60, lambda: answer) == answer
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize(
    "error",
    [
        OSError(5, "no"),
        TimeoutError("the system's own"),
        ValueError("no"),
        SystemExit(3),
        StorageError("it is full", "free some space"),
    ],
)
def test_what_is_raised_is_an_answer(error: BaseException) -> None:
    def ask() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        within(60, ask)
    assert raised.value.args == error.args


def test_what_cannot_be_said_is_an_error_and_not_silence() -> None:
    with pytest.raises(EOFError):
        within(60, lambda: lambda: None)


def test_who_asks_holds_nothing_that_others_wait_for() -> None:
    """Its terminal, its pipes and its locks would be in use for as long as it waits."""
    read_fd, write_fd = os.pipe()
    own = os.getpid(), os.getsid(0)

    def ask() -> tuple[bool, list[str]]:
        links = [str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in range(3)]
        return Path(f"/proc/self/fd/{write_fd}").exists(), [*links, str(os.getsid(0) in own)]

    is_open, links = within(60, ask)
    os.close(read_fd)
    os.close(write_fd)
    assert not is_open
    assert links == [os.devnull] * 3 + ["False"]


@pytest.mark.parametrize("is_deaf", [False, True], ids=["waits", "and hears no signal"])
def test_who_does_not_answer_keeps_nobody(is_deaf: bool) -> None:
    """Not this process, and not the end of the program that asks."""
    code = (
        "import signal, sys, time; from backends.patience import UnansweredError, within\n"
        "def ask():\n"
        f"    {'signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))' if is_deaf else 'pass'}\n"
        "    time.sleep(60)\n"
        "try: within(0.1, ask)\n"
        "except UnansweredError: sys.exit(7)\n"
    )
    start_s = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False).returncode == 7
    assert time.monotonic() - start_s < 30


def test_where_no_process_is_given_it_is_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    assert within(60, lambda: 7) == 7
