"""Results as files: JSON, CSV (a row per method and operation, or per trial), Markdown, and a figure.

The suffix of the file's name decides. Field names are those of `state.analysis.results` and stay: scripts depend on
them. A file is written beside its final name and renamed, so nobody ever reads half of one.
"""

import csv
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from state.analysis.ranking import fastest, fastest_lines
from state.analysis.results import MethodResult, OperationSummary, method_results
from state.errors import ExportError, RequestError
from state.model import Model
from state.needs import MemoryPlan
from state.plan import OPERATIONS, Plan, through_cache
from state.run.environment import Environment
from state.run.limits import limits_of
from state.run.records import SCHEMA_VERSION, Failure, Limits, LoadResult, Run, RunStatus, SaveResult, TrialRecord
from state.stats.intervals import half_width, improvement
from state.units import (
    counted,
    format_bytes,
    format_change,
    format_factor,
    format_rate,
    format_seconds,
    format_share,
    size_argument,
)


def to_json(run: Run) -> bytes:
    """The whole run: plan, environment, one object per method, and every trial."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.run_id,
        "created_at": run.created_at,
        "status": run.status,
        "refusal": run.refusal,
        "plan": run.plan,
        "environment": run.environment,
        "model": run.model,
        "memory": run.memory,
        "limits": limits_of(run),
        "limits_failure": run.limits_failure,
        "other_limits": run.other_limits,
        "advice": run.advice,
        "results": method_results(run),
        "fastest": {operation: fastest(run, operation) for operation in OPERATIONS},
        "trials": run.records,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


class _Version(msgspec.Struct):
    """What says how to read the rest of a document."""

    schema_version: int


class _Document(msgspec.Struct):
    """What of a document is not derived from the rest."""

    run_id: str
    created_at: str
    plan: Plan
    environment: Environment
    trials: tuple[TrialRecord, ...]
    model: Model | None = None
    memory: MemoryPlan | None = None
    limits: Limits = Limits()
    limits_failure: Failure | None = None
    other_limits: dict[str, Limits] = {}
    status: RunStatus = "finished"
    refusal: Failure | None = None
    advice: tuple[str, ...] = ()


#: No trial is shorter than a tick of the clock or longer than thirty years.
_SHORTEST_S: Final = 1e-9
_LONGEST_S: Final = 1e9
_RUN_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")


def from_json(data: bytes) -> Run:
    """The run that `to_json` wrote.

    Raises:
        ExportError: If it is no such document, or one of a newer program.
        RequestError: If its plan is none that could be measured.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise ExportError(
                f"it was written by a newer ckpt-tui (schema {version}, this program reads up to {SCHEMA_VERSION})",
                "use the newer program",
            )
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExportError(f"it holds no run ({error})", "choose a .json file that ckpt-tui wrote") from None
    if not _RUN_ID.fullmatch(document.run_id):
        raise ExportError(f"{document.run_id[:40]!a} is no id of a run", "choose a .json file that ckpt-tui wrote")
    results = [record.result for record in document.trials if record.result is not None]
    if any(not _SHORTEST_S <= result.time_s <= _LONGEST_S for result in results):
        raise ExportError("a trial in it took no possible time", "choose a .json file that ckpt-tui wrote")
    if any(result.stored_bytes < 0 for result in results if isinstance(result, SaveResult)):
        raise ExportError("a checkpoint in it has less than no bytes", "choose a .json file that ckpt-tui wrote")
    fields = msgspec.structs.asdict(document)
    return Run(records=fields.pop("trials"), **fields)


def read_export(path: Path) -> Run:
    """The run in a .json file that `write_export` wrote.

    Raises:
        RequestError: If the file cannot be read, or holds none.
    """
    try:
        return from_json(path.read_bytes())
    except (OSError, ValueError) as error:  # a null byte in the name is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise ExportError(
            f"{str(path)!a} cannot be read ({reason})", "choose a .json file that ckpt-tui wrote"
        ) from None
    except RequestError as error:
        raise ExportError(f"{path} cannot be taken in: {error.what}", error.do) from None


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


