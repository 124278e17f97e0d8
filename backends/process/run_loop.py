"""One run inside the worker: look at the model, check, build it in sealed memory, then trial by trial in children."""

from collections.abc import Callable, Sized
from pathlib import Path
from typing import Final, Protocol

import msgspec

from backends.measuring.shared_model import Arena
from backends.process.children import Emit, Patience
from backends.process.failures import check_same, describe_exception, is_full, storage_failure
from backends.storage.folder import room
from state.errors import RequestError, StorageError, UnavailableError
from state.model import Model
from state.needs import MemoryNeed, Needs, needs, shortage
from state.plan import LIMIT, Plan, schedule
from state.run.events import (
    CheckpointDeleted,
    Event,
    MachineMeasured,
    ModelBuilding,
    ModelReady,
    Phase,
    PhaseEntered,
    RunRefused,
    StartRun,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    WorkerEvent,
)
from state.run.records import Failure, Limits, SaveResult

_NOT_SAVED: Final = Failure("there is no checkpoint to load", "see why its save has no result")


class RefusedError(Exception):
    """The run cannot start."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


class Host(Protocol):
    """What a run needs of the worker."""

    def emit(self, event: Event) -> None:
        """Tell the launcher."""

    def do(
        self,
        work: Callable[[Emit], None],
        patience: Patience,
        on_event: Callable[[WorkerEvent], None],
        on_start: Callable[[int], None] = ...,
    ) -> Failure | None:
        """Do a piece of work in a child; why it did not come to its end."""


class ModelCache:
    """The tensors of the last run, kept for the next one on the same model."""

    def __init__(self) -> None:
        self._key: object = None
        self._run_id = ""
        self._arena: Arena | None = None

    def get(self, key: object) -> Arena | None:
        """The arena of this key, if it is the one that is kept."""
        return self._arena if self._key == key else None

    def of_run(self, run_id: str) -> Arena | None:
        """The arena of this run, if it was the last to use the one that is kept."""
        return self._arena if self._run_id == run_id else None

    def clear(self) -> None:
        """Give the memory back."""
        if self._arena is not None:
            self._arena.close()
        self._key, self._run_id, self._arena = None, "", None

    def put(self, key: object, run_id: str, arena: Arena) -> None:
        """Keep an arena, and remember the run that uses it."""
        self._key, self._run_id, self._arena = key, run_id, arena


class Runner:
    """One run.

    Args:
        host: The worker.
        models: Where the tensors of the last run may still be.
        command: What to run.
        folder: Scratch folder for the checkpoints; the worker removes it.
    """

    def __init__(self, host: Host, models: ModelCache, command: StartRun, folder: Path) -> None:
        self._host = host
        self._models = models
        self._run_id = command.run_id
        self._plan = command.plan
        self._folder = folder
        self._made = folder.stat()
        self._schedule = schedule(command.plan)
        self._todo = set(command.trials)
        self._stalls = Patience(command.plan.stall_timeout_s)  # a time limit is for trials, not for downloads
        self._stored: dict[str, int] = {}

    def run(self) -> None:
        """Measure every trial that is to be measured.

        Raises:
            RefusedError: If it cannot start.
        """
        # Rounds that are added to a run come as a command of their own, and find everything in place.
        arena = self._models.of_run(self._run_id)
        if arena is None:
            model, need = self._look()
            if all(self._schedule[number].method == LIMIT for number in self._todo):
                return  # every method has said why it cannot run, and the limit alone is no result
            arena = self._provide(model, need)
        if 0 in self._todo:
            self._measure_machine(arena)
        for number in range(len(self._schedule)):
            if number in self._todo:
                self._try(number, arena)

    # Before the trials ---------------------------------------------------------------------------------------------

    def _look(self) -> tuple[Model, Needs]:
        """The model's table, and what a run on it needs.

        Fails the methods that cannot take the model, and refuses what cannot be had at all.
        """
        plan = self._plan
        found: list[tuple[Model, Needs]] = []

        def look(emit: Emit) -> None:
            from backends.methods import registry
            from backends.models.training import source_of

            try:
                check_device(plan.device)
                model = source_of(plan).table()
            except Exception as error:
                emit(RunRefused(describe_exception(error)))
                return
            memory: dict[str, MemoryNeed] = {}
            for method in plan.methods:
                try:
                    made = registry.create(method, plan)
                    refusal = made.refusal(model, plan.device)
                    failure = Failure(refusal.what, refusal.do) if refusal else None
                    if failure is None:
                        memory[method] = made.memory(plan.device)
                except Exception as error:
                    failure = describe_exception(error)
                if failure is not None:
                    for number, trial in enumerate(self._schedule):
                        if trial.method == method:
                            emit(TrialFailed(number, failure))
            emit(ModelBuilding(model, needs(plan, model, memory)))

        def on_event(event: WorkerEvent) -> None:
            match event:
                case RunRefused():
                    raise RefusedError(event.failure)
                case ModelBuilding():
                    found.append((event.model, event.needs))
                    self._host.emit(event)
                case TrialFailed() if event.trial in self._todo:
                    self._todo.discard(event.trial)
                    self._host.emit(event)

        self._do_or_refuse(look, on_event, found, "looks at the model")
        return found[-1]

    def _provide(self, model: Model, need: Needs) -> Arena:
        """The model's tensors in shared memory, from the last run if they are the same."""
        plan = self._plan
        key = (model, plan.seed)
        kept = self._models.get(key)
        if kept is None:
            self._models.clear()  # another model's memory is free by now
        try:
            free = room(self._folder)
        except (OSError, StorageError) as error:
            raise RefusedError(describe_exception(error)) from error
        if kept is not None:
            free = msgspec.structs.replace(free, memory_bytes=free.memory_bytes + model.logical_bytes)
        short = shortage(need, free, plan, model)
        if short is not None:
            raise RefusedError(Failure(short.what, short.do))
        if kept is not None:
            self._models.put(key, self._run_id, kept)
            self._host.emit(ModelReady(kept.model, build_s=0.0))
            return kept
        try:
            arena = self._build(model)
        except OSError as error:
            raise RefusedError(describe_exception(error)) from error
        self._models.put(key, self._run_id, arena)
        return arena

    def _build(self, model: Model) -> Arena:
        """The model's tensors in memory that nobody can change any more.

        Raises:
            RefusedError: If they did not come.
            OSError: If the system does not give the memory, or a process that helped to fill it does not let it go.
        """
        arena = Arena(model)
        try:
            arena.model = self._fill(arena)
            arena.seal()
        except BaseException:
            arena.close()
            raise
        return arena

    def _fill(self, arena: Arena) -> Model:
        """Make the tensors, in a child; the table with what is known of them then."""
        plan, model = self._plan, arena.model
        ready: list[Model] = []

        def fill(emit: Emit) -> None:
            import time

            from backends.models.sources import gzip_ratio
            from backends.models.training import source_of

            start_s = time.perf_counter()
            try:
                views = arena.shared_views()
                source_of(plan).fill(views)
                ratio, sampled = gzip_ratio(views)
            except Exception as error:
                emit(RunRefused(describe_exception(error)))
                return
            filled = msgspec.structs.replace(model, gzip_ratio=ratio, gzip_sampled=sampled)
            emit(ModelReady(filled, time.perf_counter() - start_s))

        def on_event(event: WorkerEvent) -> None:
            match event:
                case RunRefused():
                    raise RefusedError(event.failure)
                case ModelReady():
                    ready.append(event.model)
                    self._host.emit(event)

        self._do_or_refuse(fill, on_event, ready, "builds the model")
        return ready[-1]

    def _do_or_refuse(
        self, work: Callable[[Emit], None], on_event: Callable[[WorkerEvent], None], found: Sized, what: str
    ) -> None:
        """Do in a child what a run cannot go without; once more if the child is killed, or dies by itself.

        Args:
            work: What to do.
            on_event: Called with each of the child's events.
            found: What of them shows that it was done.
            what: What the child does, in words.

        Raises:
            RefusedError: If the child died both times; that is no fault of the request.
        """
        for _ in range(2):
            failure = self._host.do(work, self._stalls, on_event)
            if failure is None and found:
                return
        failure = failure or Failure("it ended without a result", "see the log")
        what = f"the process that {what} did not come to its end, twice: {failure.what}"
        raise RefusedError(msgspec.structs.replace(failure, what=what, ours=True))

    def _measure_machine(self, arena: Arena) -> None:
        """What the machine gives besides the device. A run without it goes on and says so."""
        measured = False

        def work(emit: Emit) -> None:
            from backends.measuring.machine_limits import measure_machine

            try:
                emit(MachineMeasured(measure_machine(arena.views(), self._plan, self._folder)))
            except Exception as error:
                emit(MachineMeasured(Limits(), describe_exception(error)))

        def on_event(event: WorkerEvent) -> None:
            nonlocal measured
            measured = True
            self._host.emit(event)

        failure = self._host.do(work, self._stalls, on_event)
        if not measured:
            failure = failure or Failure("it ended without a result", "see the log")
            self._host.emit(MachineMeasured(Limits(), failure))

    # A trial -------------------------------------------------------------------------------------------------------

    def _try(self, number: int, arena: Arena) -> None:
        trial, plan = self._schedule[number], self._plan
        # Each round has its own, so that one that could not be deleted is in nobody's way.
        folder = self._folder / f"{trial.round}-{trial.method.replace('/', '%')}"
        is_save = trial.operation == "save"
        if not is_save and trial.method not in self._stored:
            self._host.emit(TrialFailed(number, _NOT_SAVED))
            return
        ended = False

        def work(emit: Emit) -> None:
            from backends.measuring.device_limit import LimitTrial
            from backends.measuring.trial import MethodTrial
            from backends.methods import registry

            def report(phase: Phase, moved_bytes: int) -> None:
                emit(PhaseEntered(number, phase, moved_bytes))

            try:
                measured = (
                    LimitTrial(arena.logical_memory(), plan, trial.operation, report)
                    if trial.method == LIMIT
                    else MethodTrial(registry.create(trial.method, plan), arena, plan, trial.operation, report)
                )
                result = measured.save(folder) if is_save else measured.load(folder)
                check_same(self._folder, self._made)  # or a library has made it anew, on the disk below the mount
                emit(TrialFinished(number, result))
            except Exception as error:
                storage = self._lost_storage()
                is_why = storage is not None and (is_save or not is_full(storage))
                emit(TrialFailed(number, describe_exception(error, storage if is_why else None)))
                end_if_gone(emit, storage)

        def on_event(event: WorkerEvent) -> None:
            nonlocal ended
            if isinstance(event, RunRefused):
                raise RefusedError(event.failure)
            if isinstance(event, TrialFinished) and isinstance(event.result, SaveResult):
                self._stored[trial.method] = event.result.stored_bytes
            ended = ended or isinstance(event, TrialFinished | TrialFailed)
            self._host.emit(event)

        expected_bytes = expected_save_bytes(plan, trial.method, arena.model) if is_save else self._stored[trial.method]
        failure = self._host.do(
            work,
            Patience(plan.stall_timeout_s, plan.timeout_s),
            on_event,
            lambda pid: self._host.emit(TrialStarted(number, pid, expected_bytes)),
        )
        if not ended:
            self._host.emit(TrialFailed(number, failure or Failure("ended without a result", "see the log")))
            self._host.do(lambda emit: end_if_gone(emit, self._lost_storage()), self._stalls, on_event)
        if not is_save or trial.method not in self._stored:
            self._delete(number, folder)

    def _lost_storage(self) -> Failure | None:
        """What is wrong with the storage, if anything is; asked before the one who asks would count as stalled."""
        return storage_failure(self._folder, self._made, self._plan.stall_timeout_s / 2)

    def _delete(self, number: int, folder: Path) -> None:
        """Delete the checkpoint, timed; what cannot be deleted is left for the removal of the scratch folder."""
        save_number = number - 1 if self._schedule[number].operation == "load" else number
        self._stored.pop(self._schedule[number].method, None)

        def work(emit: Emit) -> None:
            import shutil
            import time

            shutil.rmtree(folder.with_name(f"{folder.name}-warm-up"), ignore_errors=True)
            start_s = time.perf_counter()
            shutil.rmtree(folder)
            emit(CheckpointDeleted(save_number, time.perf_counter() - start_s))

        self._host.do(work, self._stalls, self._host.emit)


