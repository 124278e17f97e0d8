"""What a handful of samples says: median, interval, outliers, and differences between several handfuls.

Times are compared on a log scale, where twice as fast and twice as slow are equally far: noise multiplies times, and
what is asked are factors. Medians and raw samples instead of means, as in hyperfine and pyperf, because a shared
machine's noise has one long tail. Rates are total bytes over total time, not means of rates (Fleming and Wallace, "How
not to lie with statistics", CACM 29(3), 1986).

How often the intervals hold the truth was measured for log-normal, heavy-tailed and skewed noise
(`python -m bench.coverage`); the method was chosen by that.
"""

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

CONFIDENCE: Final = 0.95
#: Two samples have an interval, too, but one that reaches from a twelfth to twelve times: it says nothing.
MIN_SAMPLES: Final = 3
#: From here on an order-statistic interval is short enough; below, only an assumption makes up for the few samples.
_MANY_SAMPLES: Final = 11
#: A modified z-score above this marks an outlier (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993).
_OUTLIER_SCORE: Final = 3.5
#: With fewer, two samples that agree by chance make an outlier of the third.
_MIN_FOR_OUTLIERS: Final = 5


class Summary(msgspec.Struct, frozen=True):
    """Median of samples with its interval.

    Attributes:
        median: The middle sample, or the mean of the middle two.
        low: Lower end of the 95 % interval; None with fewer than three samples, which have none worth the name.
        high: Its upper end, likewise.
    """

    median: float
    low: float | None
    high: float | None


def half_width(low: float | None, high: float | None) -> float | None:
    """Half of an interval on the log scale as a factor less one: 0.05 is ±5 %; None without an interval."""
    return math.sqrt(high / low) - 1 if low is not None and high is not None else None


def summarise(samples: Sequence[float]) -> Summary | None:
    """Median and interval of positive samples, or None without any.

    Up to ten samples: Student's t interval of the mean logarithm, which is the median's where noise is symmetric on
    the log scale (log-normal, or with heavier tails, where it covers more than it promises). It is widened to the
    sample median should that lie outside. From eleven on: the order-statistic interval of the sign test, which assumes
    nothing (David and Nagaraja, "Order Statistics", 3rd ed., section 7.1); below eleven it is too wide or, below six,
    does not exist.
    """
    if not samples:
        return None
    median = statistics.median(samples)
    if len(samples) < MIN_SAMPLES:
        return Summary(median, None, None)
    if len(samples) >= _MANY_SAMPLES:
        ordered = sorted(samples)
        beyond = _order_statistic(len(samples))
        return Summary(median, ordered[beyond], ordered[-1 - beyond])
    logs = [math.log(sample) for sample in samples]
    mean = statistics.fmean(logs)
    reach = t_quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Summary(median, min(median, math.exp(mean - reach)), max(median, math.exp(mean + reach)))


@lru_cache(maxsize=1024)
def t_quantile(degrees: float) -> float:
    """The two-sided 95 % point of Student's t distribution; degrees of freedom need not be whole."""
    from scipy.special import stdtrit  # takes a quarter of a second, and nobody needs it before the third round

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


@lru_cache(maxsize=64)
def _order_statistic(count: int) -> int:
    """How many samples may be left out on each side of an interval that still holds the median in 95 %."""
    beyond, orders, most = 0, 1, (1 - CONFIDENCE) / 2 * 2**count if count < 1000 else 25 * 2**count // 1000
    while (orders := orders + math.comb(count, beyond + 1)) <= most:
        beyond += 1
    return beyond


def outliers(samples: Sequence[float]) -> tuple[int, ...]:
    """Positions of samples that stand apart, to be flagged and never dropped; none with fewer than five samples.

    The modified z-score of Iglewicz and Hoaglin on logarithms: distance from the median over the median absolute
    deviation, both scaled so that 1 is a standard deviation of normal noise. Where more than half of the samples are
    equal that deviation is zero, and the mean absolute deviation takes its place, as they propose.
    """
    if len(samples) < _MIN_FOR_OUTLIERS:
        return ()
    logs = [math.log(sample) for sample in samples]
    center = statistics.median(logs)
    distances = [abs(value - center) for value in logs]
    scale = statistics.median(distances) / 0.6745 or 1.2533 * statistics.fmean(distances)
    return tuple(k for k, distance in enumerate(distances) if distance > _OUTLIER_SCORE * scale)


class Estimate(msgspec.Struct, frozen=True):
    """A difference on the log scale with its 95 % interval; its exponential is a factor.

    Attributes:
        value: The estimate.
        low: Lower end of the interval, None where a handful has fewer than three samples.
        high: Upper end, likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def factor(self) -> float:
        """What it multiplies times by."""
        return math.exp(self.value)

    @property
    def reach(self) -> float | None:
        """How far the interval reaches each way as a factor less one: 0.05 is ±5 %; None without one."""
        return math.expm1((self.high - self.low) / 2) if self.low is not None and self.high is not None else None

    @property
    def is_shown(self) -> bool:
        """Whether the interval excludes that there is no difference."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def __neg__(self) -> "Estimate":
        if self.low is None or self.high is None:
            return Estimate(-self.value)
        return Estimate(-self.value, -self.high, -self.low)


def contrast(handfuls: Sequence[Sequence[float]], weights: Sequence[float]) -> Estimate:
    """A weighted sum of mean values, with the interval of Welch and Satterthwaite.

    Handfuls may be of different size and noise: nothing is pooled. A ratio of times, an effect of a factorial
    experiment and a Shapley share are all such sums of mean logarithms.

    Args:
        handfuls: Values (for times: logarithms) of each group, none empty where its weight is not zero.
        weights: One for each group.

    Returns:
        The sum; without an interval where a group that counts has fewer than three values.

    References:
        F. E. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin
        2(6), 1946; B. L. Welch, Biometrika 34, 1947.
    """
    parts = [(group, weight) for group, weight in zip(handfuls, weights, strict=True) if weight]
    value = math.fsum(weight * statistics.fmean(group) for group, weight in parts)
    if any(len(group) < MIN_SAMPLES for group, _ in parts):
        return Estimate(value)
    variances = [weight**2 * statistics.variance(group) / len(group) for group, weight in parts]
    variance = math.fsum(variances)
    squares = math.fsum(v**2 / (len(group) - 1) for v, (group, _) in zip(variances, parts, strict=True))
    if not squares:  # no noise at all, or too little for a float's square
        return Estimate(value, value, value)
    reach = t_quantile(variance**2 / squares) * math.sqrt(variance)
    return Estimate(value, value - reach, value + reach)


def ratio(times_s: Sequence[float], reference_s: Sequence[float]) -> Estimate:
    """The log of how many times the first takes of the second's time: the ratio of medians.

    Its interval is that of the geometric means, widened to the ratio of medians should that lie outside.
    """
    means = contrast([[math.log(t) for t in times_s], [math.log(t) for t in reference_s]], (1.0, -1.0))
    value = math.log(statistics.median(times_s) / statistics.median(reference_s))
    if means.low is None or means.high is None:
        return Estimate(value)
    return Estimate(value, min(value, means.low), max(value, means.high))


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
