"""Runs whose truth is known, for what is said of them."""

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from state.plan import CELL_NAMES, LIMIT, OPERATIONS, Plan
from state.run.records import Run
from state.stats.fastest_set import Round
from state.stats.intervals import summarise
from state.stats.verdict import Verdict
from tests.state.factories import finished

Noise = Callable[[random.Random], float]


def _student(degrees: int) -> Noise:
    """Student's t: tails so heavy that with two degrees of freedom there is no variance."""

    def draw(rng: random.Random) -> float:
        return rng.gauss() / math.sqrt(sum(rng.gauss() ** 2 for _ in range(degrees)) / degrees)

    return draw


def _spiked(rng: random.Random) -> float:
    """One in ten is far away: another program interfered, or a cache helped."""
    return rng.gauss() * (8 if rng.random() < 0.1 else 1)


#: Of the logarithm of a time, with a median of zero.
NOISES: Final[Mapping[str, Noise]] = {
    "log-normal": random.Random.gauss,
    "Student t, 3 degrees": _student(3),
    "Student t, 2 degrees": _student(2),
    "Laplace": lambda rng: rng.expovariate(1) * rng.choice((-1, 1)),
    "outliers": _spiked,
}
#: Noise that only ever makes things slower: the median is not the mean logarithm.
ONE_SIDED: Final[Mapping[str, Noise]] = {
    "exponential": lambda rng: rng.expovariate(1) - math.log(2),
    "Pareto, 2": lambda rng: rng.paretovariate(2) - math.sqrt(2),
}


def _two_state(share: float) -> Noise:
    """A machine that is slower by eight times its noise in a share of its trials: by half, where the noise is 5 %."""
    median = statistics.NormalDist().inv_cdf(0.5 / (1 - share))
    return lambda rng: rng.gauss() + (8 if rng.random() < share else 0) - median


#: Noise of a machine that is in one of two states: a neighbour works, or the host has taken memory back.
TWO_STATE: Final[Mapping[str, Noise]] = {
    "two states, a fifth slow": _two_state(0.2),
    "two states, a third slow": _two_state(1 / 3),
    "two states, nearly half slow": _two_state(0.45),
}
ALL_NOISES: Final[Mapping[str, Noise]] = {**NOISES, **ONE_SIDED, **TWO_STATE}


def sample(
    rng: random.Random, median_s: float, noise: Noise, size: float, rounds: int, *, drift: float = 0.0
) -> list[float]:
    """Times of some rounds around a median; noise of size 0.05 is about 5 %, a drift of 0.1 rises 10 % in all."""
    steps = max(1, rounds - 1)
    # The heaviest tails would leave the range of a float.
    logs = (size * noise(rng) + drift * (k / steps - 0.5) for k in range(rounds))
    return [median_s * math.exp(max(-300.0, min(300.0, log))) for log in logs]


def covered(rng: random.Random, noise: Noise, size: float, rounds: int, repeats: int, *, drift: float = 0.0) -> float:
    """In what share of repeats the interval holds the true median."""
    hits = 0
    for _ in range(repeats):
        found = summarise(sample(rng, 2.0, noise, size, rounds, drift=drift))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 2.0 <= found.high
    return hits / repeats


def table(
    rng: random.Random,
    times_s: Sequence[float],
    noise: Noise,
    sizes: Sequence[float],
    rounds: int,
    *,
    drift: float = 0.0,
) -> dict[str, dict[Round, float]]:
    """Times of several methods in the same rounds of a run, each with its own median and size of noise."""
    rows = enumerate(zip(times_s, sizes, strict=True))
    return {
        str(number): in_rounds(sample(rng, time_s, noise, size, rounds, drift=drift)) for number, (time_s, size) in rows
    }


def in_rounds(times_s: Sequence[float], run: str = "run") -> dict[Round, float]:
    """Times with the run that measured them and their numbers there."""
    return {(run, number): time_s for number, time_s in enumerate(times_s, start=1)}


def moment(rng: random.Random, deviation: float, noise: float, rounds: int, rows: int = 6) -> list[list[float]]:
    """Rows of a run whose moment makes all of them a little faster or slower, half of it in common.

    Two of them differ by that: their log ratio has a standard deviation of `deviation`.
    """
    common = rng.gauss(0, deviation / 2)
    return [
        sample(rng, math.exp(common + rng.gauss(0, deviation / 2)), NOISES["log-normal"], noise, rounds)
        for _ in range(rows)
    ]


def share(verdicts: list[Verdict], *wanted: Verdict) -> float:
    return sum(verdict in wanted for verdict in verdicts) / len(verdicts)


def cells(
    rng: random.Random, times_s: Mapping[str, float], noise: Noise, size: float, rounds: int, *, drift: float = 0.0
) -> Run:
    """A run of all eight cells with true save times; loads take half of them."""
    times = {}
    for name, time_s in times_s.items():
        times[name, "save"] = sample(rng, time_s, noise, size, rounds, drift=drift)
        times[name, "load"] = sample(rng, time_s / 2, noise, size, rounds, drift=drift)
    times |= {(LIMIT, operation): [min(times_s.values()) / 2] * rounds for operation in OPERATIONS}
    return finished(Plan(methods=CELL_NAMES, repeats=rounds), times)
