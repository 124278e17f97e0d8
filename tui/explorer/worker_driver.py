"""The worker behind the explorer's event loop: kept warm, given one run after the other, stopped."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from state.errors import WorkerError
from state.run.events import Event, RunFinished, RunInterrupted, RunRefused, RunRequested, WorkerStarting
from state.run.records import Failure

if TYPE_CHECKING:
    from backends.process.launcher import Launcher

#: How often an idle worker may die before no new one is started until somebody asks for a run.
_MAX_IDLE_DEATHS = 2


class Steering:
    """Runs what is asked for, one after the other.

    Args:
        dispatch: Called with everything that happens.
        launcher: Of the worker; by default one of its own, which is imported when it is needed.
    """

    def __init__(self, dispatch: Callable[[Event], None], launcher: "Launcher | None" = None) -> None:
        self._dispatch = dispatch
        self._given = launcher
        self._requests: asyncio.Queue[RunRequested] = asyncio.Queue()
        self._deaths = 0

    @property
    def _launcher(self) -> "Launcher":
        if self._given is None:
            from backends.process.launcher import Launcher  # nobody waits for it to see the first screen

            self._given = Launcher()
        return self._given

    @property
    def log(self) -> Path:
        """The file that the worker's own words go to."""
        return self._launcher.log

    async def steer(self) -> None:
        """Keep a worker warm and run what is asked for, until cancelled."""
        while True:
            idle = self._deaths < _MAX_IDLE_DEATHS
            request = await self._next_request() if idle else await self._requests.get()
            if request is None:
                continue
            self._deaths = 0
            try:
                async with contextlib.aclosing(self._launcher.run(request)) as events:
                    async for event in events:
                        self._dispatch(event)
            except WorkerError as error:
                self._dispatch(RunRefused(Failure(error.what, error.do)))

    async def _next_request(self) -> RunRequested | None:
        """The next request, or None if something happened to the idle worker instead."""
        if self._launcher.pid is None:
            self._dispatch(WorkerStarting())
        try:
            await self._launcher.start()
        except WorkerError as error:
            self._tell(RunInterrupted(Failure(error.what, error.do)))
            return None
        request = asyncio.create_task(self._requests.get())
        happened = asyncio.create_task(self._launcher.next_event())
        try:
            await asyncio.wait((request, happened), return_when=asyncio.FIRST_COMPLETED)
            if happened.done():
                self._tell(happened.result())
            return request.result() if request.done() else None
        finally:
            request.cancel()
            happened.cancel()

    def _tell(self, event: Event) -> None:
        """Pass on what happened to an idle worker, and count its deaths."""
        self._deaths += isinstance(event, RunInterrupted)
        self._dispatch(event)

    def run(self, request: RunRequested) -> None:
        """Have a run measured as soon as the worker is free."""
        self._requests.put_nowait(request)

    def stop(self) -> None:
        """Stop the run that goes on, or the one that nobody has begun yet."""
        if self._requests.empty():
            self._launcher.cancel()
        else:
            self._requests.get_nowait()
            self._dispatch(RunFinished(cancelled=True))

    def kill(self) -> None:
        """Kill the worker's processes now, whatever they are about."""
        self._launcher.kill()

    async def close(self) -> None:
        """End the worker with everything that it started, and remove what it leaves."""
        await self._launcher.close()
