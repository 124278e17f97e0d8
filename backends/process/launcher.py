"""The screen's side of the worker: start it, send it a run, pass on what happens, survive its death."""

import asyncio
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import Final

import msgspec

from backends.process.failures import signal_name
from backends.process.machine_info import WORKER_VARIABLES
from backends.process.removal import HURRY_S, remove_scratch
from backends.process.sampler import watch
from backends.process.worker_log import log_tail, new_log, note, temporary_folder
from state.analysis.stopping import wants_another_round
from state.errors import WorkerError
from state.live.session import Session, reduce
from state.run.events import (
    PROTOCOL_VERSION,
    CancelRun,
    Command,
    Event,
    RoundAdded,
    RunFinished,
    RunInterrupted,
    RunRefused,
    RunRequested,
    ScratchLeft,
    StartRun,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    WorkerReady,
    decode_event,
    encode,
)
from state.run.records import Failure
from state.schedule import one_more_round, schedule

#: How often a worker may die without having started a trial before we stop starting new ones.
_MAX_IDLE_DEATHS: Final = 2
#: How long a worker may take to clean up after a cancel before it is killed, and we clean up.
_CANCEL_S: Final = 30.0
#: How long killed processes may take to be gone.
_DEATH_S: Final = 5.0
#: How long the removal of a dead worker's scratch may take.
_REMOVE_S: Final = 60.0
_LINE_BYTES: Final = 64 * 1024 * 1024  # a model's table is one line


