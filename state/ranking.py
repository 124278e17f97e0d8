"""Which method is the fastest of a run, and whether that is shown."""

from typing import Final

import msgspec

from state.plan import OPERATIONS, Operation
from state.results import method_results
from state.run import Run
from state.statistics import ratio
from state.units import format_factor, format_seconds
from state.verdict import verdict

#: How many methods that may be as fast are named.
_NAMED: Final = 3


class Fastest(msgspec.Struct, frozen=True):
    """The method with the lowest median of an operation.

    Attributes:
        operation: Which half.
        method: Its name.
        median_s: Its median time.
        alike: The others that are not shown to be slower, the fastest first.
        second: The next one.
        behind: How many times as long that takes, a ratio of medians.
        estimated: Whether they were measured in several runs.
    """

    operation: Operation
    method: str
    median_s: float
    alike: tuple[str, ...]
    second: str
    behind: float
    estimated: bool


def fastest(run: Run, operation: Operation) -> Fastest | None:
    """The fastest method, where two or more were measured and verified."""
    found = {
        result.method: (summary.median_s, result.run_id)
        for result in method_results(run)
        if (summary := result.of(operation)) is not None
    }
    if len(found) < 2:
        return None
    first, second, *_ = ordered = sorted(found, key=lambda method: found[method][0])
    best_s = run.times_s(first, operation)
    ratios = {method: ratio(run.times_s(method, operation), best_s) for method in ordered[1:]}
    return Fastest(
        operation,
        first,
        found[first][0],
        tuple(method for method in ordered[1:] if verdict(ratios[method]) != "slower"),
        second,
        ratios[second].factor,
        estimated=len({run_id for _, run_id in found.values()}) > 1,
    )


def fastest_lines(run: Run) -> tuple[str, ...]:
    """A sentence for each operation: the fastest, and what is not shown to be slower or how far the next is behind."""
    lines = []
    for operation in OPERATIONS:
        best = fastest(run, operation)
        if best is None:
            continue
        mark = "≈" if best.estimated else ""
        rest = f"the next, {best.second}, takes {mark}{format_factor(best.behind)} as long"
        if best.alike:
            more = f" and {len(best.alike) - _NAMED} more" if len(best.alike) > _NAMED else ""
            rest = f"not shown to be slower: {', '.join(best.alike[:_NAMED])}{more}"
        rules = run.plan.durability if operation == "save" else run.plan.cache
        lines.append(f"Fastest {rules} {operation}: {best.method}, {format_seconds(best.median_s)} s; {rest}.")
    return tuple(lines)
