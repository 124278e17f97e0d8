"""A run and its trials: what was planned, where it happened, and what came out."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from state.model import Model
from state.needs import MemoryPlan
from state.plan import LIMIT, OPERATIONS, Operation, Plan
from state.run.environment import Environment
from state.schedule import Trial

SCHEMA_VERSION: Final = 1

TrialStatus = Literal["queued", "running", "done", "failed", "cancelled"]
RunStatus = Literal["running", "finished", "cancelled", "refused"]
CacheState = Literal["cold", "warm", "unknown"]
#: What is known of the memory that a trial filled: see `backends.measuring.memory_at_hand`.
MemoryState = Literal["at hand", "partly at hand", "as found", "unknown"]

#: States that a trial never leaves.
FINAL: Final[frozenset[TrialStatus]] = frozenset({"done", "failed", "cancelled"})


class Cost(msgspec.Struct, frozen=True):
    """What one trial took besides time. Everything is counted from the start of the clock to its end.

    Attributes:
        cpu_s: Processor seconds of all its threads.
        peak_rss_bytes: Highest resident memory of the process: libraries, copies, for a save the model; None where
            the system cannot set a peak back.
        extra_rss_bytes: How far that is above what was resident when the clock started, likewise.
        device_write_bytes: Bytes of pages that the process made dirty for the device to write, whether that came about
            under the clock (durable) or later (buffered); None where unknown.
        device_read_bytes: Bytes that the device delivered; None where unknown.
    """

    cpu_s: float
    peak_rss_bytes: int | None = None
    extra_rss_bytes: int | None = None
    device_write_bytes: int | None = None
    device_read_bytes: int | None = None


class SaveResult(msgspec.Struct, frozen=True, tag="save"):
    """One measured save.

    Attributes:
        returned_s: Until the library's call came back.
        durable_s: Until every file and folder was synced; None under the ``buffered`` policy.
        cost: Processor, memory and device traffic.
        stored_bytes: Bytes of all files of the checkpoint.
        file_count: Number of files.
        spec: What the method was told to do, in its own terms.
        stages_s: Time of each stage around the clock: warm-up, settle, measure and so on.
        settled: Whether the disk was quiet before the clock started.
        disturbed_by: Other runs that went on beside it on the same file system.
        delete_s: Time to delete the checkpoint afterwards, or None before that happened.
        stall_s: Until the training loop could have gone on and changed the tensors, which it then did to some of them;
            None for a method that does not let it, whose stall is the whole save.
        parts_s: What the method says its parts took, summed over threads (`backends.methods.base.Method.parts_s`).
        memory: Whether what it fills was free and backed by the machine when the clock started.
        memory_missing_bytes: How much of it was not, as far as anybody knows.
    """

    returned_s: float
    durable_s: float | None
    cost: Cost
    stored_bytes: int
    file_count: int
    spec: dict[str, Any]
    stages_s: dict[str, float] = {}
    settled: bool = True
    disturbed_by: tuple[str, ...] = ()
    delete_s: float | None = None
    stall_s: float | None = None
    parts_s: dict[str, float] = {}
    memory: MemoryState = "unknown"
    memory_missing_bytes: int = 0

    @property
    def time_s(self) -> float:
        """The time that counts: durable if the policy asks for it, else returned."""
        return self.returned_s if self.durable_s is None else self.durable_s


class LoadResult(msgspec.Struct, frozen=True, tag="load"):
    """One measured load whose tensors were compared bit for bit with the source.

    Attributes:
        loaded_s: Until every byte was in memory of its own on the target device.
        cache: State of the page cache that was proven, not the one that was asked for.
        resident_bytes: Bytes of the checkpoint that were in memory before the clock; None where it cannot be seen.
        caches_dropped: Whether the system's whole page cache was dropped, directory entries too.
        cost: Processor, memory and device traffic.
        stages_s: Time of each stage around the clock.
        settled: Whether the disk was quiet before the clock started.
        disturbed_by: Other runs that went on beside it on the same file system.
        spec: What the limit's reader chose; of a method a ``note`` at most, since its save says the rest.
        parts_s: As of a save.
        memory: As of a save.
        memory_missing_bytes: As of a save.
    """

    loaded_s: float
    cache: CacheState
    resident_bytes: int | None
    caches_dropped: bool
    cost: Cost
    stages_s: dict[str, float] = {}
    settled: bool = True
    disturbed_by: tuple[str, ...] = ()
    spec: dict[str, Any] = {}
    parts_s: dict[str, float] = {}
    memory: MemoryState = "unknown"
    memory_missing_bytes: int = 0

    @property
    def time_s(self) -> float:
        """The time that counts."""
        return self.loaded_s


Result = SaveResult | LoadResult


class Failure(msgspec.Struct, frozen=True):
    """Why a trial has no result.

    Attributes:
        what: What happened, in one sentence without a full stop.
        do: What to try.
        log: The last lines that the trial wrote, perhaps with a traceback.
        ours: Whether the program is at fault, and not the request.
    """

    what: str
    do: str = ""
    log: str = ""
    ours: bool = False


class TrialRecord(msgspec.Struct, frozen=True):
    """A trial of the schedule with its state.

    Attributes:
        trial: What is measured.
        status: How far it is.
        result: What came out.
        failure: Why nothing came out.
        run_id: The run that measured it, where that is another than the one that it stands in.
    """

    trial: Trial
    status: TrialStatus = "queued"
    result: Result | None = None
    failure: Failure | None = None
    run_id: str = ""


class Limits(msgspec.Struct, frozen=True):
    """What a machine gives at most; None where it was not measured.

    Rates are raw bytes of tensors over time; those of codecs and copies are of one core.

    Attributes:
        write_bytes_per_s: The storage device, from a plain aligned writer of the model's bytes under the run's rules.
        read_bytes_per_s: The same for a reader.
        memory_copy_bytes_per_s: Copying from memory to memory.
        gzip_bytes_per_s: Encoding the run's tensors with gzip level 1.
        zstd_bytes_per_s: Encoding them with zstd level 1.
        codec_encode_bytes_per_s: Encoding them with the run's own codec.
        codec_decode_bytes_per_s: Decoding them again.
        file_write_s: Making one small file, and syncing it under the durable policy.
        file_read_s: Opening and reading one small file, cold unless the run's loads are warm.
        device_to_host_bytes_per_s: From the GPU into pinned memory.
        host_to_device_bytes_per_s: From pinned memory to the GPU.
        device_to_host_pageable_bytes_per_s: From the GPU into ordinary memory.
        host_to_device_pageable_bytes_per_s: From ordinary memory to the GPU.
    """

    write_bytes_per_s: float | None = None
    read_bytes_per_s: float | None = None
    memory_copy_bytes_per_s: float | None = None
    gzip_bytes_per_s: float | None = None
    zstd_bytes_per_s: float | None = None
    codec_encode_bytes_per_s: float | None = None
    codec_decode_bytes_per_s: float | None = None
    file_write_s: float | None = None
    file_read_s: float | None = None
    device_to_host_bytes_per_s: float | None = None
    host_to_device_bytes_per_s: float | None = None
    device_to_host_pageable_bytes_per_s: float | None = None
    host_to_device_pageable_bytes_per_s: float | None = None


class Run(msgspec.Struct, frozen=True):
    """All trials started by one request.

    Attributes:
        run_id: Unique name, sortable by time.
        created_at: When it started, in ISO 8601 with the time zone.
        plan: What was asked for.
        environment: Where it happened.
        records: Every trial of the schedule, in its order; the limit's are among them.
        model: The tensors' table, once known.
        memory: What it takes of memory at most, as planned.
        limits: What was measured of the machine before the trials. The device's own limit is in the records, see
            `state.run.limits.limits_of`.
        limits_failure: Why that was not measured, if it failed.
        other_limits: Run -> its `limits`, for rows that were taken from other runs.
        status: How far the run has come.
        refusal: Why it did not start, if it was refused.
        advice: What makes the numbers mean less than they seem to.
    """

    run_id: str
    created_at: str
    plan: Plan
    environment: Environment
    records: tuple[TrialRecord, ...]
    model: Model | None = None
    memory: MemoryPlan | None = None
    limits: Limits = Limits()
    limits_failure: Failure | None = None
    other_limits: dict[str, Limits] = {}
    status: RunStatus = "running"
    refusal: Failure | None = None
    advice: tuple[str, ...] = ()

    @property
    def has_results(self) -> bool:
        """Whether anything was measured of a method; the limit alone is no result."""
        return any(record.result is not None for record in self.records if record.trial.method != LIMIT)

    def measured(self, method: str) -> bool:
        """Whether a round of this method is complete: saved, loaded, verified."""
        done = {(r.trial.round, r.trial.operation) for r in self.records if r.trial.method == method and r.result}
        return any((number, "load") in done for number, operation in done if operation == "save")

    def of(self, method: str, operation: Operation) -> tuple[TrialRecord, ...]:
        """The records of one method and operation, in the order of the rounds."""
        return tuple(r for r in self.records if r.trial.method == method and r.trial.operation == operation)

    def times_s(self, method: str, operation: Operation) -> list[float]:
        """The times of one method and operation that can be trusted, in the order of the rounds."""
        return list(self.rounds_s(method, operation).values())

    def rounds_s(self, method: str, operation: Operation) -> dict[tuple[str, int], float]:
        """The same with the run and the round of each: two methods share a round only if one run measured both."""
        records = proven(self.of(method, "save"), self.of(method, "load"))[OPERATIONS.index(operation)]
        return {(r.run_id or self.run_id, r.trial.round): r.result.time_s for r in records if r.result is not None}

    @property
    def has_outcome(self) -> bool:
        """Whether anything came out, be it a failure; a run that was refused or stopped at once tells nothing."""
        return self.has_results or any(r.failure is not None for r in self.records if r.trial.method != LIMIT)

    def stopped(self) -> "Run":
        """The run as it stands when nothing of it goes on any more: what was not final is cancelled."""
        records = tuple(
            record if record.status in FINAL else msgspec.structs.replace(record, status="cancelled")
            for record in self.records
        )
        return msgspec.structs.replace(self, records=records, status="cancelled")


def proven(saves: Sequence[TrialRecord], loads: Sequence[TrialRecord]) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """The saves and loads that have a result, without the saves of rounds whose load failed or never came.

    Nobody knows what such a save wrote.
    """
    unproven = {record.trial.round for record in loads if record.status in ("failed", "cancelled")}
    saved = [r for r in saves if isinstance(r.result, SaveResult) and r.trial.round not in unproven]
    return saved, [r for r in loads if isinstance(r.result, LoadResult)]


def trusted(saves: Sequence[TrialRecord], loads: Sequence[TrialRecord]) -> tuple[list[SaveResult], list[LoadResult]]:
    """What came out of those."""
    saved, loaded = proven(saves, loads)
    return (
        [record.result for record in saved if isinstance(record.result, SaveResult)],
        [record.result for record in loaded if isinstance(record.result, LoadResult)],
    )