def to_markdown(run: Run) -> bytes:
    """A table for a report, with what it takes to read it."""
    model, plan, environment = run.model, run.plan, run.environment
    rows = [dict(zip(TABLE_HEADINGS, cells, strict=True)) for cells in table_rows(run)]
    headings = [heading for heading in TABLE_HEADINGS if heading != STALL or any(row[STALL] for row in rows)]
    lines = [
        f"# Checkpoint run {run.run_id}",
        "",
        f"- Model: {model_line(run) if model else plan.model}",
        *([f"- Memory: {memory_words(run.memory)}"] if run.memory is not None else []),
        f"- Storage: {environment.storage} ({environment.filesystem.type}), saves {plan.durability}, "
        f"loads {plan.cache}, memory {plan.memory.replace('-', ' ')}, {rounds_words(plan.repeats)}, seed {plan.seed}, "
        f"device {plan.device}",
        f"- Limit: {limits_line(run) or 'not measured'}",
        f"- Machine: {environment.cpu}, {environment.cores} cores, {environment.system}, Python {environment.python}",
        f"- Libraries: {', '.join(f'{name} {version}' for name, version in environment.libraries.items())}",
        "",
        "| " + " | ".join(headings) + " |",
        "|" + "---|" * len(headings),
    ]
    lines += ["| " + " | ".join(row[heading].replace("|", r"\|") for heading in headings) + " |" for row in rows]
    lines += ["", *(f"- {sentence}" for sentence in fastest_lines(run, complete=True))]
    lines += ["", *(f"> {sentence}" for sentence in run.advice)]
    return ("\n".join(lines).rstrip() + "\n").encode()


def model_line(run: Run) -> str:
    """The model in one line, with what gzip makes of it; an estimate carries its mark."""
    model = run.model
    if model is None:
        return run.plan.model
    parts = [
        model.origin if f"{model.origin},".startswith(f"{model.name},") else f"{model.name} ({model.origin})",
        f"{len(model.tensors):,} tensors",
        f"{format_bytes(model.logical_bytes)} {', '.join(model.dtypes)}",
    ]
    if model.gzip_ratio is not None:
        parts.append(f"gzip leaves {'≈' if model.gzip_sampled else ''}{model.gzip_ratio:.0%}")
    return " · ".join(parts)


def memory_words(memory: MemoryPlan) -> str:
    """What the run takes of memory at most, and what for."""
    return (
        f"{format_bytes(memory.total_bytes)} at most, the model {format_bytes(memory.model_bytes)}, "
        f"{memory.trial} {format_bytes(memory.trial_bytes)}, the program {format_bytes(memory.program_bytes)}"
    )


#: Intervals wider than this each way are told by their ends.
WIDE: Final = 0.5
#: The column that only runs with asynchronous methods have.
STALL: Final = "stall s"
TABLE_HEADINGS: Final = (
    *(
        "method",
        "save s",
        STALL,
        "load s",
        "cache",
        "memory",
        "size",
        "files",
        "save vs tensorstore",
        "load vs tensorstore",
    ),
    *("of limit", "bound by", "extra memory", "state"),
)


def table_rows(run: Run) -> list[tuple[str, ...]]:
    """The cells under `TABLE_HEADINGS`, for people; one row per method."""
    return [
        (
            result.method,
            _time(result.save),
            _stall(result.save),
            _time(result.load),
            (result.load.cache or "") if result.load else "",
            _memory_state(result),
            format_bytes(result.stored_bytes) if result.stored_bytes is not None else "",
            f"{result.file_count:,}" if result.file_count is not None else "",
            _improvement(result.save),
            _improvement(result.load),
            limit_words(result),
            bound_words(result),
            _memory(result),
            state_words(result),
        )
        for result in method_results(run)
    ]


def _time(summary: OperationSummary | None) -> str:
    if summary is None:
        return ""
    median = format_seconds(summary.median_s)
    width = half_width(summary.low_s, summary.high_s)
    if width is None or summary.low_s is None or summary.high_s is None:
        return median
    if width > WIDE:  # "±259 %" would read as if times could be negative
        return f"{median} ({format_seconds(summary.low_s)}–{format_seconds(summary.high_s)})"
    return f"{median} ±{width:.0%}"


