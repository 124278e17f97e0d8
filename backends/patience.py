"""Questions that may never be answered: a mount whose server or program is gone keeps whoever asks, Ctrl-C or not."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

#: How long a healthy storage may take for a small answer: a disk that has to start up first takes some seconds.
ANSWER_S: Final = 10.0

_Answer = TypeVar("_Answer")


class UnansweredError(Exception):
    """It has taken too long. Not the system's own TimeoutError, which is an answer."""


def within(time_s: float, ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` gives, or raises, if that does not take too long.

    Args:
        time_s: How long it may take.
        ask: The question. It is asked in a thread, which is left behind if it takes too long; where the system gives
            no thread, it is asked without a limit.

    Raises:
        UnansweredError: If it does.
    """
    outcome: Future[_Answer] = Future()

    def run() -> None:
        try:
            outcome.set_result(ask())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # none may be started any more: better to wait than not to know
        return ask()
    thread.join(time_s)  # and not only its outcome: who forks afterwards shall be alone
    if not outcome.done():
        raise UnansweredError
    return outcome.result()
