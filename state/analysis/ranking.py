"""Which method is the fastest of a run, and whether that is shown."""

from typing import Final

import msgspec

from state.analysis.results import method_results
from state.plan import OPERATIONS, Operation
from state.run.records import Run
from state.stats.fastest_set import fastest_set
from state.stats.intervals import MIN_SAMPLES
from state.units import format_factor, format_seconds

#: How many methods that may be as fast are named.
_NAMED: Final = 3


class Fastest(msgspec.Struct, frozen=True):
    """The method with the lowest median of three rounds or more.

    Attributes:
        operation: Which half.
        method: Its name.
        median_s: Its median time.
        alike: The others that are not shown to be slower than any, the fastest first; also who has too few rounds.
        second: The next one.
        behind: How many times as long that takes, a ratio of medians.
        estimated: Whether they were measured in several runs.
        nobody_slower: Whether no method is shown to be slower than another.
    """

    operation: Operation
    method: str
    median_s: float
    alike: tuple[str, ...]
    second: str
    behind: float
    estimated: bool
    nobody_slower: bool


def fastest(run: Run, operation: Operation) -> Fastest | None:
    """The fastest method; None unless two or more were measured and verified in three rounds or more."""
    found = {
        result.method: (summary.median_s, result.run_id)
        for result in method_results(run)
        if (summary := result.of(operation)) is not None
    }
    rounds = {method: run.rounds_s(method, operation) for method in sorted(found, key=lambda method: found[method][0])}
    enough = [method for method in rounds if len(rounds[method]) >= MIN_SAMPLES]
    if len(enough) < 2:
        return None
    best, second = enough[:2]
    alike = [method for method in fastest_set(rounds) if method != best]
    return Fastest(
        operation,
        best,
        found[best][0],
        tuple(alike),
        second,
        found[second][0] / found[best][0],
        estimated=len({run_id for _, run_id in found.values()}) > 1,
        nobody_slower=len(alike) + 1 == len(rounds),
    )


def fastest_lines(run: Run, *, complete: bool = False) -> tuple[str, ...]:
    """A sentence for each operation: the fastest, and what is not shown to be slower or how far the next is behind.

    Args:
        run: Any run.
        complete: Name all that are not shown to be slower, where there is room for many.
    """
    lines = []
    for operation in OPERATIONS:
        best = fastest(run, operation)
        if best is None:
            continue
        rules = run.plan.durability if operation == "save" else run.plan.cache
        if best.nobody_slower:
            lowest = f"{best.method} has the lowest median, {format_seconds(best.median_s)} s"
            lines.append(f"No method is shown to be slower than another in {rules} {operation}s; {lowest}.")
            continue
        mark = "≈" if best.estimated else ""
        rest = f"the next, {best.second}, takes {mark}{format_factor(best.behind)} as long"
        if best.alike:
            named = len(best.alike) if complete else _NAMED
            more = f" and {len(best.alike) - named} more" if len(best.alike) > named else ""
            rest = f"not shown to be slower: {', '.join(best.alike[:named])}{more}"
        lines.append(f"Fastest {rules} {operation}: {best.method}, {format_seconds(best.median_s)} s; {rest}.")
    return tuple(lines)
