"""Slow questions beside an event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

_Answer = TypeVar("_Answer")


async def aside(ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` gives, or raises, from a thread that the end of the program does not wait for.

    Args:
        ask: The question. It is asked to its end, although whoever waits for the answer may be cancelled.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_Answer] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        if not outcome.done():
            settle()

    def run() -> None:
        try:
            settle = partial(outcome.set_result, ask())
        except BaseException as error:
            settle = partial(outcome.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody wants to know
            loop.call_soon_threadsafe(tell, settle)

    threading.Thread(target=run, daemon=True).start()
    return await outcome
