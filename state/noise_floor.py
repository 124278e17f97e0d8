"""What noise between runs does on a machine, from the pairs of equal runs that `ckpt-tui aa` left in the history."""

from typing import Final

from state.comparison import Noise, compare, noise_between
from state.history import History
from state.run import Run

#: The tag of runs that were measured to be compared with their like.
TAG: Final = "aa"
#: Pairs that are looked at, the newest: machines change.
_PAIRS: Final = 20


def noise_floor(history: History, run: Run) -> Noise | None:
    """What equal runs on a run's machine and disk differ by; None if no pair was ever measured there.

    Raises:
        HistoryError: If the history cannot be read.
    """
    entries = [
        entry
        for entry in history.runs(TAG)
        if TAG in entry.tags
        and entry.status == "finished"
        and (entry.hostname, entry.storage) == (run.environment.hostname, run.plan.storage)
    ]
    newest = [history.get(entry.run_id) for entry in entries[: 2 * _PAIRS]][::-1]
    pairs = []
    while len(newest) >= 2:
        before, after = newest[:2]
        equal = before.plan == after.plan
        if equal:
            pairs.append(compare(before, after))
        newest = newest[2 if equal else 1 :]
    return noise_between(pairs) if pairs else None
