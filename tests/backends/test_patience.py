"""Questions that may never be answered."""

import threading
import time

import pytest

from backends.patience import UnansweredError, within


def test_an_answer_is_given_and_nobody_is_left() -> None:
    threads = threading.active_count()
    assert within(60, lambda: 7) == 7
    assert threading.active_count() == threads


@pytest.mark.parametrize("error", [OSError(5, "no"), TimeoutError("the system's own"), ValueError("no"), SystemExit(3)])
def test_what_is_raised_is_an_answer(error: BaseException) -> None:
    def ask() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        within(60, ask)
    assert raised.value is error


def test_who_does_not_answer_keeps_nobody() -> None:
    answer = threading.Event()
    start_s = time.monotonic()
    try:
        with pytest.raises(UnansweredError):
            within(0.1, lambda: answer.wait(60))
    finally:
        answer.set()
    assert time.monotonic() - start_s < 30
