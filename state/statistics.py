"""What a handful of samples says.

References: medians and raw samples instead of means as in hyperfine and pyperf, because a shared machine's noise has
one long tail. Rates are total bytes over total time, not means of rates (Fleming and Wallace, "How not to lie with
statistics", CACM 29(3), 1986).
"""

import statistics
from collections.abc import Sequence

import msgspec


class Summary(msgspec.Struct, frozen=True):
    """Median and range of samples.

    Attributes:
        median: The middle sample, or the mean of the middle two.
        low: The smallest sample; None for a single one, which shows no spread.
        high: The largest sample; None for a single one.
    """

    median: float
    low: float | None
    high: float | None


def summarise(samples: Sequence[float]) -> Summary | None:
    """Median and range, or None without a sample."""
    if not samples:
        return None
    if len(samples) == 1:
        return Summary(samples[0], None, None)
    return Summary(statistics.median(samples), min(samples), max(samples))


def median_of(values: Sequence[float | None]) -> float | None:
    """The median of the values that are known, or None if none is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def factor(baseline_s: float | None, time_s: float | None) -> float | None:
    """How many times faster than the baseline; below 1 is slower, None without both."""
    return baseline_s / time_s if baseline_s and time_s else None


def improvement_percent(speedup: float) -> float:
    """The same as a share of the baseline's time that is saved: x2 is 50 %, x0.5 is -100 %."""
    return 100 * (1 - 1 / speedup)
