"""Questions that may never be answered."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from backends.patience import UnansweredError, within
from state.errors import StorageError
from tests.backends.runs import wait_until


@pytest.mark.parametrize("answer", [7, None, Path("/a"), "x" * 1_000_000])
def test_an_answer_is_given_and_nobody_is_left(answer: object) -> None:
    before = psutil.Process().children()
    assert within(60, lambda: answer) == answer
    assert psutil.Process().children() == before


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
    with pytest.raises((AttributeError, pickle.PicklingError)):
        within(60, lambda: lambda: None)


def test_who_is_asked_and_dies_has_not_answered() -> None:
    with pytest.raises(UnansweredError):
        within(60, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_who_was_given_up_is_collected_by_whoever_asks_next() -> None:
    before = psutil.Process().children()
    for _ in range(3):
        with pytest.raises(UnansweredError):
            within(0.01, lambda: time.sleep(60))

    def is_collected() -> bool:
        within(60, lambda: 7)
        return psutil.Process().children() == before

    assert wait_until(is_collected)


def test_who_asks_may_ignore_the_end_of_children() -> None:
    code = (
        "import signal; from backends.patience import within; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
        "assert within(60, lambda: 7) == 7"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
