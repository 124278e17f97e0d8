"""The model of a run: looked at, held against what there is, and built in sealed memory; each in a child."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from backends.measuring.shared_model import Arena
from backends.process.child_work import Host, RefusedError, ask_child
from backends.process.children import Emit, Patience
from backends.process.failures import describe_exception
from backends.storage.folder import room
from state.errors import RequestError, StorageError, UnavailableError
from state.model import Model
from state.needs import MemoryNeed, Needs, needs, shortage
from state.plan import Plan
from state.run.events import (
    ModelBuilding,
    ModelReady,
    RunRefused,
    TrialFailed,
    WorkerEvent,
)
from state.run.records import Failure
from state.schedule import schedule

_Answer = TypeVar("_Answer", bound=WorkerEvent)


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


def look_at_model(host: Host, plan: Plan, todo: set[int]) -> tuple[Model, Needs]:
    """The model's table, and what a run on it needs.

    Args:
        host: The worker.
        plan: Of the run.
        todo: The trials that are to be measured; those of methods that cannot take the model fail, and are taken out.

    Raises:
        RefusedError: If the run cannot start.
    """

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
                for number, trial in enumerate(schedule(plan)):
                    if trial.method == method:
                        emit(TrialFailed(number, failure))
        emit(ModelBuilding(model, needs(plan, model, memory)))

    def on_event(event: WorkerEvent) -> None:
        if isinstance(event, TrialFailed):
            if event.trial not in todo:
                return
            todo.discard(event.trial)
        host.emit(event)

    seen = _ask_or_refuse(host, plan, look, ModelBuilding, on_event, "looks at the model")
    return seen.model, seen.needs


def provide_model(
    host: Host, models: ModelCache, plan: Plan, run_id: str, folder: Path, model: Model, need: Needs
) -> Arena:
    """The model's tensors in shared memory, from the last run if they are the same.

    Args:
        host: The worker.
        models: Where the tensors of the last run may still be, and those of this one will be.
        plan: Of the run.
        run_id: Its name.
        folder: Its scratch folder.
        model: The table of the tensors.
        need: What the run needs.

    Raises:
        RefusedError: If there is not enough memory or room, or the tensors did not come.
    """
    key = (model, plan.seed)
    kept = models.get(key)
    if kept is None:
        models.clear()  # another model's memory is free by now
    try:
        free = room(folder)
    except (OSError, StorageError) as error:
        raise RefusedError(describe_exception(error)) from error
    if kept is not None:
        free = msgspec.structs.replace(free, memory_bytes=free.memory_bytes + model.logical_bytes)
    short = shortage(need, free, plan, model)
    if short is not None:
        raise RefusedError(Failure(short.what, short.do))
    if kept is not None:
        models.put(key, run_id, kept)
        host.emit(ModelReady(kept.model, build_s=0.0))
        return kept
    try:
        arena = _build(host, plan, model)
    except OSError as error:
        raise RefusedError(describe_exception(error)) from error
    models.put(key, run_id, arena)
    return arena


def _build(host: Host, plan: Plan, model: Model) -> Arena:
    """The model's tensors in memory that nobody can change any more.

    Raises:
        RefusedError: If they did not come.
        OSError: If the system does not give the memory, or a process that helped to fill it does not let it go.
    """
    arena = Arena(model)
    try:
        arena.model = _fill(host, plan, arena)
        arena.seal()
    except BaseException:
        arena.close()
        raise
    return arena


def _fill(host: Host, plan: Plan, arena: Arena) -> Model:
    """Make the tensors, in a child; the table with what is known of them then."""
    model = arena.model

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

    return _ask_or_refuse(host, plan, fill, ModelReady, host.emit, "builds the model").model


def _ask_or_refuse(
    host: Host,
    plan: Plan,
    work: Callable[[Emit], None],
    answer: type[_Answer],
    on_event: Callable[[WorkerEvent], None],
    what: str,
) -> _Answer:
    """Ask a child what a run cannot go without; once more if the child is killed, or dies by itself.

    `what` says in words what the child does.

    Raises:
        RefusedError: If the child died both times; that is no fault of the request.
    """
    for _ in range(2):
        found, failure = ask_child(host, work, Patience(plan.stall_timeout_s), (answer,), on_event)
        if found is not None and failure is None:
            return found
    assert failure is not None
    what = f"the process that {what} did not come to its end, twice: {failure.what}"
    raise RefusedError(msgspec.structs.replace(failure, what=what, ours=True))


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
