"""Whether times fall into two groups, as those of a machine do that is in one of two states."""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

#: With fewer samples, chance makes two groups of anything.
_MIN_SAMPLES: Final = 5
#: Groups that are closer than this change no decision.
_APART: Final = math.log(1.1)
#: How often samples of one group are taken for two: with log-normal noise and noise with heavier tails, in about 1 %; a
#: few in a hundred where one trial in ten stands far apart, or where noise is one-sided (`python -m bench.coverage`).
BY_CHANCE: Final = 0.01
#: To that end, the share of the spread that is left within the groups must be below this, and below what grows with the
#: number of samples by so much for each beyond so many: of more samples, the best cut leaves more by chance.
_MOST_WITHIN: Final = 0.1
_MORE_WITHIN: Final = 0.0135
_SAMPLES_FOR_NOTHING: Final = 3.5


class TwoGroups(msgspec.Struct, frozen=True):
    """Two groups of times.

    Attributes:
        fast_s: Median of the faster group.
        fast_count: How many times are in it.
        slow_s: Median of the slower group.
        slow_count: How many times are in that.
    """

    fast_s: float
    fast_count: int
    slow_s: float
    slow_count: int


def two_groups(times_s: Sequence[float]) -> TwoGroups | None:
    """The two groups into which times fall, each of two times or more; None if they do not, or are fewer than five.

    The times are cut in two, on the log scale, where least of their spread is left within the parts. (The share that is
    left is one less the "goodness" of N. Otsu, "A threshold selection method from gray-level histograms", IEEE
    Transactions on Systems, Man, and Cybernetics 9(1), 1979.)
    """
    count = len(times_s)
    if count < _MIN_SAMPLES:
        return None
    ordered = sorted(times_s)
    logs = [math.log(time_s) for time_s in ordered]
    spread = _spread(logs)
    if not spread:
        return None
    cut = min(range(2, count - 1), key=lambda k: _spread(logs[:k]) + _spread(logs[k:]))
    within = (_spread(logs[:cut]) + _spread(logs[cut:])) / spread
    if within > min(_MOST_WITHIN, _MORE_WITHIN * (count - _SAMPLES_FOR_NOTHING)):
        return None
    fast_s, slow_s = statistics.median(ordered[:cut]), statistics.median(ordered[cut:])
    if math.log(slow_s / fast_s) < _APART:
        return None
    return TwoGroups(fast_s, cut, slow_s, count - cut)


def _spread(values: Sequence[float]) -> float:
    """The sum of squared distances from the mean."""
    mean = statistics.fmean(values)
    return math.fsum((value - mean) ** 2 for value in values)