def end_if_gone(emit: Emit, storage: Failure | None) -> None:
    """End the run if its storage is gone, since all other trials would fail, too. For a child.

    Args:
        emit: Sends an event to the worker.
        storage: What is wrong with the storage, if anything is.
    """
    if storage is not None and not is_full(storage):
        emit(RunRefused(msgspec.structs.replace(storage, ours=True)))


def expected_save_bytes(plan: Plan, method: str, model: Model) -> int:
    """How much a save will probably write; only progress bars use it."""
    optimizations = plan.optimizations(method)
    if optimizations is None or optimizations.codec is None or model.gzip_ratio is None:
        return model.logical_bytes
    return round(model.logical_bytes * model.gzip_ratio)


def check_device(device: str) -> None:
    """Refuse a device that is not there. For a child: it may initialise CUDA.

    Raises:
        RequestError: If no such device can be.
        UnavailableError: If it is not here.
    """
    import torch

    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (number.isdecimal() and kind == "cuda")):
        raise RequestError(f"there is no device {device!r}", "choose cpu, cuda or cuda:N")
    if kind == "cpu":
        return
    if not torch.cuda.is_available():
        raise UnavailableError(f"there is no device {device!r}, torch sees no GPU", "choose --device cpu")
    if int(number or 0) >= torch.cuda.device_count():
        raise UnavailableError(
            f"there is no device {device!r}", f"choose from cuda:0 to cuda:{torch.cuda.device_count() - 1}"
        )
