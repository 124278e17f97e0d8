"""The warm process: imports the libraries once, then forks a child for every piece of work.

Started as ``python -P -m backends.process.worker EVENTS_FD LOG``: commands come in on standard input, events go out on
the descriptor EVENTS_FD, and everything that libraries print goes to LOG. It starts no thread, touches no GPU and runs
no tensor operation, so that a fork of it is as good as a fresh process with everything imported.

The end of standard input means that whoever started it is gone: the trial is killed and the scratch removed.
"""

import importlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from backends.methods import registry
from backends.patience import ANSWER_S
from backends.process import children
from backends.process.child_work import RefusedError
from backends.process.children import ChildKilledError, Emit, LineReader, Patience
from backends.process.failures import describe_exit, oom_kills, tail
from backends.process.model_building import ModelCache
from backends.process.run_loop import Runner
from backends.storage.folder import check_storage
from backends.storage.scratch import Scratch
from state.errors import CkptTuiError
from state.run.events import (
    PROTOCOL_VERSION,
    CancelRun,
    Command,
    Event,
    RunFinished,
    RunRefused,
    ScratchLeft,
    StartRun,
    WorkerEvent,
    WorkerReady,
    decode_command,
    encode,
)
from state.run.records import Failure

#: What trials and their model need; with them come torch, tensorstore and numpy.
_LIBRARIES: Final = (
    "backends.measuring.device_limit",
    "backends.measuring.machine_limits",
    "backends.methods.pytorch.torch_save",
    "backends.methods.tensorstore.zarr2",
    "backends.models.training",
    "backends.raw",
)
#: When the removal of a run's files is given up.
_REMOVAL: Final = Patience(stall_s=ANSWER_S, timeout_s=60.0)
#: How much of what a child has written is looked at, from either end: libraries write the reason first, and then much.
_LOG_BYTES: Final = 1 << 20


class CancelledError(Exception):
    """The launcher said stop."""


class OrphanedError(Exception):
    """The launcher is gone."""


