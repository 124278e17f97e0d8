"""What noise between runs does on a machine, from the pairs of equal runs that `ckpt-tui aa` left in the history."""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from state.analysis.comparison import Change, Comparison, compare, rows_of
from state.history.store import History
from state.plan import LIMIT, Plan
from state.run.records import Run
from state.stats.between_runs import BetweenRuns, between_runs

#: Two runs of the same thing, one after the other.
Pair = tuple[Run, Run]

#: The tag of runs that were measured to be compared with their like.
TAG: Final = "aa"
#: Pairs that are looked at, the newest: machines change.
_PAIRS: Final = 20
#: What must be the same for noise to be the same.
_RULES: Final = ("size_bytes", "dtype", "with_optimizer", "device", "cache", "durability", "memory")


class Noise(msgspec.Struct, frozen=True):
    """What runs of the same thing differ by, which is nothing but noise.

    Attributes:
        pairs: How many pairs of runs.
        changes: Every comparison of a method's saves or loads in them.
        counted: How many of those have a ratio.
        typical: The median of how many times the slower took of the faster; None without any.
        large: The 95th percentile of the same, or the largest where there are fewer than twenty.
        between: What the pairs show of the noise between runs, for the intervals of other comparisons.
    """

    pairs: int
    changes: tuple[Change, ...]
    counted: int
    typical: float | None
    large: float | None
    between: BetweenRuns


def compare_equal(pairs: Sequence[Pair], known: Sequence[Pair] = ()) -> tuple[Comparison, ...]:
    """Compare the runs of each pair, with what the other pairs show of the noise between runs in the intervals.

    Args:
        pairs: The pairs to compare.
        known: More pairs of the same thing, which say something of that noise, too.
    """
    rows = [rows_of(*pair) for pair in (*pairs, *known)]
    return tuple(
        compare(*pair, between=between_runs(rows[:number] + rows[number + 1 :])) for number, pair in enumerate(pairs)
    )


def noise_between(pairs: Sequence[Pair], known: Sequence[Pair] = ()) -> Noise:
    """What pairs of equal runs show; the arguments are those of `compare_equal`."""
    found = [change for one in compare_equal(pairs, known) for change in one.changes if change.method != LIMIT]
    factors = sorted(max(change.ratio, 1 / change.ratio) for change in found if change.ratio is not None)
    return Noise(
        len(pairs),
        tuple(found),
        len(factors),
        statistics.median(factors) if factors else None,
        factors[math.ceil(0.95 * len(factors)) - 1] if factors else None,
        between_runs([rows_of(*pair) for pair in (*pairs, *known)]),
    )


def noise_floor(history: History, run: Run) -> Noise | None:
    """What equal runs of the same model differ by on a run's machine and disk, under its rules.

    Returns:
        None if no such pair was ever measured.

    Raises:
        HistoryError: If the history cannot be read.
    """
    pairs = equal_pairs(history, run)
    return noise_between(pairs) if pairs else None


def equal_pairs(history: History, run: Run) -> list[Pair]:
    """The pairs of equal runs of the same model on a run's machine and disk, under its rules, the oldest first.

    Raises:
        HistoryError: If the history cannot be read.
    """
    here = (run.environment.hostname, run.environment.storage, run.plan.model)
    entries = [
        entry
        for entry in history.runs(TAG)
        if TAG in entry.tags and entry.status == "finished" and (entry.hostname, entry.storage, entry.model) == here
    ]
    oldest_first = [history.get(entry.run_id) for entry in entries[: 2 * _PAIRS]][::-1]
    waiting = [other for other in oldest_first if _alike(other.plan, run.plan)]
    pairs = []
    while len(waiting) >= 2:
        before, after = waiting[:2]
        equal = _without_rounds(before.plan) == _without_rounds(after.plan)
        if equal:
            pairs.append((before, after))
        waiting = waiting[2 if equal else 1 :]
    return pairs


def _without_rounds(plan: Plan) -> Plan:
    """A precision may have added rounds to one and not to the other."""
    return msgspec.structs.replace(plan, repeats=1)


def _alike(plan: Plan, other: Plan) -> bool:
    return all(getattr(plan, field) == getattr(other, field) for field in _RULES)