class Launcher:
    """Owns one worker process at a time. Used from one asyncio event loop.

    Args:
        log: Where the worker's standard output and error go; None makes a file in the user's log folder.

    Attributes:
        log: That file.
        undeleted: What the last run could not delete, in words.
    """

    def __init__(self, log: Path | None = None) -> None:
        self.log = log or new_log()
        self.undeleted: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: asyncio.ReadTransport | None = None
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._deadline: asyncio.Task[None] | None = None
        self._unfinished: RunRequested | None = None
        self._trial_pid: int | None = None
        self._cancelled = asyncio.Event()
        self._ready = False
        self._running = False
        self._is_hurried = False

    @property
    def pid(self) -> int | None:
        """The worker's process number, if one runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Start a worker, unless one runs. Its imports go on in the background."""
        if self.pid is not None:
            return
        self._ready = False
        # What a worker that died between two runs left unread is history.
        events: asyncio.Queue[Event] = asyncio.Queue()
        self._events = events
        read_fd, write_fd = os.pipe()
        try:
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-P", "-X", "faulthandler", "-m", "backends.process.worker", str(write_fd), str(self.log)),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=(write_fd,),
                    start_new_session=True,
                    env=os.environ | WORKER_VARIABLES | {"TMPDIR": str(temporary_folder())},
                    cwd=None if _has_current_folder() else os.sep,  # libraries load nothing from a folder that is gone
                )
        except OSError as error:
            os.close(read_fd)
            raise WorkerError(f"the worker cannot be started ({error})", "check that this Python can be run") from error
        finally:
            os.close(write_fd)
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(read_fd, "rb"))
        self._pipe = pipe
        self._spawn(self._read(reader, self._process, events))

    async def next_event(self) -> Event:
        """What happens to a worker between two runs: it becomes ready, or dies. For use outside `run`."""
        return await self._events.get()

    async def run(self, request: RunRequested) -> AsyncGenerator[Event]:
        """Measure, and yield everything that happens; the first event is the request, the last ends the run.

        A worker that dies takes its trial along; a new one goes on with the next. Rounds are added as the plan's
        precision asks for.

        Raises:
            WorkerError: If no worker can be started.
        """
        self._cancelled.clear()
        self._is_hurried = False
        self.undeleted.clear()
        self._running = True
        try:
            yield request
            start_s, session, measured = time.monotonic(), reduce(Session(), request), 0
            while measured < len(schedule(request.plan)):
                todo = {n for n in range(measured, len(schedule(request.plan))) if _may_be_measured(session, n)}
                measured = len(schedule(request.plan))
                async with contextlib.aclosing(self._measure(request, todo)) as events:
                    async for event in events:
                        if isinstance(event, TrialStarted) and not event.trial:
                            start_s = time.monotonic()  # what came before comes once, whatever the number of rounds
                        elapsed_s = time.monotonic() - start_s
                        stopped = self._cancelled.is_set()
                        if event == RunFinished(cancelled=False) and not stopped and _is_unsure(session, elapsed_s):
                            request = msgspec.structs.replace(request, plan=one_more_round(request.plan))
                            event = RoundAdded()
                        if request.plan.precision is not None:
                            session = reduce(session, event)
                        yield event
                        if isinstance(event, RoundAdded):
                            break
        finally:
            self._running = False

    async def _measure(self, request: RunRequested, todo: set[int]) -> AsyncGenerator[Event]:
        """These trials of the run by as many workers as it takes."""
        deaths = 0
        while not self._cancelled.is_set():
            current: int | None = None
            await self.start()
            if self._cancelled.is_set():
                break
            self._unfinished = request
            self._send(StartRun(request.run_id, request.plan, tuple(sorted(todo))))
            async with contextlib.aclosing(self._until_end(request)) as events:
                async for event in events:
                    if isinstance(event, RunInterrupted) and self._cancelled.is_set():
                        break  # killed because somebody said stop
                    if isinstance(event, RunFinished | RunRefused):
                        self._unfinished = None  # the worker has removed its scratch
                    yield event
                    match event:
                        case TrialStarted():
                            current, deaths = event.trial, 0
                            todo.discard(event.trial)
                        case TrialFailed() | TrialFinished():
                            todo.discard(event.trial)
                            current = None
                        case RunFinished() | RunRefused():
                            return
            deaths += current is None
            if deaths >= _MAX_IDLE_DEATHS and not self._cancelled.is_set():
                yield RunRefused(Failure("the worker keeps dying", f"see {self.log}", log_tail(self.log), ours=True))
                return
        yield RunFinished(cancelled=True)

    def cancel(self) -> None:
        """Stop the run: its trial is killed and its scratch removed, then `run` yields its last event."""
        if self._cancelled.is_set() or not self._running:
            return
        self._cancelled.set()
        if not self._ready:
            self._kill()  # it is still importing, would not listen for seconds, and has nothing to clean up
            return
        self._send(CancelRun())
        self._deadline = self._spawn(self._kill_after(_CANCEL_S))

    async def close(self) -> None:
        """End the worker with everything that it started, and remove what it leaves."""
        await self._bury()  # at once: it may be importing for seconds, and what it leaves is removed as well from here
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            if self.log.stat().st_size == 0:
                self.log.unlink()

    def kill(self) -> None:
        """Stop the run without waiting for what its worker has to delete."""
        self._is_hurried = True
        self._cancelled.set()
        self._kill()

    # Inside --------------------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        for pid in (self._trial_pid, self.pid):
            if pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
        if self._process is not None and self._pipe is not None:
            self._spawn(self._let_go(self._process, self._pipe))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What no task should raise is noted; those that a run cannot go without see to its end themselves."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            note(self.log, "".join(traceback.format_exception(error)))

    def _send(self, command: Command) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(encode(command))

    async def _read(
        self, reader: asyncio.StreamReader, process: asyncio.subprocess.Process, events: asyncio.Queue[Event]
    ) -> None:
        """Queue one worker's events, and at last its death."""
        what = ""
        try:
            while line := await reader.readline():
                event = decode_event(line)
                if isinstance(event, WorkerReady):
                    if event.version != PROTOCOL_VERSION:
                        raise msgspec.ValidationError(f"it speaks version {event.version}, not {PROTOCOL_VERSION}")
                    self._ready = True
                events.put_nowait(event)
        except (msgspec.DecodeError, ValueError) as error:
            what = f"the worker sent what is no message ({error})"
        except Exception as error:  # whoever waits for its events must learn that there are no more
            what = f"the worker can no longer be followed ({error!r})"
            note(self.log, "".join(traceback.format_exception(error)))
        try:
            if self._process is process:  # nobody else has buried it, and it is not the next one
                await self._bury()
        except Exception:
            note(self.log, traceback.format_exc())
        status = await _status_within(process, _DEATH_S)
        if not what and status is None:
            what = "the worker process cannot even be killed: it waits for the storage or another device"
        elif not what and status is not None:
            name = signal_name(-status) if status < 0 else f"exit status {status}"
            when = " during this trial" if self._trial_pid is not None else ""
            what = f"the worker process died{when} ({name})"
        events.put_nowait(RunInterrupted(Failure(what, "see the log, or run this method alone", log_tail(self.log))))

    async def _until_end(self, request: RunRequested) -> AsyncGenerator[Event]:
        """Events of the run until it ends or the worker dies."""
        trials = schedule(request.plan)
        try:
            while True:
                event = await self._events.get()
                match event:
                    case ScratchLeft() if event.what not in self.undeleted:  # the worker's
                        self.undeleted.append(event.what)
                    case TrialStarted():
                        self._trial_pid = event.pid
                        operation = trials[event.trial].operation
                        device = request.plan.device
                        sampling = watch(event.trial, event.pid, operation, device, self._events.put_nowait)
                        self._watching = self._spawn(sampling)
                    case TrialFinished() | TrialFailed() | RunInterrupted():
                        self._trial_pid = None
                        self._stop_watching()
                yield event
                if isinstance(event, RunFinished | RunRefused | RunInterrupted):
                    return
        finally:
            self._stop_watching()
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _kill_after(self, time_s: float) -> None:
        """For a worker that does not clean up in time after a cancel."""
        await asyncio.sleep(time_s)
        self._kill()

    async def _let_go(self, process: asyncio.subprocess.Process, pipe: asyncio.ReadTransport) -> None:
        """Listen no longer to a worker that was killed and lives on, because a storage that has died keeps it."""
        if await _status_within(process, _DEATH_S) is None:
            pipe.close()

    async def _bury(self) -> None:
        """Make sure that the worker is dead, and remove the scratch that it could not.

        Neither is waited for without end: a storage that has died may never answer, and keeps whoever waits for it.
        """
        process, pipe = self._process, self._pipe
        if process is None:
            return
        self._kill()
        self._process = self._pipe = self._trial_pid = None  # before the first await: nobody shall bury it twice
        is_dead = await _status_within(process, HURRY_S if self._is_hurried else _DEATH_S) is not None
        if pipe is not None:
            pipe.close()
        if self._unfinished is not None:
            request, self._unfinished = self._unfinished, None
            patience_s = _REMOVE_S if is_dead and not self._is_hurried else HURRY_S
            left = await remove_scratch(request, self.log, patience_s, lambda: self._is_hurried)
            if left:
                self._tell(ScratchLeft(left))

    def _tell(self, event: ScratchLeft) -> None:
        self.undeleted.append(event.what)
        self._events.put_nowait(event)


async def _status_within(process: asyncio.subprocess.Process, time_s: float) -> int | None:
    """The status of a process that ends in time; None if it does not."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(process.wait(), time_s)
    return None


def _may_be_measured(session: Session, trial: int) -> bool:
    """Whether a trial's method has not failed in an earlier round."""
    records = session.run.records if session.run is not None else ()
    method = records[trial].trial.method
    return not any(record.status == "failed" for record in records if record.trial.method == method)


def _is_unsure(session: Session, elapsed_s: float) -> bool:
    return session.run is not None and wants_another_round(session.run, elapsed_s)


def _has_current_folder() -> bool:
    """Whether the current folder is there: somebody may have deleted it."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True
