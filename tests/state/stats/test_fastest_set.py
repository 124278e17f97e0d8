"""Who may be the fastest. `python -m bench.coverage` has the whole grid; here are its corners."""

import math
import random
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special

from state.stats.between_runs import BetweenRuns
from state.stats.fastest_set import Round, _inverse_trigamma, fastest_set
from tests.state.simulated import NOISES, in_rounds, sample, table

GAUSS = NOISES["log-normal"]
Sizes = Callable[[random.Random, int], list[float]]


def equal(rng: random.Random, methods: int) -> list[float]:
    return [0.1] * methods


def unequal(rng: random.Random, methods: int) -> list[float]:
    return [0.03 * 10 ** rng.random() for _ in range(methods)]


def left_out(
    times_s: Sequence[float], whom: Sequence[int], sizes: Sizes, rounds: int, runs: int, *, drift: float = 0.0
) -> float:
    """In what share of runs one of some methods is not in the set."""
    rng, hits = random.Random(f"{len(times_s)}/{rounds}/{sizes.__name__}"), 0
    for _ in range(runs):
        found = fastest_set(table(rng, times_s, GAUSS, sizes(rng, len(times_s)), rounds, drift=drift))
        hits += any(str(number) not in found for number in whom)
    return hits / runs


@pytest.mark.parametrize("sizes", [equal, unequal])
@pytest.mark.parametrize(("methods", "rounds"), [(2, 3), (2, 10), (6, 3), (6, 5), (6, 10), (27, 3), (27, 7)])
def test_an_equal_method_is_left_out_in_one_of_twenty_runs_at_most(methods: int, rounds: int, sizes: Sizes) -> None:
    runs = 600 if methods < 27 else 300
    allowed = 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)  # and two standard errors of the simulation
    assert left_out([1.0] * methods, range(methods), sizes, rounds, runs) <= allowed
    fast = methods - methods // 2
    half_slow = [1.0] * fast + [3.0] * (methods - fast)
    assert left_out(half_slow, range(fast), sizes, rounds, runs) <= allowed


@pytest.mark.parametrize(("methods", "rounds"), [(6, 3), (6, 5), (27, 5)])
def test_the_fastest_is_kept(methods: int, rounds: int) -> None:
    assert left_out([1.0] + [1.05] * (methods - 1), [0], unequal, rounds, 300) <= 0.05


@pytest.mark.parametrize(("methods", "rounds", "factor"), [(6, 3, 1.5), (6, 5, 1.3), (6, 10, 1.2), (27, 5, 1.4)])
def test_a_slower_method_is_told_apart(methods: int, rounds: int, factor: float) -> None:
    assert left_out([1.0] * (methods - 1) + [factor], [methods - 1], equal, rounds, 200) >= 0.8


def test_a_drift_that_all_share_hides_nobody() -> None:
    times_s = [1.0] * 5 + [1.3]
    assert left_out(times_s, [5], equal, 5, 200, drift=0.5) >= 0.8
    assert left_out([1.0] * 6, range(6), equal, 5, 400, drift=0.5) <= 0.08


def test_rounds_of_several_runs_are_not_shared() -> None:
    # What moves both in step is no noise between them in one run; in two runs nobody knows that it was the same.
    steps = [1.0, 1.3, 0.8, 1.2, 0.9]
    rows = {"a": 1.0, "b": 1.2, "c": 2.0}
    wobble = {"a": [1.0, 1.01, 0.99, 1.0, 1.0], "b": [1.0, 0.99, 1.01, 1.0, 1.0], "c": [1.01, 1.0, 1.0, 0.99, 1.0]}
    times_s = {name: [rows[name] * s * w for s, w in zip(steps, wobble[name], strict=True)] for name in rows}
    assert fastest_set({name: in_rounds(times_s[name]) for name in rows}) == ("a",)
    assert fastest_set({name: in_rounds(times_s[name], run=name) for name in rows}) == ("a", "b")


