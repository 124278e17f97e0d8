"""An explorer for tests whose worker plays a script instead of measuring, so that every state can be had at once."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from textual.pilot import Pilot

from backends.methods import registry
from backends.methods.entries import MethodEntry
from backends.process.launcher import Launcher
from state.plan import LIMIT, SIX, Plan
from state.run.environment import Environment, FileSystem
from state.run.events import (
    Event,
    ModelReady,
    PhaseEntered,
    RunFinished,
    RunRequested,
    Sampled,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    WorkerReady,
)
from state.run.records import Failure, SaveResult
from state.schedule import schedule
from state.settings import Settings
from tests.state.factories import MODEL, load, save
from tui.explorer.app import ExplorerApp

METHODS: Final = (*SIX, "ts+concurrency+chunks", "ts+concurrency+compression", "ts+chunks+compression")
#: A wait that takes longer has nothing to wait for.
_BOUND_S: Final = 60
#: Where a script waits until the test lets it go on, or the run is cancelled.
HOLD: Final = object()
_SAVES_S: Final = dict(zip((*METHODS, LIMIT), (0.11, 6.4, 1.72, 2.3, 0.2, 8.0, 0.15, 3.0, 1.8, 0.06), strict=True))
FAILURE: Final = Failure(
    "killed (SIGKILL): out of memory, or by somebody's hand", "choose a smaller --size", "Traceback\nMemoryError"
)
MODEL_88MB: Final = msgspec.structs.replace(
    MODEL,
    name="demo",
    tensors=tuple(msgspec.structs.replace(tensor, nbytes=87_600_000) for tensor in MODEL.tensors),
)

Script = Callable[[RunRequested], Iterable[Any]]


def smooth(request: RunRequested) -> Iterable[Any]:
    """Every trial succeeds at once; later rounds take a little longer."""
    yield ModelReady(MODEL_88MB, 0.5)
    for number, trial in enumerate(schedule(request.plan)):
        time_s = _SAVES_S.get(trial.method, 0.3) * (1 + 0.04 * (trial.round - 1))
        result = save(time_s, stored_bytes=90_000_000) if trial.operation == "save" else load(time_s / 4)
        yield TrialStarted(number, 4000 + number, 87_600_000)
        yield TrialFinished(number, result)


def method_trials(plan: Plan) -> list[int]:
    """The numbers of the methods' trials, in the order of the schedule."""
    return [number for number, trial in enumerate(schedule(plan)) if trial.method != LIMIT]


def held_in(method_trial: int) -> Script:
    """Like `smooth`, but this one of the methods' trials stays at 62 % until it is let go."""

    def script(request: RunRequested) -> Iterable[Any]:
        trial_number = method_trials(request.plan)[method_trial]
        for event in smooth(request):
            yield event
            if isinstance(event, TrialStarted) and event.trial == trial_number:
                yield PhaseEntered(trial_number, "measure", 0)
                for step in range(1, 7):
                    yield Sampled(trial_number, step * 9_052_000, step * 0.2, 700_000_000, 1.4)
                yield HOLD

    return script


def stalling(*methods: str) -> Script:
    """Like `smooth`, but these methods save in the background."""

    def script(request: RunRequested) -> Iterable[Any]:
        trials = schedule(request.plan)
        for event in smooth(request):
            if (
                isinstance(event, TrialFinished)
                and isinstance(event.result, SaveResult)
                and trials[event.trial].method in methods
            ):
                yield TrialFinished(event.trial, msgspec.structs.replace(event.result, stall_s=0.01))
            else:
                yield event

    return script


def failing(*methods: str) -> Script:
    """Like `smooth`, but these methods fail."""

    def script(request: RunRequested) -> Iterable[Any]:
        trials = schedule(request.plan)
        for event in smooth(request):
            if isinstance(event, TrialFinished) and trials[event.trial].method in methods:
                yield TrialFailed(event.trial, FAILURE)
            else:
                yield event

    return script


class ScriptedLauncher(Launcher):
    """Plays scripts.

    Args:
        log: A file to name.
        script: What happens in a run.
        idle: What happens before it.
    """

    def __init__(self, log: Path, script: Script = smooth, idle: tuple[Event, ...] = (WorkerReady(1, 1, 2.5),)) -> None:
        super().__init__(log)
        self.script = script
        self.closed = False
        self.gate = asyncio.Event()
        self.idle = list(idle)
        self.requests: list[RunRequested] = []
        self._stop = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """There is always one."""
        return 1

    async def start(self) -> None:
        """Nothing to start."""

    async def next_event(self) -> Event:
        """The idle events in turn, and then nothing ever."""
        if not self.idle:
            await asyncio.Event().wait()
        return self.idle.pop(0)

    async def run(self, request: RunRequested) -> AsyncGenerator[Event]:
        """Play the script."""
        self.requests.append(request)
        self._stop.clear()
        yield request
        for item in self.script(request):
            if item is HOLD:
                waits = [asyncio.create_task(event.wait()) for event in (self.gate, self._stop)]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
            else:
                yield item
            if self._stop.is_set():
                yield RunFinished(cancelled=True)
                return
        yield RunFinished(cancelled=False)

    def cancel(self) -> None:
        """Stop the script."""
        self._stop.set()

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


def explorer(
    storage: Path,
    script: Script = smooth,
    *,
    settings: Settings | None = None,
    idle: tuple[Event, ...] = (WorkerReady(1, 1, 2.5),),
    entries: Mapping[str, MethodEntry] | None = None,
    **plan: Any,
) -> tuple[ExplorerApp, ScriptedLauncher]:
    """An explorer on an existing folder with its launcher."""
    launcher = ScriptedLauncher(storage.parent / "worker.log", script, idle)
    if entries is None:
        own = registry.entries()
        entries = {name: own[name] for name in METHODS}
    noon = datetime.datetime(2026, 1, 1, 12)
    app = ExplorerApp(Plan(storage=str(storage), **plan), entries, settings or Settings(), launcher, lambda: noon)
    return app, launcher


def fixed_request(plan: Plan) -> RunRequested:
    """A request from the same machine at the same time, for snapshots."""
    filesystem = FileSystem("ext4")
    environment = Environment(hostname="here", storage=plan.storage, filesystem=filesystem, can_drop_caches=True)
    return RunRequested("20260101-120000-abcd", "2026-01-01T12:00:00+00:00", plan, environment)


@contextlib.asynccontextmanager
async def opened(app: ExplorerApp, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Pilot[None]]:
    """The explorer in a terminal of this size, as soon as its panes are filled; its history is closed at the end."""
    async with app.run_test(size=size) as pilot:
        await filled(pilot)
        yield pilot
    await app._keeper.close()


async def filled(pilot: Pilot[None]) -> None:
    """Wait until there is something in the panes."""
    async with asyncio.timeout(_BOUND_S):
        while not pilot.app.query("Footer"):
            await pilot.pause()
        for _ in range(3):
            await pilot.pause()


async def settled(pilot: Pilot[None]) -> None:
    """Let the script play and the screen draw, and what was asked be answered; a message may ask once more."""
    calm = 0
    async with asyncio.timeout(_BOUND_S):
        while calm < 3:
            await pilot.pause()
            asked = [worker for worker in pilot.app.workers if worker.group != "default"]  # the others go on for ever
            calm = 0 if asked else calm + 1
            if asked:  # none would mean all
                await pilot.app.workers.wait_for_complete(asked)
