"""A run as a table for people: a row per method."""

from typing import Final

from state.analysis.results import method_results
from state.analysis.rows import MethodResult, OperationSummary
from state.analysis.words import (
    WIDE,
    bound_words,
    is_shown,
    limit_words,
    memory_state_words,
    speedup_range,
    speedup_words,
    state_words,
)
from state.plan import OPERATIONS
from state.run.records import Run
from state.stats.intervals import half_width, improvement
from state.units import (
    format_bytes,
    format_change,
    format_seconds,
)

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


def _memory_state(result: MethodResult) -> str:
    """The state of memory in save and load, once if they agree."""
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
