"""What noise between runs does on a machine, from the pairs of equal runs that `ckpt-tui aa` left in the history."""

from typing import Final

import msgspec

from state.comparison import Noise, compare, noise_between
from state.history import History
from state.plan import Plan
from state.run import Run

#: The tag of runs that were measured to be compared with their like.
TAG: Final = "aa"
#: Pairs that are looked at, the newest: machines change.
_PAIRS: Final = 20
#: What must be the same for noise to be the same.
_RULES: Final = ("size_bytes", "dtype", "with_optimizer", "device", "cache", "durability")


def noise_floor(history: History, run: Run) -> Noise | None:
    """What equal runs of the same model differ by on a run's machine and disk, under its rules.

    Returns:
        None if no such pair was ever measured.

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
            pairs.append(compare(before, after))
        waiting = waiting[2 if equal else 1 :]
    return noise_between(pairs) if pairs else None


def _without_rounds(plan: Plan) -> Plan:
    """A precision may have added rounds to one and not to the other."""
    return msgspec.structs.replace(plan, repeats=1)


def _alike(plan: Plan, other: Plan) -> bool:
    return all(getattr(plan, field) == getattr(other, field) for field in _RULES)
