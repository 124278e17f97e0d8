"""Which methods may be the fastest: those that are not shown to be slower than another one.

This is a statement about a whole table. Whoever compares everybody with the luckiest, at 5 % each, wrongly leaves out
one of six equal methods in a third of the runs. Here one that is as fast as the fastest is left out in 5 % of the runs
at most, give or take what few rounds do to that; `python -m bench.coverage` measures it, and how much slower a method
must be to be told apart.

All pairs are compared by Student's t of mean logarithms at 5 % over the number of ordered pairs (Bonferroni), those who
are shown to be slower leave, and whoever is left is compared again at 5 % over the pairs that are left. Nobody is
slower whose median is not larger, too, so that the sentence agrees with the table. A few rounds say little of a
method's noise, so three methods or more learn from each other:

- What a round did to all of them alike (a neighbour, heat, a drift) is in no difference between them, so where all were
  measured in the same rounds it is taken out of their noise first: two-way analysis of variance, methods by rounds.
- Their variances are moderated: each is pulled towards what is common, by as many degrees of freedom as the variances
  of the methods agree on (G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential expression
  in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3(1), 2004, section 6.2).

That procedure was made for thousands of genes. For a handful of methods it is made cautious in three ways: fewer
degrees of freedom are borrowed than the estimate says, since the spread of a few variances is itself hardly known; the
common variance leans to the arithmetic mean, so that one very quiet method does not vouch for the noisy ones; and the
others may raise a method's variance but never lower it.

Where methods were measured in different runs, what two equal runs differ by is in the comparison, too
(`state.stats.between_runs`).
"""

import math
import statistics
from collections.abc import Mapping
from typing import Final

import msgspec

from state.stats.between_runs import ASSUMED, BetweenRuns
from state.stats.intervals import CONFIDENCE, LEAST_DIFFERENCE, MIN_SAMPLES

#: The run that measured it, and its number there.
Round = tuple[str, int]

#: How many standard errors above its estimate the spread of the variances is taken to be.
_CAUTION: Final = 0.3
#: How far the common variance leans from the geometric to the arithmetic mean of the variances, from 0 to 1.
_LEAN: Final = 0.5
#: Two methods have little to learn from each other, and to take the rounds out would leave them half of their degrees
#: of freedom.
_MIN_METHODS: Final = 3
#: Clocks tell no less: a standard deviation of a millionth.
_LEAST_VARIANCE: Final = 1e-12


class _Noise(msgspec.Struct, frozen=True):
    """What is known of one method's log times.

    Attributes:
        run: What measured it.
        mean: Their mean.
        median: Their median.
        rounds: How many they are.
        variance: Of one of them.
        degrees: Degrees of freedom of that variance.
    """

    run: str
    mean: float
    median: float
    rounds: int
    variance: float
    degrees: float


def fastest_set(times_s: Mapping[str, Mapping[Round, float]], between: BetweenRuns = ASSUMED) -> tuple[str, ...]:
    """The methods that are not shown to be slower than another.

    Args:
        times_s: Method -> round -> time in seconds, which is positive.
        between: What equal runs differ by, for methods of different runs.

    Returns:
        In the order given. With fewer than three rounds a method is in it, and shows nobody to be slower. The one with
        the lowest median is always in it.
    """
    logs = {name: {key: math.log(time_s) for key, time_s in rounds.items()} for name, rounds in times_s.items()}
    measured = {name: rounds for name, rounds in logs.items() if len(rounds) >= MIN_SAMPLES}
    if len(measured) < 2:
        return tuple(times_s)
    own = _noises(measured)
    noises = _moderated(own) if len(own) >= _MIN_METHODS else own
    most_degrees = math.fsum(noise.degrees for noise in own.values())
    chances = {
        (slow, fast): _chance(noises[slow], noises[fast], most_degrees, between)
        for slow in noises
        for fast in noises
        if min(noises[slow].mean - noises[fast].mean, noises[slow].median - noises[fast].median) >= LEAST_DIFFERENCE
    }
    left = list(noises)
    while True:
        level = (1 - CONFIDENCE) / max(1, len(left) * (len(left) - 1))
        stay = [slow for slow in left if all(chances.get((slow, fast), 1.0) > level for fast in left)]
        if len(stay) == len(left):
            return tuple(name for name in times_s if name in left or name not in measured)
        left = stay