@pytest.mark.parametrize("deviation", [0.01, 0.03, 0.06])
def test_what_equal_runs_differ_by_leaves_out_nobody(deviation: float) -> None:
    rng, hits = random.Random(f"runs/{deviation}"), 0
    between = BetweenRuns(deviation, 20)
    for _ in range(300):
        moments = [math.exp(rng.gauss(0, deviation / math.sqrt(2))) for _ in range(6)]
        times_s = {
            str(k): in_rounds(sample(rng, moment, GAUSS, 0.02, 5), run=str(k)) for k, moment in enumerate(moments)
        }
        hits += len(fastest_set(times_s, between)) < 6
    assert hits / 300 <= 0.07


def test_fewer_than_three_rounds_show_nobody_to_be_slower() -> None:
    fast, slow = in_rounds([1.0, 1.01, 0.99]), in_rounds([9.0, 9.01, 8.99])
    assert fastest_set({"slow": slow, "fast": fast}) == ("fast",)
    assert fastest_set({"slow": slow, "fast": in_rounds([1.0, 1.0])}) == ("slow", "fast")
    assert fastest_set({"slow": in_rounds([9.0]), "fast": fast, "other": slow}) == ("slow", "fast")
    assert fastest_set({"only": fast}) == ("only",)
    assert fastest_set({}) == ()


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9).map(in_rounds), min_size=1
    )
)
def test_the_lowest_median_is_always_in_it(times_s: dict[str, dict[Round, float]]) -> None:
    found = fastest_set(times_s)
    assert list(found) == [name for name in times_s if name in found]
    assert min(times_s, key=lambda name: statistics.median(times_s[name].values())) in found
    assert set(fastest_set(dict(reversed(times_s.items())))) == set(found)


def by_numpy(times_s: dict[str, dict[Round, float]]) -> tuple[str, ...]:
    """The same for methods of one run with equal rounds, written a second time: with arrays, from the description."""
    y = np.log([list(rounds.values()) for rounds in times_s.values()])
    methods, rounds = y.shape
    rest = y - y.mean(axis=1, keepdims=True)
    degrees = rounds - 1.0
    if methods >= 3:
        rest -= rest.mean(axis=0)
        degrees *= 1 - 1 / methods
    own = (rest**2).sum(axis=1) / degrees
    variance, total = own, degrees
    if methods >= 3:
        level = np.log(own) - special.digamma(degrees / 2) + np.log(degrees / 2)
        chance = special.polygamma(1, degrees / 2)
        excess = max(level.var(ddof=1) - chance, 0) + 0.3 * chance * np.sqrt(2 / (methods - 1))
        prior = 2 * optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-6, 1e9)
        geometric = np.exp(level.mean() + special.digamma(prior / 2) - np.log(prior / 2))
        common = np.sqrt(geometric * max(geometric, own.mean()))
        total = prior + degrees
        variance = np.maximum(own, (prior * common + degrees * own) / total)
    pair = (variance[:, None] + variance[None, :]) / rounds
    nu = total * (variance[:, None] + variance[None, :]) ** 2 / (variance[:, None] ** 2 + variance[None, :] ** 2)
    t = (y.mean(axis=1)[:, None] - y.mean(axis=1)[None, :]) / np.sqrt(pair)
    p = special.stdtr(np.minimum(nu, methods * degrees), -t)
    median = np.median(y, axis=1)
    p[median[:, None] - median[None, :] < math.log(1.0005)] = 1
    left = np.ones(methods, bool)
    while (out := left & (p[:, left] <= 0.05 / max(1, left.sum() * (left.sum() - 1))).any(axis=1)).any():
        left &= ~out
    return tuple(name for name, stays in zip(times_s, left, strict=True) if stays)


@pytest.mark.parametrize("methods", [2, 3, 6, 12])
def test_the_same_is_found_by_a_second_implementation(methods: int) -> None:
    rng, sizes_seen = random.Random(f"twice/{methods}"), set()
    for number in range(150):
        times_s = [math.exp(rng.gauss(0, 0.15)) for _ in range(methods)]
        found = table(rng, times_s, GAUSS, unequal(rng, methods), 3 + number % 5)
        assert fastest_set(found) == by_numpy(found)
        sizes_seen.add(len(fastest_set(found)))
    assert len(sizes_seen) >= min(methods, 3)


@given(st.floats(1e-3, 1e3))
def test_the_inverse_of_trigamma_is_one(value: float) -> None:
    assert float(special.polygamma(1, _inverse_trigamma(value))) == pytest.approx(value, rel=1e-6)
