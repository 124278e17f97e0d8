"""A run as rows: one per method, with its save and its load. This is what tables, charts and exports show.

The field names are the ones that scripts depend on; they stay.
"""

import math
from collections.abc import Sequence

import msgspec

from state.analysis.bottleneck import bottleneck
from state.analysis.rows import MethodResult, MethodStatus, OperationSummary
from state.optimizations import BASELINE
from state.plan import OPERATIONS, Operation
from state.run.limits import limits_of
from state.run.records import CacheState, Limits, LoadResult, MemoryState, Result, Run, SaveResult, TrialRecord, trusted
from state.stats.between_runs import ASSUMED
from state.stats.intervals import Estimate, factor, median_of, outliers, ratio, summarise
from state.stats.two_groups import two_groups
from state.stats.verdict import verdict


def _status(records: Sequence[TrialRecord]) -> MethodStatus:
    statuses = {record.status for record in records}
    for status in ("failed", "running", "cancelled"):
        if status in statuses:
            return status
    if statuses == {"done"}:
        return "done"
    return "running" if "done" in statuses else "queued"


def _cache(results: Sequence[Result]) -> CacheState | None:
    states = {result.cache for result in results if isinstance(result, LoadResult)}
    if not states:
        return None
    return states.pop() if len(states) == 1 else "unknown"


def _memory(results: Sequence[Result]) -> MemoryState:
    """The state that all rounds share; partly at hand is the worse half of at hand."""
    states = {result.memory for result in results}
    if states == {"at hand", "partly at hand"}:
        return "partly at hand"
    return states.pop() if len(states) == 1 else "unknown"


def _measured_by(run: Run, method: str) -> str:
    """The run that measured a method: its own name, but for rows that were combined from several."""
    return next((r.run_id for r in run.records if r.trial.method == method and r.run_id), run.run_id)


def _summarise(
    results: Sequence[Result],
    baseline: Sequence[Result],
    logical_bytes: int,
    limit_bytes_per_s: float | None,
    *,
    is_baseline: bool,
    same_run: bool,
) -> OperationSummary | None:
    samples, reference_s = [result.time_s for result in results], [result.time_s for result in baseline]
    summary = summarise(samples)
    if summary is None:
        return None
    speedup = factor(median_of(reference_s), summary.median)
    # A method is no faster than itself, with certainty.
    against = ratio(samples, reference_s) if speedup is not None and not is_baseline else None
    if against is not None and not same_run:
        against = ASSUMED.widen(against)
    faster = -against if against is not None else Estimate(0.0)
    rate_bytes_per_s = logical_bytes * len(samples) / sum(samples)
    saves = [result for result in results if isinstance(result, SaveResult)]
    groups = two_groups(samples)
    device = [r.cost.device_write_bytes if isinstance(r, SaveResult) else r.cost.device_read_bytes for r in results]
    return OperationSummary(
        samples_s=tuple(samples),
        median_s=summary.median,
        low_s=summary.low,
        high_s=summary.high,
        outliers=tuple(position + 1 for position in outliers(samples)),
        rate_bytes_per_s=rate_bytes_per_s,
        returned_median_s=median_of([result.returned_s for result in saves]),
        stall_median_s=median_of([result.stall_s for result in saves]),
        cache=_cache(results),
        peak_rss_bytes=max((peak for r in results if (peak := r.cost.peak_rss_bytes) is not None), default=None),
        extra_rss_bytes=max((extra for r in results if (extra := r.cost.extra_rss_bytes) is not None), default=None),
        cpu_s=median_of([result.cost.cpu_s for result in results]) or 0.0,
        device_bytes=median_of(device),
        limit_fraction=logical_bytes / limit_bytes_per_s / summary.median if limit_bytes_per_s else None,
        speedup_vs_tensorstore=speedup,
        speedup_low=math.exp(faster.low) if faster.low is not None else None,
        speedup_high=math.exp(faster.high) if faster.high is not None else None,
        verdict_vs_tensorstore=verdict(against) if against is not None else None,
        estimated=bool(reference_s) and not same_run,
        fast_group_s=groups.fast_s if groups is not None else None,
        slow_group_s=groups.slow_s if groups is not None else None,
        slow_group_rounds=groups.slow_count if groups is not None else None,
        memory=_memory(results),
        memory_missing_bytes=max(result.memory_missing_bytes for result in results),
    )


def method_results(run: Run) -> tuple[MethodResult, ...]:
    """One row per method of the plan, in the plan's order, whatever has been measured so far."""
    baseline_saves, baseline_loads = trusted(run.of(BASELINE, "save"), run.of(BASELINE, "load"))
    logical_bytes = run.model.logical_bytes if run.model else None
    sources = {method: _measured_by(run, method) for method in (BASELINE, *run.plan.methods)}
    limits_by_run = {run_id: limits_of(run, run_id) for run_id in set(sources.values())}
    rows = []
    for method in run.plan.methods:
        save_records, load_records = run.of(method, "save"), run.of(method, "load")
        saves, loads = trusted(save_records, load_records)
        run_id = sources[method]
        same_run = run_id == sources[BASELINE]
        limits, size_bytes = limits_by_run[run_id], logical_bytes or 0
        kind = {"is_baseline": method == BASELINE, "same_run": same_run}
        save = _summarise(saves, baseline_saves, size_bytes, limits.write_bytes_per_s, **kind)
        load = _summarise(loads, baseline_loads, size_bytes, limits.read_bytes_per_s, **kind)
        failures = [r.failure for r in (*save_records, *load_records) if r.failure is not None]
        saved = next(iter(saves), None)
        optimizations = run.plan.optimizations(method)
        failed_loads = any(record.status == "failed" for record in load_records)
        row = MethodResult(
            method=method,
            concurrency=optimizations.concurrency if optimizations else None,
            chunk_bytes=optimizations.chunk_bytes if optimizations else None,
            codec=str(optimizations.codec) if optimizations and optimizations.codec else None,
            status=_status((*save_records, *load_records)),
            error=failures[0].what if failures else None,
            verified=bool(loads) and not failed_loads,
            rounds_done=min(len(saves), len(loads)),
            save=save,
            load=load,
            logical_bytes=logical_bytes,
            stored_bytes=saved.stored_bytes if saved else None,
            file_count=saved.file_count if saved else None,
            delete_s=median_of([result.delete_s for result in saves]),
            spec=saved.spec if saved else None,
            run_id=run_id,
        )
        rows.append(msgspec.structs.replace(row, **{op: _bounded(row, op, limits, run) for op in OPERATIONS}))
    return tuple(rows)


def all_verified(run: Run) -> bool:
    """Whether every method was measured in every round and every load was bit for bit the source."""
    return all(result.status == "done" and result.verified for result in method_results(run))


def _bounded(row: MethodResult, operation: Operation, limits: Limits, run: Run) -> OperationSummary | None:
    """A method's saves or loads with what bounds them."""
    summary, bound = row.of(operation), bottleneck(row, operation, limits, run.plan, run.environment.cores)
    if summary is None or bound is None:
        return summary
    return msgspec.structs.replace(summary, bottleneck=bound.cause, bottleneck_words=bound.sentence)
