"""The protocol of one trial: what happens before, under and after the clock. Runs in a process of its own.

Before: the tensors are resident, what is measured is warm, the disk is quiet, for a cold load no page of the checkpoint
is in memory, and everything that the trial fills is at hand. Under the clock: the call, and for a durable save
the syncing that the call does not do itself.
After: cost, sizes, proof and verification: of a load, that it gave the model; of a save, that it left it alone.

`Trial` is the protocol, whatever is measured; `MethodTrial` is that of a method. The device's limit goes through the
very same (`backends.measuring.device_limit`).
"""

import contextlib
import gc
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import torch

from backends.measuring import memory_at_hand
from backends.measuring.counters import Meter, io_counters, moved_bytes
from backends.measuring.shared_model import Arena
from backends.measuring.source_guard import Given
from backends.methods.base import AsynchronousMethod, Method
from backends.nested import NestedStateDict, flatten, nest
from backends.raw import form_of
from backends.storage import pagecache
from backends.storage.cold_proof import kept_below, prove
from backends.storage.folder import sync_path, sync_tree, tree_size
from backends.storage.pagecache import Residency
from backends.storage.scratch import neighbours
from backends.tensors import StateDict, VerificationError, verify
from state.errors import UnavailableError
from state.plan import Operation, Plan
from state.run.events import Phase
from state.run.records import LoadResult, MemoryState, SaveResult
from state.units import format_bytes

#: Called at the start of each phase with its name and the bytes moved so far.
Report = Callable[[Phase, int], None]

_EVICT_TRIES: Final = 5