def _noises(logs: Mapping[str, Mapping[Round, float]]) -> dict[str, _Noise]:
    """Every method by itself, without what the rounds did to all of them where they have the same rounds."""
    means = {name: statistics.fmean(rounds.values()) for name, rounds in logs.items()}
    medians = {name: statistics.median(rounds.values()) for name, rounds in logs.items()}
    in_rounds = len(logs) >= _MIN_METHODS and len({frozenset(rounds) for rounds in logs.values()}) == 1
    shared: dict[Round, float] = {}
    if in_rounds:
        some = next(iter(logs.values()))
        shared = {key: statistics.fmean(rounds[key] - means[name] for name, rounds in logs.items()) for key in some}
    kept = (
        1 - 1 / len(logs) if in_rounds else 1.0
    )  # of the degrees of freedom: the rounds' own are taken from all alike
    found = {}
    for name, rounds in logs.items():
        rest = math.fsum((value - means[name] - shared.get(key, 0.0)) ** 2 for key, value in rounds.items())
        degrees = kept * (len(rounds) - 1)
        run = next(iter(rounds))[0]
        variance = max(rest / degrees, _LEAST_VARIANCE)
        found[name] = _Noise(run, means[name], medians[name], len(rounds), variance, degrees)
    return found


def _moderated(own: Mapping[str, _Noise]) -> dict[str, _Noise]:
    """The same with variances that have learned from each other (Smyth's notation: d0 and s0² are the prior's)."""
    from scipy.special import digamma, polygamma  # takes a quarter of a second, and nobody needs it before round three

    noises = own.values()
    # Logarithms of the variances, without the bias that few degrees of freedom give them.
    levels = [math.log(n.variance) - float(digamma(n.degrees / 2)) + math.log(n.degrees / 2) for n in noises]
    by_chance = statistics.fmean(float(polygamma(1, n.degrees / 2)) for n in noises)
    excess = max(0.0, statistics.variance(levels) - by_chance) + _CAUTION * by_chance * math.sqrt(2 / (len(levels) - 1))
    prior_degrees = 2 * _inverse_trigamma(excess)
    geometric = math.exp(statistics.fmean(levels) + float(digamma(prior_degrees / 2)) - math.log(prior_degrees / 2))
    arithmetic = max(geometric, statistics.fmean(n.variance for n in noises))
    common = geometric ** (1 - _LEAN) * arithmetic**_LEAN
    found = {}
    for name, n in own.items():
        degrees = prior_degrees + n.degrees
        variance = max(n.variance, (prior_degrees * common + n.degrees * n.variance) / degrees)
        found[name] = msgspec.structs.replace(n, variance=variance, degrees=degrees)
    return found


def _inverse_trigamma(value: float) -> float:
    """The x whose trigamma is a positive value: Newton's method, as Smyth has it in his appendix."""
    from scipy.special import polygamma

    x = 0.5 + 1 / value
    while True:
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step < 1e-8 * x:
            return x


def _chance(slow: _Noise, fast: _Noise, most_degrees: float, between: BetweenRuns) -> float:
    """The chance that equal methods differ by as much in this direction: Welch's t, Satterthwaite's degrees of freedom.

    Args:
        slow: The one with the larger mean.
        fast: The other.
        most_degrees: Of all methods together: no noise within a run can be known better than that.
        between: What equal runs differ by, which counts if the two are of different runs.
    """
    from scipy.special import stdtr

    errors = slow.variance / slow.rounds, fast.variance / fast.rounds
    within = sum(errors)
    degrees = min(most_degrees, within**2 / (errors[0] ** 2 / slow.degrees + errors[1] ** 2 / fast.degrees))
    error = within
    if slow.run != fast.run:
        error += between.deviation**2
        degrees = error**2 / (within**2 / degrees + between.deviation**4 / between.degrees)
    return float(stdtr(degrees, (fast.mean - slow.mean) / math.sqrt(error)))