def groups_words(summary: OperationSummary) -> str:
    """``3 near 0.310 s and 2 near 0.460 s``, where times fall into two groups; else empty."""
    if summary.fast_group_s is None or summary.slow_group_s is None or summary.slow_group_rounds is None:
        return ""
    fast_rounds = len(summary.samples_s) - summary.slow_group_rounds
    fast, slow = format_seconds(summary.fast_group_s), format_seconds(summary.slow_group_s)
    return f"{fast_rounds} near {fast} s and {summary.slow_group_rounds} near {slow} s"


def memory_state_words(summary: OperationSummary) -> str:
    """``at hand``, ``as found``, or ``partly at hand (1.20 GB missing)``; empty where nobody knows."""
    if summary.memory == "unknown":
        return ""
    missing = f" ({format_bytes(summary.memory_missing_bytes)} missing)" if summary.memory_missing_bytes else ""
    return f"{summary.memory}{missing}"


def _memory_state(result: MethodResult) -> str:
    """Of save and load, once if they agree."""
    words = [memory_state_words(summary) for operation in OPERATIONS if (summary := result.of(operation)) is not None]
    return " / ".join(dict.fromkeys(filter(None, words)))


def _stall(summary: OperationSummary | None) -> str:
    stall_s = summary.stall_median_s if summary is not None else None
    return format_seconds(stall_s) if stall_s is not None else ""


def _memory(result: MethodResult) -> str:
    """What save and load took beyond what was there before: ``12.0 MB / 88.1 MB``; empty where it is not known.

    Of a load, the model that it made is a part.
    """
    extra_bytes = [s.extra_rss_bytes if s is not None else None for s in (result.save, result.load)]
    return "" if extra_bytes == [None, None] else " / ".join("?" if b is None else format_bytes(b) for b in extra_bytes)


def _improvement(summary: OperationSummary | None) -> str:
    if summary is None or summary.speedup_vs_tensorstore is None:
        return ""
    saved = format_change(improvement(summary.speedup_vs_tensorstore))
    if summary.speedup_low is None:
        return f"{speedup_words(summary)} ({saved})"
    return f"{speedup_range(summary)} ({saved if is_shown(summary) else summary.verdict_vs_tensorstore})"


def is_shown(summary: OperationSummary) -> bool:
    """Whether the interval says that it differs from TensorStore (or it is TensorStore); not without an interval."""
    return summary.verdict_vs_tensorstore in (None, "faster", "slower")


def speedup_range(summary: OperationSummary) -> str:
    """``x46.0 [42.1–50.3]`` over TensorStore: the factor with its interval, if it has one."""
    if summary.speedup_low is None or summary.speedup_high is None:
        return _speedup(summary)
    low, high = (format_factor(end)[1:] for end in (summary.speedup_low, summary.speedup_high))
    return f"{_speedup(summary)} [{low}–{high}]"


def limit_words(result: MethodResult) -> str:
    """Shares of the device's limit in save and load: ``44 % / 61 %``; empty where it is not known."""
    shares = [summary.limit_fraction if summary is not None else None for summary in (result.save, result.load)]
    return " / ".join(format_share(share) if share is not None else "?" for share in shares) if any(shares) else ""


def bound_words(result: MethodResult) -> str:
    """What bounds save and load: ``CPU / storage``; empty where it is not known."""
    causes = [summary.bottleneck if summary is not None else None for summary in (result.save, result.load)]
    names = [(cause or "?").replace("the method itself", "method") for cause in causes]
    return "" if not any(causes) else names[0] if names[0] == names[1] else " / ".join(names)


def limits_line(run: Run) -> str:
    """What a plain writer and reader reached; empty before that was measured."""
    limits = limits_of(run)
    if limits.write_bytes_per_s is None or limits.read_bytes_per_s is None:
        return ""
    write, read = format_rate(limits.write_bytes_per_s), format_rate(limits.read_bytes_per_s)
    into = " into the page cache" if through_cache(run.plan, "save") else ""
    out_of = " from the page cache" if through_cache(run.plan, "load") else ""
    return f"a plain file reaches {write} write{into}, {read} read{out_of}"


def speedup_words(summary: OperationSummary) -> str:
    """``x46.0`` over TensorStore, ``x1.10?`` where that is not shown to be a difference; empty without a baseline."""
    return f"{_speedup(summary)}{'' if is_shown(summary) else '?'}"