class Trial(ABC):
    """One measured save or load.

    Args:
        plan: What to measure.
        operation: Which half.
        report: Told every phase.
        size_bytes: Of what is saved and loaded.
    """

    def __init__(self, plan: Plan, operation: Operation, report: Report, size_bytes: int) -> None:
        self._plan = plan
        self._operation: Operation = operation
        self._report = report
        self._size_bytes = size_bytes
        self._stages_s: dict[str, float] = {}
        self._stall_s: float | None = None  # whoever lets the training loop go on during a save says when

    # What is measured ----------------------------------------------------------------------------------------------

    @abstractmethod
    def _warm_up(self, folder: Path) -> None:
        """Come up: everything that is to be ready before the clock. May use `folder` and leaves nothing there."""

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Write the checkpoint into the empty folder. Under the clock."""

    @abstractmethod
    def _sync(self, folder: Path) -> None:
        """Put on the device what `_write` has not, as far as `folder` and its parent. Under the clock."""

    @abstractmethod
    def _read(self, folder: Path) -> None:
        """Read the checkpoint. Under the clock."""

    @abstractmethod
    def _verify_source(self) -> None:
        """See that `_write` left what it was given as it was.

        Raises:
            InputChangedError: If not.
        """

    @abstractmethod
    def _verify(self, folder: Path) -> None:
        """Compare what was read with the source.

        Raises:
            VerificationError: If a bit differs.
        """

    @abstractmethod
    def _spec(self) -> dict[str, Any]:
        """What was done, for the results."""

    def _parts_s(self) -> dict[str, float]:
        """What parts of the measured time were taken for, as far as anybody knows."""
        return {}

    @abstractmethod
    def _filled_bytes(self, checkpoint_bytes: int) -> int:
        """How much memory the operation fills under the clock, page cache included.

        Args:
            checkpoint_bytes: Of the files that it writes or reads.
        """

    @abstractmethod
    def _synchronise(self) -> None:
        """Wait for a device that works on its own."""

    # How it is measured --------------------------------------------------------------------------------------------

    @property
    def _durable(self) -> bool:
        return self._plan.durability == "durable"

    def save(self, folder: Path) -> SaveResult:
        """Measure a save into the new folder `folder`, and see that it changed nothing else.

        Raises:
            InputChangedError: If it changed what it was given.
        """
        with self._stage("warm-up"):
            self._report("warm-up", 0)
            self._warm_up(folder)
        folder.mkdir()
        settled = self._settle(folder)
        memory, missing_bytes = self._claim_memory(self._size_bytes)  # nobody knows yet how large its files will be
        meter = self._start()
        start_ns = time.perf_counter_ns()
        self._write(folder)
        self._synchronise()
        returned_ns = time.perf_counter_ns()
        if self._durable:
            self._report("sync", 0)  # costs microseconds of the time in which the device works
            self._sync(folder)
        durable_ns = time.perf_counter_ns()
        cost = meter.cost()
        returned_s = (returned_ns - start_ns) / 1e9
        durable_s = (durable_ns - start_ns) / 1e9 if self._durable else None
        self._stages_s |= {"measure": returned_s, "sync": (durable_ns - returned_ns) / 1e9}
        with self._stage("size"):
            stored_bytes, file_count = tree_size(folder)
        with self._stage("verify"):
            self._report("verify", 0)
            self._verify_source()
        return SaveResult(
            returned_s,
            durable_s,
            cost,
            stored_bytes,
            file_count,
            self._spec(),
            stages_s=self._stages_s,
            settled=settled,
            disturbed_by=neighbours(folder.parent),
            stall_s=self._stall_s,
            parts_s=self._parts_s(),
            memory=memory,
            memory_missing_bytes=missing_bytes,
        )

    def load(self, folder: Path) -> LoadResult:
        """Measure a load of the checkpoint in `folder` and compare it with the source.

        Raises:
            VerificationError: If a bit differs.
        """
        with self._stage("warm-up"):
            self._report("warm-up", 0)
            self._warm_up(folder)
        settled = self._settle(folder)
        stored_bytes, _ = tree_size(folder)
        if self._plan.cache == "warm":  # what is claimed later may push the checkpoint out of memory again
            memory, missing_bytes = self._claim_memory(stored_bytes)
        with self._stage("evict"):
            self._report("evict", 0)
            residency, caches_dropped = self._prepare_cache(folder)
        if self._plan.cache == "cold":
            memory, missing_bytes = self._claim_memory(stored_bytes)
        meter = self._start()
        start_ns = time.perf_counter_ns()
        self._read(folder)
        self._synchronise()
        loaded_s = (time.perf_counter_ns() - start_ns) / 1e9
        cost = meter.cost()
        self._stages_s["measure"] = loaded_s
        with self._stage("verify"):
            self._report("verify", 0)
            self._verify(folder)
        emptied = not kept_below(folder, caches_dropped=caches_dropped)
        cache = prove(stored_bytes, residency, cost.device_read_bytes, below_emptied=emptied)
        resident_bytes = residency.resident_bytes if residency else None
        return LoadResult(
            loaded_s,
            cache,
            resident_bytes,
            caches_dropped,
            cost,
            stages_s=self._stages_s,
            settled=settled,
            disturbed_by=neighbours(folder.parent),
            spec=self._spec(),
            parts_s=self._parts_s(),
            memory=memory,
            memory_missing_bytes=missing_bytes,
        )

    def _settle(self, folder: Path) -> bool:
        with self._stage("settle"):
            self._report("settle", 0)
            return pagecache.settle(folder)

    def _prepare_cache(self, folder: Path) -> tuple[Residency | None, bool]:
        """Bring the page cache into the state asked for; how much is resident, and whether all caches were dropped."""
        if self._plan.cache == "warm":
            pagecache.read_through(folder)
            return pagecache.residency(folder), False
        for _ in range(_EVICT_TRIES):
            pagecache.evict(folder)
            residency = pagecache.residency(folder)
            if residency is None or not residency.resident_bytes:
                break
        # To look at the pages, every file was opened: drop the directory entries and inodes that this brought back.
        return residency, pagecache.drop_caches()

    def _claim_memory(self, checkpoint_bytes: int) -> tuple[MemoryState, int]:
        """Have everything at hand that the trial fills, unless it shall be left as found; and how much is missing."""
        if self._plan.memory == "as-found":
            return "as found", 0
        with self._stage("memory"):
            filled_bytes = self._filled_bytes(checkpoint_bytes)
            missing_bytes = filled_bytes - memory_at_hand.claim(filled_bytes)
        return ("partly at hand", missing_bytes) if missing_bytes else ("at hand", 0)

    def _start(self) -> Meter:
        gc.collect()
        self._synchronise()
        self._report("measure", moved_bytes(io_counters(psutil.Process()), self._operation))
        return Meter()

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start_s = time.perf_counter()
        yield
        self._stages_s[name] = time.perf_counter() - start_s


class MethodTrial(Trial):
    """A trial of a method.

    Args:
        method: Made for the plan.
        arena: Where the model is. If its names are paths, a method that takes dictionaries in dictionaries gets them.
        plan: What to measure.
        operation: Which half.
        report: Told every phase.
    """

    def __init__(self, method: Method, arena: Arena, plan: Plan, operation: Operation, report: Report) -> None:
        super().__init__(plan, operation, report, arena.model.logical_bytes)
        self._method = method
        self._arena = arena
        device = torch.device(plan.device)
        # With its number, as tensors have it: what a method keeps for a device is then found again.
        self._device = torch.device(device.type, device.index or 0) if device.type == "cuda" else device
        self._nested = arena.model.nested and method.capabilities.nested
        self._given = Given({})
        self._loaded: NestedStateDict = {}

    def _warm_up(self, folder: Path) -> None:
        """One discarded save and load of a tiny model: lazy imports, thread pools and device contexts come up."""
        if self._device.type == "cuda":
            check_device_memory(self._size_bytes, self._device, *torch.cuda.mem_get_info(self._device))
        if self._operation == "save":  # a load has no way to the model before its clock has stopped
            self._given = self._give()
        tiny = {"warm-up": torch.zeros(2, 2, device=self._device)}
        trial_folder = folder.with_name(f"{folder.name}-warm-up")
        trial_folder.mkdir()
        self._method.save(tiny, trial_folder, durable=False)
        if self._operation == "load":
            self._method.load(trial_folder, self._device)
        else:
            self._method.tune(trial_folder, self._device, self._size_bytes)
        self._synchronise()
        shutil.rmtree(trial_folder)

    def _give(self) -> Given:
        source = self._arena.state_dict(resident=True)
        moved = {id(tensor): tensor.to(self._device) for tensor in source.values()}  # ties kept
        state = {name: moved[id(tensor)] for name, tensor in source.items()}
        given = Given(nest(state) if self._nested else state, nested=self._nested)
        if isinstance(self._method, AsynchronousMethod):
            given.prepare_turning_over()
        return given

    def _write(self, folder: Path) -> None:
        if not isinstance(self._method, AsynchronousMethod):
            self._method.save(self._given.state, folder, durable=self._durable)
            return
        start_ns = time.perf_counter_ns()
        finish = self._method.start(self._given.state, folder, durable=self._durable)
        self._synchronise()
        self._stall_s = (time.perf_counter_ns() - start_ns) / 1e9
        # As training would. What of it reaches the checkpoint, the load finds when it compares.
        self._given.turn_over()
        finish()

    def _sync(self, folder: Path) -> None:
        if self._method.capabilities.syncs_itself:
            sync_path(folder)
            sync_path(folder.parent)
        else:
            sync_tree(folder)

    def _verify_source(self) -> None:
        self._given.check(self._arena.state_dict(), self._device)

    def _read(self, folder: Path) -> None:
        self._loaded = self._method.load(folder, self._device)

    def _verify(self, folder: Path) -> None:
        loaded = flatten(self._loaded) if self._nested else dict(self._loaded)
        verify(loaded, self._arena.state_dict(), self._device)
        refuse_mapped(loaded, folder)

    def _spec(self) -> dict[str, Any]:
        spec = self._method.spec(durable=self._durable)
        return spec if self._operation == "save" else {key: spec[key] for key in spec if key == "note"}

    def _parts_s(self) -> dict[str, float]:
        return dict(self._method.parts_s())

    def _filled_bytes(self, checkpoint_bytes: int) -> int:
        need = self._method.memory(str(self._device))
        return need.filled_bytes(self._size_bytes, checkpoint_bytes, self._operation)

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def check_device_memory(size_bytes: int, device: torch.device, free_bytes: int, total_bytes: int) -> None:
    """Refuse a model for which a device has no room, before it is moved there.

    Raises:
        UnavailableError: With how much it needs and how much there is.
    """
    if size_bytes > free_bytes:
        raise UnavailableError(
            f"the model needs {format_bytes(size_bytes)} on {device}, which has {format_bytes(free_bytes)} of "
            f"{format_bytes(total_bytes)} free",
            "choose a smaller --size, or end other programs on that GPU",
        )


def refuse_mapped(loaded: StateDict, folder: Path) -> None:
    """Refuse tensors that are still mapped from the checkpoint: their bytes have not been read when the clock stops.

    Raises:
        VerificationError: If there is one.
    """
    mapped = pagecache.mapped_ranges(folder)
    for name, tensor in loaded.items():
        if any(form_of(tensor, name).address in addresses for addresses in mapped):
            raise VerificationError(f"tensor {name[:80]!r} is still mapped from the checkpoint, not loaded")
