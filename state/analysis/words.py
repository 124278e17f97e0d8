"""A run and its results in words, the same wherever people read them."""

from typing import Final

from state.analysis.rows import MethodResult, OperationSummary
from state.needs import MemoryPlan
from state.plan import OPERATIONS, through_cache
from state.run.limits import limits_of
from state.run.records import Run
from state.units import (
    counted,
    format_bytes,
    format_factor,
    format_rate,
    format_seconds,
    format_share,
    size_argument,
)


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
