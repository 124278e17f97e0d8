"""A run as CSV: a row per method and operation, or per trial."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from state.analysis.results import method_results
from state.analysis.rows import OperationSummary
from state.run.records import LoadResult, Run, SaveResult

_METHOD_COLUMNS: Final = ("method", "concurrency", "chunk_bytes", "codec", "status", "error", "verified")
_SIZE_COLUMNS: Final = ("logical_bytes", "stored_bytes", "file_count", "delete_s")
_OPERATION_COLUMNS: Final = OperationSummary.__struct_fields__


def to_csv(run: Run) -> bytes:
    """One row per method and operation. Samples stand in one cell, separated by spaces."""
    rows = []
    for result in method_results(run):
        shared = msgspec.structs.asdict(result)
        for operation, summary in (("save", result.save), ("load", result.load)):
            figures = msgspec.structs.asdict(summary) if summary else {}
            figures |= {name: " ".join(map(str, figures.get(name, ()))) for name in ("samples_s", "outliers")}
            rows.append({**shared, **figures, "operation": operation})
    return _csv(("run_id", *_METHOD_COLUMNS, "operation", *_OPERATION_COLUMNS, *_SIZE_COLUMNS), rows)


_COST_COLUMNS: Final = ("cpu_s", "peak_rss_bytes", "extra_rss_bytes", "device_write_bytes", "device_read_bytes")
_STAGES: Final = ("warm-up", "settle", "evict", "memory", "measure", "sync", "size", "verify")
_SAMPLE_COLUMNS: Final = (
    *("run_id", "trial", "round", "method", "operation", "concurrency", "chunk_bytes", "codec", "status", "error"),
    *("time_s", "returned_s", "durable_s", "loaded_s", "cache", "resident_bytes", "caches_dropped", "settled"),
    *_COST_COLUMNS,
    *("logical_bytes", "stored_bytes", "file_count", "delete_s"),
    *(f"{stage.replace('-', '_')}_stage_s" for stage in _STAGES),
    "stall_s",
)


def to_samples_csv(run: Run) -> bytes:
    """One row per trial in the order of the schedule, with everything that was measured."""
    rows = []
    for number, record in enumerate(run.records):
        optimizations = run.plan.optimizations(record.trial.method)
        row: dict[str, Any] = {
            "run_id": record.run_id or run.run_id,
            "trial": number,
            **msgspec.structs.asdict(record.trial),
            "status": record.status,
            "error": record.failure.what if record.failure else None,
            "logical_bytes": run.model.logical_bytes if run.model else None,
        }
        if optimizations is not None:
            row |= msgspec.structs.asdict(optimizations)
        match record.result:
            case SaveResult() | LoadResult() as result:
                row |= msgspec.structs.asdict(result) | msgspec.structs.asdict(result.cost)
                row |= {f"{stage.replace('-', '_')}_stage_s": time_s for stage, time_s in result.stages_s.items()}
                row["time_s"] = result.time_s
        rows.append(row)
    return _csv(_SAMPLE_COLUMNS, rows)


def _csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as RFC 4180 has them, true and false as in JSON, an empty cell for what is not known."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(columns), extrasaction="ignore", restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: str(v).lower() if isinstance(v, bool) else v for name, v in row.items()})
    return buffer.getvalue().encode()
