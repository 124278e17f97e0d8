"""A row of results: what was measured of one method. Its field names are those of exported files, and stay."""

from typing import Literal

import msgspec

from state.plan import Operation
from state.run.records import CacheState, MemoryState
from state.stats.verdict import Verdict

MethodStatus = Literal["queued", "running", "done", "failed", "cancelled"]
#: What bounds a save or a load (`state.analysis.bottleneck`).
Cause = Literal["storage", "page cache", "CPU", "metadata", "the method itself"]


class OperationSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All rounds of one method's saves or loads.

    Attributes:
        samples_s: The time of every round in order: durable (or returned, if buffered) for saves.
        median_s: Their median.
        low_s: Lower end of the median's 95 % interval, or None with fewer than three rounds.
        high_s: Its upper end, likewise.
        outliers: Positions in `samples_s`, from 1, that stand apart from the others; they count like the others.
        rate_bytes_per_s: Logical bytes of all rounds over the time of all rounds.
        returned_median_s: Saves only: median time until the call came back.
        cache: Loads only: what was proven of the page cache; ``unknown`` if rounds differ.
        peak_rss_bytes: Largest of the rounds; None where unknown.
        extra_rss_bytes: Memory above what was resident at the start; largest of the rounds, likewise.
        cpu_s: Median processor seconds.
        device_bytes: Median bytes given to the device to write (save) or delivered by it (load); None where unknown.
        limit_fraction: Median time of the device's limit for the same bytes over this median: 1 is as fast as the
            device, above it fewer bytes were moved (compression). None where the limit was not measured.
        speedup_vs_tensorstore: Times faster than the `tensorstore` method (ratio of medians), or None without it.
        speedup_low: Lower end of the 95 % interval of that factor, or None without one.
        speedup_high: Its upper end, likewise.
        verdict_vs_tensorstore: What that interval shows, or None without the `tensorstore` method.
        estimated: Whether the speedup is an estimate, because its baseline was measured in another run.
        bottleneck: What bounds it: ``storage``, ``CPU``, ``metadata`` or ``the method itself``; None where the limits
            that it takes to tell were not measured.
        bottleneck_words: The same with its figures, in a sentence without a full stop.
        stall_median_s: Saves of asynchronous methods only: median time until the training loop could go on.
        memory: Whether what every round fills was at hand when its clock started; ``unknown`` if rounds differ.
        memory_missing_bytes: Most of it that was not, of any round.
        fast_group_s: Where the times fall into two groups, the median of the faster one; None where they do not.
        slow_group_s: The median of the slower one, likewise.
        slow_group_rounds: How many rounds are in that, likewise.
    """

    samples_s: tuple[float, ...]
    median_s: float
    low_s: float | None
    high_s: float | None
    outliers: tuple[int, ...] = ()
    rate_bytes_per_s: float
    returned_median_s: float | None = None
    cache: CacheState | None = None
    peak_rss_bytes: int | None
    extra_rss_bytes: int | None
    cpu_s: float
    device_bytes: float | None
    limit_fraction: float | None
    speedup_vs_tensorstore: float | None
    speedup_low: float | None = None
    speedup_high: float | None = None
    verdict_vs_tensorstore: Verdict | None = None
    estimated: bool = False
    bottleneck: Cause | None = None
    bottleneck_words: str | None = None
    stall_median_s: float | None = None
    fast_group_s: float | None = None
    slow_group_s: float | None = None
    slow_group_rounds: int | None = None
    memory: MemoryState = "unknown"
    memory_missing_bytes: int = 0


class MethodResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run says of one method.

    Attributes:
        method: Its name.
        concurrency: Value of the first switch, None if off or not of the TensorStore family.
        chunk_bytes: Value of the second switch, likewise.
        codec: Value of the third switch, likewise.
        status: ``done`` if every trial was measured, ``failed`` if any was not.
        error: The first failure, in one sentence.
        verified: Whether tensors were loaded and every load came back bit for bit.
        rounds_done: Rounds whose save and load are both measured.
        save: Its saves, or None. A save whose load failed is not among them: nobody knows what it wrote.
        load: Its loads, or None.
        logical_bytes: Bytes of the tensors.
        stored_bytes: Bytes of the checkpoint's files.
        file_count: Number of its files.
        delete_s: Median time to delete it.
        spec: What the method was told to do.
        run_id: The run that measured it.
    """

    method: str
    concurrency: int | None
    chunk_bytes: int | None
    codec: str | None
    status: MethodStatus
    error: str | None
    verified: bool
    rounds_done: int
    save: OperationSummary | None
    load: OperationSummary | None
    logical_bytes: int | None
    stored_bytes: int | None
    file_count: int | None
    delete_s: float | None
    spec: dict[str, object] | None
    run_id: str

    def of(self, operation: Operation) -> OperationSummary | None:
        """Its saves or its loads."""
        return self.save if operation == "save" else self.load