class Worker:
    """Serves one launcher until it is gone.

    Args:
        events_fd: Where events are written.
        log: The file that standard output and error go to.
    """

    def __init__(self, events_fd: int, log: Path) -> None:
        self._events_fd = events_fd
        self._log = log
        self._commands = LineReader(sys.stdin.fileno())
        self._waiting: list[Command] = []
        self._models = ModelCache()

    def serve(self) -> None:
        """Take runs until standard input ends."""
        try:
            while True:
                command = self._next_command()
                if isinstance(command, StartRun):  # a cancel that comes too late has nothing to stop
                    self._run(command)
        except OrphanedError:
            return

    def emit(self, event: Event) -> None:
        """Tell the launcher."""
        try:
            children.write_all(self._events_fd, encode(event))
        except BrokenPipeError:
            raise OrphanedError from None

    def do(
        self,
        work: Callable[[Emit], None],
        patience: Patience,
        on_event: Callable[[WorkerEvent], None],
        on_start: Callable[[int], None] = lambda pid: None,
    ) -> Failure | None:
        """Do a piece of work in a child.

        Args:
            work: What to do.
            patience: When to give it up.
            on_event: Called with each of the child's events.
            on_start: Called with the child's process number.

        Returns:
            Why the child did not come to its end, or None if it did.

        Raises:
            CancelledError: If the launcher said stop; the child is dead then.
            OrphanedError: If the launcher is gone; likewise.
        """
        self._heed_cancel()  # it may have come together with the command to start
        log_start, kills = self._log.stat().st_size, oom_kills()
        pid, read_fd = children.fork(work, close_fds=(self._events_fd,))
        try:
            on_start(pid)
        except BaseException:
            children.kill(pid)
            os.close(read_fd)
            raise
        try:
            status = children.follow(pid, read_fd, patience, on_event, self._commands.fd, self._on_command)
        except ChildKilledError as error:
            return Failure(error.what, error.do, tail(self._log_from(log_start)))
        if status == 0:
            return None
        return describe_exit(status, self._log_from(log_start), out_of_memory=oom_kills() > kills)

    def _run(self, command: StartRun) -> None:
        try:
            scratch = Scratch.create(check_storage(Path(command.plan.storage)), command.run_id)
        except CkptTuiError as error:
            self.emit(RunRefused(Failure(error.what, error.do)))
            return
        end: Event = RunFinished(cancelled=False)
        registry.preload(command.plan.methods)
        try:
            Runner(self, self._models, command, scratch.folder).run()
        except CancelledError:
            end = RunFinished(cancelled=True)
        except RefusedError as error:
            end = RunRefused(error.failure)
        finally:
            self._remove(scratch)
        self.emit(end)

    def _remove(self, scratch: Scratch) -> None:
        """Remove a scratch folder, in children: a storage that has died keeps whoever asks it for anything.

        The results are worth more than a clean disk: what is left, the doctor will find.
        """
        is_emptied = self._do_for(scratch, scratch.empty)
        if is_emptied is not None:  # to close a file may take as long as to delete it
            scratch.let_go()
        if is_emptied:
            self._do_for(scratch, scratch.remove)

    def _do_for(self, scratch: Scratch, step: Callable[[], None]) -> bool | None:
        """Do a step of a removal in a child, and tell the launcher if it comes to nothing.

        Returns:
            Whether it was done; None if the storage does not answer.
        """
        undeleted: list[ScratchLeft] = []

        def work(emit: Emit) -> None:
            try:
                step()
            except CkptTuiError as error:
                emit(ScratchLeft(error.what))

        def on_event(event: WorkerEvent) -> None:
            if isinstance(event, ScratchLeft):
                undeleted.append(event)

        log_start = self._log.stat().st_size
        pid, read_fd = children.fork(work, close_fds=(self._events_fd,))
        why, answers = "", True
        try:
            status = children.follow(pid, read_fd, _REMOVAL, on_event)
            if status:
                why = describe_exit(status, self._log_from(log_start), out_of_memory=False).what
        except ChildKilledError as error:
            why, answers = error.what, False
        if why:
            undeleted.append(ScratchLeft(f"{scratch.folder} cannot be deleted ({why})"))
        for event in undeleted:
            self.emit(event)
        return not undeleted if answers else None

    def _read_commands(self) -> None:
        lines = self._commands.read()
        if lines is None:
            raise OrphanedError
        self._waiting += [decode_command(line) for line in lines]

    def _next_command(self) -> Command:
        while not self._waiting:
            self._read_commands()
        return self._waiting.pop(0)

    def _on_command(self) -> None:
        self._read_commands()
        self._heed_cancel()

    def _heed_cancel(self) -> None:
        for position, command in enumerate(self._waiting):
            if isinstance(command, CancelRun):
                del self._waiting[: position + 1]
                raise CancelledError

    def _log_from(self, start: int) -> str:
        with self._log.open("rb") as file:
            file.seek(start)
            beginning = file.read(_LOG_BYTES)
            file.seek(max(file.tell(), self._log.stat().st_size - _LOG_BYTES))
            return (beginning + file.read()).decode(errors="replace")


def import_libraries() -> None:
    """Import what trials need, so that no child has to.

    Before any module of others: `backends.raw` takes what the comparison is made of while nobody can have replaced it.
    """
    for module in _LIBRARIES:
        importlib.import_module(module)


def main() -> None:
    """Serve as the arguments say."""
    start_s = time.perf_counter()
    worker = Worker(int(sys.argv[1]), Path(sys.argv[2]))
    # Imports take seconds, in which nobody hears that standard input has ended; and there is nothing to clean up yet.
    children.end_with_parent(signal.SIGKILL)
    import_libraries()
    worker.emit(WorkerReady(PROTOCOL_VERSION, os.getpid(), time.perf_counter() - start_s))
    if not select.select([sys.stdin], [], [], 0.05)[0]:
        import transformers.models.llama.modeling_llama  # noqa: F401 - nobody waits, so get ahead of presets
    children.end_with_parent(None)  # what is left of a run has to be removed from here on
    worker.serve()


if __name__ == "__main__":
    main()
