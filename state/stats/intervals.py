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
#: On the log scale: a smaller difference is written as x1.00 (`state.units.format_factor`), and not said to be shown.
LEAST_DIFFERENCE: Final = math.log(1.0005)
#: Two samples have an interval, too, but one that reaches from a twelfth to twelve times: it says nothing.
MIN_SAMPLES: Final = 3
#: From here on the smallest and the largest sample hold the median between them in 94 % or more, whatever the noise.
_SOME_SAMPLES: Final = 5
#: From here on an interval of order statistics is short enough; below, only an assumption makes up for the few samples.
MANY_SAMPLES: Final = 7
#: What the interpolation between two order statistics is asked for, to keep 95 %: where samples lie in two groups, an
#: end that falls between the groups loses up to two points (`python -m bench.coverage`).
_INTERPOLATED: Final = 0.96
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

    Up to six samples: Student's t interval of the mean logarithm, which is the median's where noise is symmetric on
    the log scale (log-normal, or with heavier tails, where it covers more than it promises). It is widened to the
    sample median should that lie outside, and with five and six samples to all of them, because a machine that is in
    one of two states has no symmetric noise. From seven on: an interval between order statistics, which assumes next to
    nothing (`_between_order_statistics`).
    """
    if not samples:
        return None
    median = statistics.median(samples)
    if len(samples) < MIN_SAMPLES:
        return Summary(median, None, None)
    if len(samples) >= MANY_SAMPLES:
        low, high = _between_order_statistics(samples)
        return Summary(median, min(low, median), max(high, median))  # where all are equal, logarithms round
    logs = [math.log(sample) for sample in samples]
    mean = statistics.fmean(logs)
    reach = t_quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    within = samples if len(samples) >= _SOME_SAMPLES else (median,)
    return Summary(median, min(*within, math.exp(mean - reach)), max(*within, math.exp(mean + reach)))


def _between_order_statistics(samples: Sequence[float]) -> tuple[float, float]:
    """An interval of the median that assumes no shape of the noise.

    The k-th smallest and the k-th largest of n samples hold the median between them unless a fair coin, thrown n times,
    falls on one side fewer than k times. Between the two k whose intervals hold it too often and not often enough, the
    ends are interpolated (T. P. Hettmansperger and S. J. Sheather, "Confidence intervals based on interpolated order
    statistics", Statistics and Probability Letters 4, 1986), here on the log scale.
    """
    logs, count = sorted(math.log(sample) for sample in samples), len(samples)
    left_out, share = _order_statistics(count)
    low, high = (
        math.exp((1 - share) * ordered[left_out] + share * ordered[left_out + 1]) for ordered in (logs, logs[::-1])
    )
    return low, high


@lru_cache(maxsize=1024)
def _order_statistics(count: int) -> tuple[int, float]:
    """How many samples lie outside each end of the wider interval, and how far to go towards the next sample."""
    left_out, outside = 0, 2 * 0.5**count  # the chance that an interval of all samples misses the median
    while True:
        next_outside = outside + 2 * math.comb(count, left_out + 1) * 0.5**count
        if next_outside > 1 - _INTERPOLATED:
            break
        left_out, outside = left_out + 1, next_outside
    share = (1 - _INTERPOLATED - outside) / (next_outside - outside)
    kept = left_out + 1
    return left_out, (count - kept) * share / (kept + (count - 2 * kept) * share)


@lru_cache(maxsize=1024)
def t_quantile(degrees: float) -> float:
    """The two-sided 95 % point of Student's t distribution; degrees of freedom need not be whole."""
    from scipy.special import stdtrit  # takes a quarter of a second, and nobody needs it before the third round

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


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

    With up to six samples in both, its interval is that of the geometric means, widened to the ratio of medians should
    that lie outside. With seven or more in either it is put together from the two intervals of the medians, so that a
    machine in one of two states, whose geometric mean lies elsewhere than its median, is no difference between methods.

    References:
        G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general approach",
        Statistics in Medicine 27, 2008: each end of a difference lies as far from it as the two ends that matter lie
        from their estimates, added up as the legs of a right triangle.
    """
    value = math.log(statistics.median(times_s) / statistics.median(reference_s))
    counts = len(times_s), len(reference_s)
    if min(counts) >= MIN_SAMPLES and max(counts) >= MANY_SAMPLES:
        ours, theirs = _reaches(times_s), _reaches(reference_s)
        return Estimate(value, value - math.hypot(ours[0], theirs[1]), value + math.hypot(ours[1], theirs[0]))
    means = contrast([[math.log(t) for t in times_s], [math.log(t) for t in reference_s]], (1.0, -1.0))
    if means.low is None or means.high is None:
        return Estimate(value)
    return Estimate(value, min(value, means.low), max(value, means.high))


def _reaches(samples: Sequence[float]) -> tuple[float, float]:
    """How far the interval of a median reaches down and up on the log scale; of three samples or more."""
    found = summarise(samples)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return math.log(found.median / found.low), math.log(found.high / found.median)


def median_of(values: Sequence[float | None]) -> float | None:
    """The median of the values that are known, or None if none is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def factor(baseline_s: float | None, time_s: float | None) -> float | None:
    """How many times faster than the baseline; below 1 is slower, None without both."""
    return baseline_s / time_s if baseline_s and time_s else None


def improvement(speedup: float) -> float:
    """The same as a share of the baseline's time that is saved: x2 is 0.5, x0.5 is -1."""
    return 1 - 1 / speedup
