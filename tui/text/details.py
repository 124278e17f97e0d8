"""Everything about one method, as plain lines that can be copied."""

from collections.abc import Collection, Iterator

from state.analysis.rows import MethodResult, OperationSummary
from state.analysis.words import groups_words, memory_state_words, speedup_range
from state.export.json import pretty
from state.optimizations import BASELINE
from state.plan import OPERATIONS
from state.run.records import LoadResult, Run, SaveResult, TrialRecord
from state.units import format_bytes, format_rate, format_seconds, format_share


def details(run: Run, result: MethodResult, page: str = "") -> str:
    """Samples, stages, costs, proof, specification and failures of a method, and then its help page."""
    return "\n".join([*_lines(run, result), *(("", "ABOUT THE METHOD", page) if page else ())]).strip()


def _lines(run: Run, result: MethodResult) -> Iterator[str]:
    yield f"{result.method}, measured by run {result.run_id}"
    reason = (
        f": {result.error}" if result.error else ", every load was bit for bit the source" if result.verified else ""
    )
    yield f"state: {result.status}{reason}"
    if result.logical_bytes is not None:
        yield f"tensors: {format_bytes(result.logical_bytes)}"
    if result.stored_bytes is not None:
        count = result.file_count or 0
        yield f"on disk: {format_bytes(result.stored_bytes)} in {count:,} {'file' if count == 1 else 'files'}"
    if result.delete_s is not None:
        yield f"to delete: {format_seconds(result.delete_s)} s"
    for operation in OPERATIONS:
        summary = result.of(operation)
        yield ""
        yield f"{operation.upper()}"
        if summary is not None:
            yield from _summary(summary)
        apart = {summary.samples_s[position - 1] for position in summary.outliers} if summary is not None else set()
        for record in run.records:
            if record.trial.method == result.method and record.trial.operation == operation:
                yield from _trial(record, apart)
    if run.advice:
        yield ""
        yield "WHAT WEAKENS THESE NUMBERS"
        yield from (f"  ! {sentence}" for sentence in run.advice)
    if result.spec is not None:
        yield ""
        yield "WHAT THE LIBRARY WAS TOLD"
        specification = pretty(result.spec).decode()
        yield from (f"  {line}" for line in specification.splitlines())


def _summary(summary: OperationSummary) -> Iterator[str]:
    """Median, interval, what it is against the baseline and against the limit."""
    interval = "no interval: it takes three rounds"
    if summary.low_s is not None and summary.high_s is not None:
        interval = f"95 % interval {format_seconds(summary.low_s)} to {format_seconds(summary.high_s)}"
    if summary.stall_median_s is not None:
        stall, returned = format_seconds(summary.stall_median_s), format_seconds(summary.returned_median_s or 0.0)
        yield f"  training stands still for {stall} s, the save returns after {returned} s (medians)"
    yield f"  median {format_seconds(summary.median_s)} s ({interval}), {format_rate(summary.rate_bytes_per_s)}"
    if memory := memory_state_words(summary):
        yield f"  memory {memory} when the clock started"
    if groups := groups_words(summary):
        yield f"  these times fall into two groups: {groups}"
    if summary.speedup_vs_tensorstore is not None and summary.verdict_vs_tensorstore is not None:
        yield f"  against {BASELINE}: {speedup_range(summary)}, {summary.verdict_vs_tensorstore}"
    if summary.limit_fraction is not None:
        yield f"  {format_share(summary.limit_fraction)} of the limit, which a plain file of the same bytes reached"
    if summary.bottleneck_words is not None:
        yield f"  bounded by {summary.bottleneck_words}"


def _trial(record: TrialRecord, apart: Collection[float]) -> Iterator[str]:
    start = f"  round {record.trial.round}:"
    if record.failure is not None:
        yield f"{start} FAILED: {record.failure.what}"
        if record.failure.do:
            yield f"    to try: {record.failure.do}"
        if record.failure.log:
            yield "    the end of its log:"
            yield from (f"      {line}" for line in record.failure.log.splitlines())
        return
    if record.result is None:
        yield f"{start} {record.status}"
        return
    result, cost = record.result, record.result.cost
    notes = "" if result.settled else " (the disk was not quiet)"
    if result.time_s in apart:
        notes += " (stands far apart from the other rounds)"
    yield f"{start} {format_seconds(result.time_s)} s{notes}"
    match result:
        case SaveResult():
            if result.stall_s is not None:
                yield f"    training went on after {format_seconds(result.stall_s)} s; what it changed was not saved"
            if result.durable_s is not None:
                returned = f"    the call returned after {format_seconds(result.returned_s)} s"
                yield f"{returned}, then we synced what it had left, its folder at least"
        case LoadResult():
            resident = "unknown" if result.resident_bytes is None else format_bytes(result.resident_bytes)
            yield f"    cache {result.cache}: {resident} of the checkpoint in memory before the clock"
    if note := result.spec.get("note"):
        yield f"    {note}"
    traffic = (
        f"device wrote {format_bytes(cost.device_write_bytes)}"
        if isinstance(result, SaveResult) and cost.device_write_bytes is not None
        else f"device read {format_bytes(cost.device_read_bytes)}"
        if cost.device_read_bytes is not None
        else "device traffic unknown"
    )
    memory = "memory unknown"
    if cost.extra_rss_bytes is not None:
        with_model = " (the loaded model is a part)" if isinstance(result, LoadResult) else ""
        memory = f"{format_bytes(cost.extra_rss_bytes)} more memory{with_model}"
    yield f"    {format_seconds(cost.cpu_s)} s of processor time, {memory}, {traffic}"
    stages = ", ".join(f"{stage} {format_seconds(time_s)}" for stage, time_s in result.stages_s.items())
    yield f"    stages, s: {stages}"
    if result.parts_s:
        parts = ", ".join(f"{part} {format_seconds(time_s)}" for part, time_s in result.parts_s.items())
        yield f"    of the measured time, s over all threads: {parts}"
