"""One run inside the worker: look at the model, check, build it in sealed memory, then trial by trial in children."""

from pathlib import Path
from typing import Final

import msgspec

from backends.measuring.shared_model import Arena
from backends.process.child_work import Host, ask_child
from backends.process.children import Emit, Patience
from backends.process.failures import check_same, describe_exception, is_full, storage_failure
from backends.process.model_building import ModelCache, look_at_model, provide_model
from state.model import Model
from state.plan import LIMIT, Plan
from state.run.events import (
    CheckpointDeleted,
    MachineMeasured,
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
from state.schedule import schedule

_NOT_SAVED: Final = Failure("there is no checkpoint to load", "see why its save has no result")


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
            model, need = look_at_model(self._host, self._plan, self._todo)
            if all(self._schedule[number].method == LIMIT for number in self._todo):
                return  # every method has said why it cannot run, and the limit alone is no result
            arena = provide_model(self._host, self._models, self._plan, self._run_id, self._folder, model, need)
        if 0 in self._todo:
            self._measure_machine(arena)
        for number in range(len(self._schedule)):
            if number in self._todo:
                self._try(number, arena)

    def _measure_machine(self, arena: Arena) -> None:
        """What the machine gives besides the device. A run without it goes on and says so."""

        def work(emit: Emit) -> None:
            from backends.measuring.machine_limits import measure_machine

            try:
                emit(MachineMeasured(measure_machine(arena.views(), self._plan, self._folder)))
            except Exception as error:
                emit(MachineMeasured(Limits(), describe_exception(error)))

        found, failure = ask_child(self._host, work, self._stalls, (MachineMeasured,), self._host.emit)
        if found is None:
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
            if isinstance(event, TrialFinished) and isinstance(event.result, SaveResult):
                self._stored[trial.method] = event.result.stored_bytes
            self._host.emit(event)

        expected_bytes = expected_save_bytes(plan, trial.method, arena.model) if is_save else self._stored[trial.method]
        ended, failure = ask_child(
            self._host,
            work,
            Patience(plan.stall_timeout_s, plan.timeout_s),
            (TrialFinished, TrialFailed),
            on_event,
            lambda pid: self._host.emit(TrialStarted(number, pid, expected_bytes)),
        )
        if ended is None and failure is not None:
            self._host.emit(TrialFailed(number, failure))

            def look(emit: Emit) -> None:
                end_if_gone(emit, self._lost_storage())

            ask_child(self._host, look, self._stalls, (), on_event)
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
