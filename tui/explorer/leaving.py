"""The explorer's end, whoever asks for it: a key, a signal, or a terminal that is gone.

It always comes: within seconds, with the results kept and the trial's files deleted, though the event loop may be busy
and the terminal take nothing more.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from textual.app import App

from tui.explorer.terminal_driver import TerminalDriver

#: How long a signal may wait for the event loop, and how long what it asks for may take.
_HEAR_S: Final = 5.0
_LEAVE_S: Final = 120.0
#: How long the end may take when nobody is there any more to see it.
_HANG_UP_S: Final = 30.0


class Leaving:
    """The end of an application.

    Args:
        app: Which.
        end: Ends everything that it has started, and keeps the results.
        hurry: Does away with what `end` waits for.

    Attributes:
        begun: Whether it is being left; nothing new shall begin then.
    """

    def __init__(self, app: App[None], end: Callable[[], Coroutine[Any, Any, None]], hurry: Callable[[], None]) -> None:
        self.begun = False
        self._app = app
        self._end = end
        self.hurry = hurry
        self._asked_by: int | None = None
        self._is_hung_up = False

    def listen(self) -> None:
        """Heed signals from now on."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread, as under a test's driver
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)  # the browser's driver has one, which would exit at once
                signal.signal(number, partial(self._told_to_leave, loop))
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    async def leave(self, return_code: int = 0) -> None:
        """End everything, and exit."""
        self.begun = True
        try:
            await self._end()
        finally:
            self._app.exit(return_code=return_code)

    def _told_to_leave(self, loop: asyncio.AbstractEventLoop, number: int, _: object) -> None:
        """Leave as soon as the event loop hears of it; it may be waiting for a terminal that takes nothing more.

        Then the program ends without it: the worker cleans up when it finds itself alone.
        """
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the program is about to
            loop.call_soon_threadsafe(self._leave_for, number)

        def end_if_stuck(*_: object) -> None:
            if self._asked_by is None or time.monotonic() > told_s + _LEAVE_S:
                os._exit(128 + number)

        told_s = time.monotonic()
        signal.signal(signal.SIGALRM, end_if_stuck)  # no thread: none may be started out of a handler
        signal.setitimer(signal.ITIMER_REAL, _HEAR_S, _HEAR_S)

    def _leave_for(self, number: int) -> None:
        """Somebody outside wants it to end; asked again, it does not wait for the worker."""
        if not self._app.is_running:  # it has ended, and only tidies up
            return
        if self._asked_by is not None:
            self.hurry()
            self._app.exit(return_code=128 + number)
            return
        self._asked_by = number
        if (driver := self._driver) is not None:
            driver.leave()
        self._app.run_worker(self.leave(128 + number))

    def _hang_up(self) -> None:
        """The system may say it, and the driver find it, too."""
        if self._is_hung_up:
            return
        self._is_hung_up = True
        if (driver := self._driver) is not None:
            driver.hang_up()
        self._app.run_worker(self._leave_a_dead_terminal())

    async def _leave_a_dead_terminal(self) -> None:
        """After a hang-up: Textual would wait for ever to write its farewell to a terminal that is gone."""
        try:
            await asyncio.wait_for(self._end(), _HANG_UP_S)
        finally:
            os._exit(128 + signal.SIGHUP)

    @property
    def _driver(self) -> TerminalDriver | None:
        """What the application is drawn with; None in a browser or a test."""
        driver: Any = self._app._driver
        return driver if isinstance(driver, TerminalDriver) else None
