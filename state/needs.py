"""What a run needs of disk and memory, known before it starts, and whether there is room."""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from state.chunks import chunk_count
from state.errors import RequestError
from state.model import Model
from state.plan import OPERATIONS, Operation, Plan, chunk_shape
from state.units import MIB, format_bytes, size_argument

_FILE_OVERHEAD_BYTES: Final = 4096  # the last, partly filled block of each file
#: Python with torch, TensorStore, JAX and transformers, shared by the worker and its children, and the program itself:
#: 160 to 260 MB and their files' pages, by ``python -m bench.memory --size 300MB``.
_PROGRAM_BYTES: Final = 250 * 10**6


class MemoryNeed(msgspec.Struct, frozen=True):
    """Memory that a method takes beyond the model that is saved, as measured.

    Attributes:
        save_copies: While it saves, in models.
        load_copies: When it has loaded, in models: the loaded one is among them.
        in_flight_bytes: On the way, of models that are larger than this.
        page_cache_copies: Page cache that its files go through, in checkpoints: 1 for everybody who reads and writes
            files as usual, 0 past the page cache. The system can have it back, so it is in no plan; but a trial fills
            it, so it is at hand when the clock starts (`backends.measuring.memory_at_hand`).
    """

    save_copies: float = 0.0
    load_copies: float = 1.0
    in_flight_bytes: int = 64 * MIB
    page_cache_copies: float = 1.0

    def bytes_for(self, model_bytes: int, operation: Operation) -> int:
        """What one operation needs."""
        copies = self.save_copies if operation == "save" else self.load_copies
        return round(model_bytes * copies) + min(model_bytes, self.in_flight_bytes)

    def filled_bytes(self, model_bytes: int, checkpoint_bytes: int, operation: Operation) -> int:
        """Everything that one operation fills: its own memory, and the page cache that its files go through."""
        return self.bytes_for(model_bytes, operation) + round(self.page_cache_copies * checkpoint_bytes)


class MemoryPlan(msgspec.Struct, frozen=True):
    """What the whole program takes of memory at most.

    Attributes:
        model_bytes: The tensors that are saved.
        trial_bytes: What the trial that needs most takes beyond them.
        trial: Which one that is, for people.
        copies: Most models at a time of any trial.
        in_flight_bytes: Most on the way of any.
        program_bytes: All else.
    """

    model_bytes: int
    trial_bytes: int
    trial: str
    copies: float = 2.0
    in_flight_bytes: int = 64 * MIB
    program_bytes: int = _PROGRAM_BYTES

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.model_bytes + self.trial_bytes + self.program_bytes

    def largest_bytes(self, available_bytes: int) -> int:
        """A model for which there would be room whatever trial then takes most."""
        return int((available_bytes - self.program_bytes - self.in_flight_bytes) / self.copies)


class Needs(msgspec.Struct, frozen=True):
    """What a run will take at most, estimated before it starts.

    Attributes:
        disk_bytes: Of the largest single checkpoint: only one lies on the disk at a time.
        files: In it.
        memory: Of the whole program.
    """

    disk_bytes: int
    files: int
    memory: MemoryPlan


def needs(plan: Plan, model: Model, memory: Mapping[str, MemoryNeed]) -> Needs:
    """Disk, files and memory for a run.

    A codec may not shrink random bits, so compression is not counted on.

    Args:
        plan: What is measured.
        model: The table.
        memory: Method -> what it takes.
    """
    arrays = len(model.tensors)
    files, disk_bytes = 1, model.logical_bytes + _FILE_OVERHEAD_BYTES  # the limit's one file
    for method in plan.methods:
        optimizations = plan.optimizations(method)
        method_files, padded_bytes = 2, model.logical_bytes
        if optimizations is not None:
            counts = {t.name: chunk_count(t.shape, chunk_shape(t, optimizations.chunk_bytes)) for t in model.tensors}
            # A chunk at the edge is stored whole: zarr v2 pads it.
            padded_bytes = sum(
                counts[t.name] * math.prod(chunk_shape(t, optimizations.chunk_bytes)) * t.item_bytes
                for t in model.tensors
            )
            method_files = sum(counts.values()) + 2 * arrays + 2  # chunks, a folder and .zarray each, the index
        files = max(files, method_files)
        disk_bytes = max(disk_bytes, padded_bytes + method_files * _FILE_OVERHEAD_BYTES)
    return Needs(disk_bytes, files, _memory_plan(model, memory))


def _memory_plan(model: Model, memory: Mapping[str, MemoryNeed]) -> MemoryPlan:
    size_bytes, everything = model.logical_bytes, {**memory, "the limit": MemoryNeed()}
    trials = {
        f"{'saving' if operation == 'save' else 'loading'} with {method}": need.bytes_for(size_bytes, operation)
        for method, need in everything.items()
        for operation in OPERATIONS
    }
    most = max(trials, key=lambda trial: trials[trial])
    return MemoryPlan(
        size_bytes,
        trials[most],
        most,
        copies=1 + max(max(need.save_copies, need.load_copies) for need in everything.values()),
        in_flight_bytes=max(need.in_flight_bytes for need in everything.values()),
    )


class Room(msgspec.Struct, frozen=True):
    """What the storage folder and the machine have free. None: the file system sets no limit, or tells none."""

    disk_bytes: int
    files: int | None
    memory_bytes: int


def shortage(need: Needs, room: Room, plan: Plan, model: Model) -> RequestError | None:
    """The reason why a run must not start, with figures, or None if there is room."""
    short: list[tuple[str, str]] = []
    if need.disk_bytes > room.disk_bytes:
        short.append(
            (
                f"{plan.storage} has {format_bytes(room.disk_bytes)} free and the run needs up to "
                f"{format_bytes(need.disk_bytes)}",
                "free some space, choose another --storage, or a smaller --size",
            )
        )
    if room.files is not None and need.files > room.files:
        short.append(
            (
                f"{plan.storage} has {room.files:,} inodes free and the run needs up to {need.files:,} files",
                "choose another --storage, a smaller --size, or leave out the methods with 64x64 tiles",
            )
        )
    memory = need.memory
    if memory.total_bytes > room.memory_bytes:
        short.append(
            (
                f"{format_bytes(room.memory_bytes)} of memory are available and the run needs about "
                f"{format_bytes(memory.total_bytes)} (the model {format_bytes(memory.model_bytes)}, {memory.trial} "
                f"{format_bytes(memory.trial_bytes)}, the program {format_bytes(memory.program_bytes)})",
                f"choose a preset with a --size up to {_largest_size(memory, room, model)}, or close other programs",
            )
        )
    if not short:
        return None
    return RequestError("; ".join(what for what, _ in short), short[-1][1])


def _largest_size(memory: MemoryPlan, room: Room, model: Model) -> str:
    """Weights of the same kind for which there would be room, in whole MB."""
    share = model.weights_bytes / model.logical_bytes
    size_bytes = max(0, int(memory.largest_bytes(room.memory_bytes) * share))
    return size_argument(max(10**6, size_bytes // 10**6 * 10**6))
