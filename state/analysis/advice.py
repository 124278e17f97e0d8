"""What makes a run's numbers mean less than they seem to."""

from collections.abc import Iterator, Sequence

import msgspec

from state.analysis.results import method_results
from state.analysis.shaky_times import shaky
from state.model import Model
from state.plan import LIMIT, OPERATIONS, Plan
from state.run.environment import Environment
from state.run.records import LoadResult, Result, Run, SaveResult
from state.units import format_bytes, format_seconds

_LAYERED = {"overlay", "aufs", "fuse-overlayfs"}
_COMPRESSING = {"zfs", "squashfs", "erofs"}
_SYNC_KILLERS = ("eatmydata", "nosync", "libnosync", "nofsync")
SMALL_MODEL_BYTES = 30 * 10**6
#: What noise alone does not do.
_BEATEN = 1.5
#: Memory that came more slowly was not at hand: a GB that is takes two cores 0.04 to 0.2 s, one that a host had taken
#: back takes 1 to 3.5 s.
_AT_HAND_S_PER_GB = 0.5
#: Threads and noise take that long for however little memory.
_AT_HAND_S = 0.05


def advise(run: Run) -> Run:
    """The run with every sentence that belongs beside its numbers."""
    measured = [(record.trial, record.result) for record in run.records if record.result is not None]
    sentences = advice(run.environment, run.plan, run.model, [result for _, result in measured])
    return msgspec.structs.replace(
        run, advice=(*sentences, *_waited(run), *_unmeasured(run), *_beaten(run), *shaky(run.plan, measured))
    )


def advice(
    environment: Environment, plan: Plan, model: Model | None = None, results: Sequence[Result] = ()
) -> tuple[str, ...]:
    """Sentences about the place and the rules that make numbers mean less than they seem to.

    Args:
        environment: Where it happens.
        plan: What is measured.
        model: Its tensors, once known.
        results: What has been measured so far.
    """
    filesystem = environment.filesystem
    where = f"{environment.storage} is on {filesystem.type}"
    sentences: list[str] = []
    if filesystem.is_in_memory:
        sentences.append(f"{where}: this measures memory, not a disk. Choose a --storage folder on the disk you use.")
    if filesystem.type in _LAYERED:
        sentences.append(f"{where}, a layered file system: a mounted volume gives the disk's own numbers.")
    if filesystem.is_network:
        sentences.append(f"{where}, a network file system: server and network are part of every number.")
    compress = any(option.startswith("compress") for option in filesystem.options)
    if filesystem.type in _COMPRESSING or compress:
        sentences.append(f"{where}, which may compress by itself: sizes and the worth of codecs are distorted.")
    preload = environment.variables.get("LD_PRELOAD", "")
    if any(name in preload for name in _SYNC_KILLERS):
        sentences.append(f"LD_PRELOAD={preload} turns syncing off: durable times are not durable.")
    if plan.durability == "buffered":
        sentences.append("Saves are buffered: no time includes reaching the disk, and none survives a power cut.")
    if plan.cache == "warm":
        sentences.append("Loads are warm: they come from memory and say nothing about the disk.")
    if plan.memory == "as-found":
        sentences.append(
            "Memory is left as found: where a host has taken free memory back, times have its return in them, and who "
            "comes later finds more at hand."
        )
    missing_bytes = max((result.memory_missing_bytes for result in results), default=0)
    if missing_bytes:
        count = sum(result.memory_missing_bytes > 0 for result in results)
        sentences.append(
            f"Not all memory that {count} of {len(results)} trials filled was at hand when their clock started (up to "
            f"{format_bytes(missing_bytes)} were missing), so their times may have the wait for it in them. Close "
            "other programs, or choose a smaller --size."
        )
    if plan.cache == "cold" and environment.cache_below:
        sentences.append(
            f"{environment.storage} is on {environment.cache_below}: no load can be proven cold. Choose a --storage "
            "folder on a disk of this machine."
        )
    kept = any(isinstance(result, LoadResult) and not result.caches_dropped for result in results)
    if plan.cache == "cold" and (kept or not environment.can_drop_caches):
        sentences.append(
            "Only the checkpoint's pages are dropped before a cold load; directory entries may stay in memory, "
            "which favours methods with many files (run as root to drop those too)."
        )
    if model is not None and model.logical_bytes < SMALL_MODEL_BYTES:
        sentences.append(
            f"The model has only {format_bytes(model.logical_bytes)}: fixed costs dominate. "
            f"Choose one of at least {format_bytes(SMALL_MODEL_BYTES)}."
        )
    unsettled = sum(not result.settled for result in results)
    if unsettled:
        sentences.append(
            f"The disk was not quiet before {unsettled} of {len(results)} trials: other programs write to it, and "
            "share in these times."
        )
    if others := sorted({run_id for result in results for run_id in result.disturbed_by}):
        count = sum(bool(result.disturbed_by) for result in results)
        sentences.append(
            f"{', '.join(others)} went on beside {count} of {len(results)} trials on the same file system: the times "
            "of both are worth little. Run one after the other."
        )
    return tuple(sentences)


def _waited(run: Run) -> Iterator[str]:
    """Memory that the host had taken back, for which a trial waited before its clock and a fresh program would later.

    How much each trial filled is not recorded, so its wait is held against the most that any may fill.
    """
    if run.memory is None:
        return
    results = [record.result for method in run.plan.methods for record in run.of(method, "load")]
    loads = [result for result in results if result is not None and "memory" in result.stages_s]
    stored_bytes = max((r.result.stored_bytes for r in run.records if isinstance(r.result, SaveResult)), default=0)
    most_s = max(_AT_HAND_S, (run.memory.trial_bytes + stored_bytes) / 1e9 * _AT_HAND_S_PER_GB)
    waited_s = [time_s for load in loads if (time_s := load.stages_s["memory"]) > most_s]
    if waited_s:
        yield (
            f"This machine's host had taken free memory back: before the clock of {len(waited_s)} of {len(loads)} "
            f"loads it took up to {format_seconds(max(waited_s))} s to have it again. A fresh program would have "
            "waited for that while loading; --memory as-found shows it."
        )


def _beaten(run: Run) -> Iterator[str]:
    """A limit that methods leave far behind, although they move all of the bytes, is none."""
    results = method_results(run)
    for operation in OPERATIONS:
        shares = {
            result.method: summary.limit_fraction
            for result in results
            if (summary := result.of(operation)) is not None
            and summary.limit_fraction is not None
            and summary.limit_fraction > _BEATEN
            and (result.stored_bytes or 0) >= (result.logical_bytes or 0)
        }
        if shares:
            method = max(shares, key=lambda name: shares[name])
            yield (
                f"{method} took {1 / shares[method]:.2f} of the time that a plain file took to {operation}: the limit "
                f"was measured in slow moments, so shares of it mean nothing for {operation}s. Measure again, with "
                "more rounds."
            )


def _unmeasured(run: Run) -> Iterator[str]:
    limit = [record for record in run.records if record.trial.method == LIMIT]
    failures = [record.failure for record in limit if record.failure is not None]
    if failures:
        loaded = any(record.trial.operation == "load" and record.result is not None for record in limit)
        rest = "shares of it rest on fewer rounds than there were" if loaded else "no method's share of it is known"
        yield f"The device's limit was not measured{' in every round' * loaded} ({failures[0].what}): {rest}."
    if run.limits_failure is not None:
        yield (
            f"What the processor and the file system give was not measured ({run.limits_failure.what}): what bounds "
            "a method is known in part only."
        )
