"""What bounds a method: the storage device, the processor, the number of files, or the method itself.

Each cause is asked for the same thing: which part of the method's time would this job take at least, if nothing but
that cause took any, as the run's limits tell it? These parts are lower bounds of the time, measured apart from each
other, so they overlap and need not add up to one. The one that explains enough is named, in this order:

1. **Storage** (or the **page cache**, where saves are buffered or loads are warm): the checkpoint's bytes at its rate.
   It comes first, because no change of the method makes its bytes move faster; what else is close to the time hides
   behind it.
2. **CPU by the codec**, or **metadata**, whichever explains more: the tensors' bytes at the codec's single-core rate,
   on as many cores as the method uses, and the files at what one small file takes. Both name something that can be
   turned off. Making files costs processor time, too, so metadata goes before a busy processor.
3. **CPU by its clock**: the processor seconds that the trials really took, over those that the method could have taken.
   It is a witness rather than a cause: checksums, copies and the interpreter count as well.
4. **Metadata of methods with many files in flight**: one file at a time is all that was measured, and in flight files
   share journal commits, so this explains a time only after everything else has failed to.
5. **The method itself**: it waits for none of these. Usually that is work done one step after the other.
"""

import math
from typing import Final

import msgspec

from state.analysis.rows import Cause, MethodResult
from state.plan import Operation, Plan, through_cache
from state.run.records import Limits
from state.units import format_seconds

#: From here on a time is near the device's. Trials of the same kind differ by a quarter on a shared machine, and a
#: fifth of the time goes to opening, allocating and the last sync even where the device is the cause.
STORAGE_SHARE: Final = 0.7
#: A job measured on its own explains a time if it is most of it: nothing else can then be as much.
MOST: Final = 0.5
#: A processor counts as busy from here on: the rest is scheduling and the wait for the last block.
BUSY_SHARE: Final = 0.8


class Bottleneck(msgspec.Struct, frozen=True):
    """What bounds a save or a load.

    Attributes:
        cause: Its name.
        share: The part of the time that it explains, from 0; above 1 where overlapping hides some of it. For the
            method itself, what the strongest cause explains.
        sentence: It with its figures, without a full stop.
    """

    cause: Cause
    share: float
    sentence: str


def bottleneck(
    result: MethodResult, operation: Operation, limits: Limits, plan: Plan, cores: int | None
) -> Bottleneck | None:
    """What bounds a method's save or load.

    Args:
        result: The method's row.
        operation: Which half.
        limits: Those of the run that measured it (`state.run.limits.limits_of`).
        plan: For the rules of the run.
        cores: Of the machine, None if unknown.

    Returns:
        The cause, or None where the operation or the limits that it takes to tell were not measured, and on a GPU,
        whose transfers are not among the causes yet.
    """
    if plan.device != "cpu":
        return None
    saves = operation == "save"
    summary = result.of(operation)
    rate_bytes_per_s = limits.write_bytes_per_s if saves else limits.read_bytes_per_s
    if summary is None or not summary.median_s or not rate_bytes_per_s or cores is None:
        return None
    time_s, in_flight = summary.median_s, result.concurrency is not None
    used_cores = _used_cores(result, summary.cpu_s / time_s, cores)
    storage = (result.stored_bytes or 0) / rate_bytes_per_s / time_s
    busy = summary.cpu_s / used_cores / time_s
    codec = _codec_share(result, limits.codec_encode_bytes_per_s if saves else limits.codec_decode_bytes_per_s, time_s)
    file_s = limits.file_write_s if saves else limits.file_read_s
    metadata = (result.file_count or 0) * (file_s or 0.0) / time_s

    if storage >= STORAGE_SHARE:
        plain = "writer" if saves else "reader"
        cause: Cause = "page cache" if through_cache(plan, operation) else "storage"
        return Bottleneck(cause, storage, f"{cause}: {_percent(storage)} of what it gives a plain {plain}")
    if codec / used_cores >= MOST and (in_flight or codec >= metadata):
        share = codec / used_cores
        verb = "encoding" if saves else "decoding"
        words = f"CPU: {verb} {result.codec} on {_cores(used_cores)} explains {_percent(min(1.0, share))}"
        return Bottleneck("CPU", share, words)
    if metadata >= MOST and not in_flight:
        words = f"{_files(result, file_s)} explain {_percent(min(1.0, metadata))}"
        return Bottleneck("metadata", metadata, words)
    if busy >= BUSY_SHARE:
        words = (
            f"CPU: {format_seconds(summary.cpu_s)} s of processor time keep {_cores(used_cores)} {_percent(busy)} busy"
        )
        return Bottleneck("CPU", busy, words)
    if metadata >= MOST:
        words = f"{_files(result, file_s)}, one after the other, would take {metadata:.1f} times as long"
        return Bottleneck("metadata", metadata, words)
    if file_s is None:
        return None  # the files may be the cause
    parts = {"storage": storage, "the codec": codec / used_cores, "files": metadata, "the processor": busy}
    known = ", ".join(f"{name} {_percent(share)}" for name, share in parts.items() if share)
    return Bottleneck("the method itself", max(parts.values()), f"the method itself: of its time, {known}")


def _used_cores(result: MethodResult, busy_cores: float, cores: int) -> int:
    """The cores that a method could have computed on: as many as it has threads, which it says or its time betrays.

    Args:
        result: A method uses all cores if its concurrency is on, else those that its `spec` names as ``threads``.
        busy_cores: Processor time over time.
        cores: Of the machine.
    """
    if result.concurrency is not None:
        return cores
    threads = (result.spec or {}).get("threads", 1)
    told = threads if isinstance(threads, int) else 1
    # A clock that is read a little late must not make a second core out of one.
    return max(1, min(cores, max(told, math.ceil(busy_cores - 0.1))))


def _codec_share(result: MethodResult, rate_bytes_per_s: float | None, time_s: float) -> float:
    """The part of a time that one core takes for the codec; 0 without a codec."""
    if result.codec is None or not rate_bytes_per_s:
        return 0.0
    return (result.logical_bytes or 0) / rate_bytes_per_s / time_s


def _files(result: MethodResult, file_s: float | None) -> str:
    return f"metadata: {result.file_count or 0:,} files at {format_seconds(1000 * (file_s or 0.0))} ms each"


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
