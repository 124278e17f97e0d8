"""The worker behind the explorer's event loop: kept warm, given one run after the other, stopped."""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual.app import App
from textual.worker import Worker

from state.errors import CkptTuiError, WorkerError
from state.plan import Plan
from state.run.events import Event, RunFinished, RunInterrupted, RunRefused, RunRequested, WorkerStarting
from state.run.records import Failure
from tui.background import aside

if TYPE_CHECKING:
    from backends.process.launcher import Launcher

#: How often an idle worker may die before no new one is started until somebody asks for a run.
_MAX_IDLE_DEATHS: Final = 2
#: After what time people are told what is waited for.
_WORD_S: Final = 2.0
#: Of the tasks that ask a storage before a run.
_ASKING: Final = "request"


class Steering:
    """Runs what is asked for, one after the other.

    Args:
        app: What asks, and tells people what is waited for.
        dispatch: Called with everything that happens.
        stop_key: What stops a run, for people.
        launcher: Of the worker; by default one of its own, which is imported when it is needed.
    """

    def __init__(
        self, app: App[None], dispatch: Callable[[Event], None], stop_key: str, launcher: "Launcher | None" = None
    ) -> None:
        self._app = app
        self._dispatch = dispatch
        self._stop_key = stop_key
        self._given = launcher
        self._asking: Worker[None] | None = None
        self._is_stopping = False
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
            self._is_stopping = False
            try:
                async with contextlib.aclosing(self._launcher.run(request)) as events:
                    async for event in events:
                        self._dispatch(event)
            except WorkerError as error:
                self._dispatch(RunRefused(Failure(error.what, error.do)))
            self._is_stopping = False

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

    @property
    def is_asking(self) -> bool:
        """Whether the storage of a run that was asked for has still to answer."""
        return self._asking is not None and not self._asking.is_finished

    def run(self, plan: Plan, refuse: Callable[[CkptTuiError], None]) -> None:
        """Have a plan measured as soon as the worker is free, if its storage can take it.

        Args:
            plan: What to measure.
            refuse: Called with the reason if it cannot be measured; that may take long to be known.
        """
        self._asking = self._app.run_worker(partial(self._ask_storage, plan, refuse), group=_ASKING)

    async def _ask_storage(self, plan: Plan, refuse: Callable[[CkptTuiError], None]) -> None:
        waiting = self._app.set_timer(_WORD_S, partial(self._say, f"waiting for {plan.storage} to answer"))
        try:
            request = await aside(partial(_ready, plan))
        except CkptTuiError as error:
            refuse(error)
            return
        finally:
            waiting.stop()
        self._dispatch(request)
        self._requests.put_nowait(request)

    def stop_asking(self) -> None:
        """Begin nothing any more, whatever a storage still answers."""
        if self._asking is not None:
            self._asking.cancel()

    def _say(self, sentence: str) -> None:
        self._app.notify(sentence, markup=False)

    def stop(self) -> None:
        """Stop what was asked for, wherever it is; asked again, without waiting for what the worker has to delete."""
        if self._asking is not None and not self._asking.is_finished:
            self._asking.cancel()
            self._asking = None  # a task that is cancelled before it begins never counts as finished
        elif not self._requests.empty():
            self._requests.get_nowait()
            self._dispatch(RunFinished(cancelled=True))
        elif self._is_stopping:
            self._launcher.kill()
        else:
            self._is_stopping = True
            self._launcher.cancel()
            self._app.set_timer(_WORD_S, self._tell_of_stopping)

    def _tell_of_stopping(self) -> None:
        if self._is_stopping:
            again = f"{self._stop_key} again does not wait for that"
            self._say(f"stopping: the trial's files are being deleted; {again}")

    def kill(self) -> None:
        """Kill the worker's processes now, whatever they are about."""
        self._launcher.kill()

    async def close(self) -> None:
        """End the worker with everything that it started, and remove what it leaves."""
        await self._launcher.close()


def _ready(plan: Plan) -> RunRequested:
    """A request for a run, if its storage can take it."""
    from backends.process.machine_info import new_request
    from backends.storage.folder import check_storage, in_time

    folder = check_storage(Path(plan.storage))
    return in_time(folder, partial(new_request, plan))
