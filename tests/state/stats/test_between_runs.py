import random
import statistics

import pytest

from state.stats.between_runs import ASSUMED_DEVIATION, BetweenRuns, Rows, between_runs
from state.stats.intervals import Estimate, ratio
from tests.state.simulated import moment


def pairs_of(rng: random.Random, count: int, deviation: float, noise: float = 0.05, rounds: int = 5) -> list[Rows]:
    return [
        list(zip(moment(rng, deviation, noise, rounds), moment(rng, deviation, noise, rounds), strict=True))
        for _ in range(count)
    ]


def test_without_pairs_something_is_assumed() -> None:
    assert between_runs([]) == BetweenRuns(ASSUMED_DEVIATION, 0)
    assert ASSUMED_DEVIATION == 0.02
    assert BetweenRuns().reach == pytest.approx(2.776 * 0.02, rel=1e-3)  # t of four degrees of freedom
    assert BetweenRuns(0.02, 10).reach == pytest.approx(2.145 * 0.02, rel=1e-3)  # of fourteen


def test_pairs_without_three_rounds_say_nothing() -> None:
    assert between_runs([[([1.0, 1.0], [9.0, 9.0])]]) == BetweenRuns(ASSUMED_DEVIATION, 0)
    one_sided = [([1.0, 1.0, 1.0], [9.0]), ([1.0], [9.0, 9.0, 9.0])]
    assert between_runs([one_sided]) == BetweenRuns(ASSUMED_DEVIATION, 0)


@pytest.mark.parametrize("deviation", [0.05, 0.2])
def test_many_pairs_show_what_is_there(deviation: float) -> None:
    found = between_runs(pairs_of(random.Random(f"many/{deviation}"), 400, deviation))
    assert found.pairs == 400
    assert found.deviation == pytest.approx(deviation, rel=0.1)


def test_a_few_quiet_pairs_lower_the_assumption_and_a_few_loud_ones_are_believed() -> None:
    rng = random.Random(2)
    assert 0.5 * ASSUMED_DEVIATION < between_runs(pairs_of(rng, 4, 0.0)).deviation < ASSUMED_DEVIATION
    assert between_runs(pairs_of(rng, 4, 0.5)).deviation > 0.2


def test_reaches_add_up_as_the_legs_of_a_triangle() -> None:
    between = BetweenRuns(0.04 / 2.776445, 0)
    widened = between.widen(Estimate(0.1, 0.07, 0.13))
    assert widened.low == pytest.approx(0.05)
    assert widened.high == pytest.approx(0.15)
    assert between.widen(Estimate(0.1)) == Estimate(0.1)


@pytest.mark.parametrize(("deviation", "pairs"), [(0.0, 0), (0.02, 0), (0.02, 10), (0.06, 10), (0.3, 10)])
def test_equal_runs_are_called_different_in_at_most_one_of_twenty_comparisons(deviation: float, pairs: int) -> None:
    rng = random.Random(f"aa/{deviation}/{pairs}")
    knowing, naive = [], []
    for _ in range(300):
        between = between_runs(pairs_of(rng, pairs, deviation))
        (rows,) = pairs_of(rng, 1, deviation)
        changes = [ratio(after, before) for before, after in rows]
        knowing += [between.widen(change).is_shown for change in changes]
        naive += [change.is_shown for change in changes]
    assert statistics.fmean(knowing) <= 0.05
    assert deviation < 0.05 or statistics.fmean(naive) > 0.2, "the rounds alone do not know"