def _speedup(summary: OperationSummary) -> str:
    """``x46.0`` over TensorStore, with its mark if that is an estimate; empty without a baseline."""
    if summary.speedup_vs_tensorstore is None:
        return ""
    return f"{'≈' if summary.estimated else ''}{format_factor(summary.speedup_vs_tensorstore)}"


def state_words(result: MethodResult) -> str:
    """What became of a method, in words."""
    if result.status == "done":
        found = [(o, words) for o in OPERATIONS if (s := result.of(o)) is not None and (words := groups_words(s))]
        groups = "".join(f"; {operation} times in two groups: {words}" for operation, words in found)
        return f"{'verified' if result.verified else 'done'}{groups}"
    if result.status == "cancelled" and result.rounds_done:
        return f"cancelled after {rounds_words(result.rounds_done)}"
    # A library's message may have lines of its own, which would break a table.
    return f"{result.status}: {' '.join(result.error.split())}" if result.error else result.status


def rounds_words(repeats: int) -> str:
    """``1 round``, ``3 rounds``."""
    return counted(repeats, "round")


def settings_line(run: Run) -> str:
    """The plan in one line."""
    plan = run.plan
    memory = " · memory as found" * (plan.memory == "as-found")
    return (
        f"{run.environment.storage} ({run.environment.filesystem.type}) · {plan.durability} saves · "
        f"{plan.cache} loads{memory} · {plan.device} · {rounds_words(plan.repeats)} · seed {plan.seed} · "
        f"concurrency {plan.concurrency} · chunks {size_argument(plan.chunk_bytes)} · {plan.codec}"
    )


def _figure(file_format: str) -> Callable[[Run], bytes]:
    def render(run: Run) -> bytes:
        from state.export.figure import render_figure  # matplotlib takes a while, and most runs want no figure

        return render_figure(run, file_format)

    return render


#: Suffix -> exporter. The longest suffix that fits a name decides.
EXPORTERS: Final[dict[str, Callable[[Run], bytes]]] = {
    ".samples.csv": to_samples_csv,
    ".csv": to_csv,
    ".json": to_json,
    ".md": to_markdown,
    ".png": _figure("png"),
    ".svg": _figure("svg"),
}


def check_export(path: Path, *, overwrite: bool = False) -> Path:
    """Refuse a file that could not be written after the run, before it starts.

    Raises:
        ExportError: If the suffix is unknown, the folder is missing or the file exists.
    """
    try:
        _refuse_target(path, overwrite=overwrite)
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a null byte, links in a circle
        raise ExportError(f"{str(path)!a} is no name for a file here ({error})", "choose another name") from None
    return path


def _refuse_target(path: Path, *, overwrite: bool) -> None:
    if not any(path.name.lower().endswith(suffix) for suffix in EXPORTERS):
        raise ExportError(f"{path} has no suffix that says what to write", f"choose one of {', '.join(EXPORTERS)}")
    if path.parent.exists() and not path.parent.is_dir():
        raise ExportError(f"{path.parent} is a file, and {path.name} needs a folder", "choose another")
    if not path.parent.is_dir():
        raise ExportError(f"the folder {path.parent} for {path.name} does not exist", "create it or choose another")
    if path.is_dir():
        raise ExportError(f"{path} is a folder", "choose another name")
    if not os.access(path.parent, os.W_OK):
        raise ExportError(f"nothing can be written into {path.parent}", "choose another folder")
    if os.path.lexists(path) and not overwrite:  # a link to nowhere, too
        raise ExportError(f"{path} exists already", "choose another name, or allow it with --overwrite")


def write_export(run: Run, path: Path, *, overwrite: bool = False) -> None:
    """Write a run to a file in the format that its suffix names.

    Raises:
        ExportError: If it cannot be written; what was there before is untouched.
    """
    check_export(path, overwrite=overwrite)
    exporter = next(EXPORTERS[suffix] for suffix in EXPORTERS if path.name.lower().endswith(suffix))
    content = exporter(run)
    try:
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)  # mkstemp makes files that only their owner reads
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error.strerror})", "choose another file") from None
