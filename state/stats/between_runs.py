"""What two runs of the same thing differ by beyond the noise within them.

An interval that is made of the rounds of two runs knows how rounds differ within a run. What differs between the two
moments (other programs, heat, a disk that fills, a neighbour on the same host) is not in it, so equal runs would be
called different more often than in one of twenty comparisons. Pairs of equal runs, as `ckpt-tui aa` measures them, show
how much that is.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from state.stats.intervals import MIN_SAMPLES, Estimate, t_quantile

#: The times of every row in two runs, in seconds.
Rows = Sequence[tuple[Sequence[float], Sequence[float]]]

#: Standard deviation, on the log scale, that is assumed where no pair of equal runs was measured.
ASSUMED_DEVIATION: Final = 0.02
#: How many measured pairs that assumption is worth.
_ASSUMED_PAIRS: Final = 4


class BetweenRuns(msgspec.Struct, frozen=True):
    """What the medians of two equal runs differ by, beyond the noise of their rounds.

    Attributes:
        deviation: Standard deviation of the log of their ratio; 0.02 is 2 %.
        pairs: How many pairs of equal runs it was measured with; with few, an assumption has its share in it.
    """

    deviation: float = ASSUMED_DEVIATION
    pairs: int = 0

    @property
    def degrees(self) -> int:
        """Degrees of freedom of that deviation."""
        return _ASSUMED_PAIRS + self.pairs

    @property
    def reach(self) -> float:
        """What 95 % of equal runs differ by at most for this reason alone, on the log scale."""
        return t_quantile(self.degrees) * self.deviation

    def widen(self, change: Estimate) -> Estimate:
        """The interval of a change between two runs, when noise between them is in it, too.

        The two reasons are independent, so their reaches add up as the legs of a right triangle do (see
        `state.stats.intervals.ratio`).
        """
        if change.low is None or change.high is None:
            return change
        low, high = (math.hypot(end - change.value, self.reach) for end in (change.low, change.high))
        return Estimate(change.value, change.value - low, change.value + high)


#: Where no pair of equal runs was measured.
ASSUMED: Final = BetweenRuns()


def between_runs(pairs: Sequence[Rows]) -> BetweenRuns:
    """What pairs of equal runs show.

    The squared differences of mean log times are larger than the noise within the runs explains; what is left is the
    variance between runs (the estimator of R. DerSimonian and N. Laird, "Meta-analysis in clinical trials", Controlled
    Clinical Trials 7, 1986, with equal weights). Rows of one pair move together, so a pair counts once. A few that
    happen to agree are moderated by the assumption, which never lowers what was measured, as in
    `state.stats.fastest_set`.
    """
    excesses = [statistics.fmean(found) for rows in pairs if (found := _excesses(rows))]
    if not excesses:
        return ASSUMED
    measured, count = statistics.fmean(excesses), len(excesses)
    moderated = (_ASSUMED_PAIRS * ASSUMED_DEVIATION**2 + count * max(0.0, measured)) / (_ASSUMED_PAIRS + count)
    return BetweenRuns(math.sqrt(max(measured, moderated)), count)


def _excesses(rows: Rows) -> list[float]:
    """For every row, the squared difference of mean log times, less what noise within the runs makes of it."""
    found = []
    for times_s in rows:
        if all(len(of_run) >= MIN_SAMPLES for of_run in times_s):
            before, after = ([math.log(time_s) for time_s in of_run] for of_run in times_s)
            expected = statistics.variance(before) / len(before) + statistics.variance(after) / len(after)
            found.append((statistics.fmean(after) - statistics.fmean(before)) ** 2 - expected)
    return found
