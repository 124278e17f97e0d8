"""Who may be the fastest. `python -m bench.coverage` has the whole grid; here are its corners."""

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from state.fastest_set import _inverse_trigamma, fastest_set
from tests.state.simulated import NOISES, table

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
    rows = {"a": 1.0, "b": 1.15, "c": 2.0}
    wobble = {"a": [1.0, 1.01, 0.99, 1.0, 1.0], "b": [1.0, 0.99, 1.01, 1.0, 1.0], "c": [1.01, 1.0, 1.0, 0.99, 1.0]}
    one = {
        name: {k: rows[name] * s * w for k, (s, w) in enumerate(zip(steps, wobble[name], strict=True))} for name in rows
    }
    assert fastest_set(one) == ("a",)
    several = {name: {(name, k): time_s for k, time_s in rounds.items()} for name, rounds in one.items()}
    assert fastest_set(several) == ("a", "b")


def test_fewer_than_three_rounds_show_nobody_to_be_slower() -> None:
    fast, slow = dict(enumerate([1.0, 1.01, 0.99])), dict(enumerate([9.0, 9.01, 8.99]))
    assert fastest_set({"slow": slow, "fast": fast}) == ("fast",)
    assert fastest_set({"slow": slow, "fast": {0: 1.0, 1: 1.0}}) == ("slow", "fast")
    assert fastest_set({"slow": {0: 9.0}, "fast": fast, "other": slow}) == ("slow", "fast")
    assert fastest_set({"only": fast}) == ("only",)
    assert fastest_set({}) == ()


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"),
        st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6).map(lambda times: dict(enumerate(times))),
        min_size=1,
    ),
    st.floats(0.01, 100),
)
def test_somebody_is_always_the_fastest_and_the_unit_does_not_matter(
    times_s: dict[str, dict[int, float]], unit: float
) -> None:
    found = fastest_set(times_s)
    assert found
    assert set(found) <= times_s.keys()
    assert list(found) == [name for name in times_s if name in found]
    measured = {name: rounds for name, rounds in times_s.items() if len(rounds) >= 3}
    if measured:  # whoever is fastest by the mean is never shown to be slower
        assert min(measured, key=lambda n: math.fsum(map(math.log, measured[n].values())) / len(measured[n])) in found
    assert set(fastest_set(dict(reversed(times_s.items())))) == set(found)


@given(st.floats(1e-3, 1e3))
def test_the_inverse_of_trigamma_is_one(value: float) -> None:
    assert float(special.polygamma(1, _inverse_trigamma(value))) == pytest.approx(value, rel=1e-6)
