import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from state.statistics import (
    Estimate,
    Summary,
    contrast,
    factor,
    half_width,
    improvement_percent,
    median_of,
    outliers,
    ratio,
    summarise,
)
from state.verdict import verdict
from tests.state.simulated import NOISES, ONE_SIDED, covered, sample, share

times = st.floats(1e-6, 1e6)


@given(st.lists(times, min_size=3, max_size=30))
def test_the_median_lies_in_its_interval_and_the_order_does_not_matter(samples: list[float]) -> None:
    summary = summarise(samples)
    assert summary is not None
    assert summary.low is not None
    assert summary.high is not None
    assert summary.low <= summary.median <= summary.high
    assert summarise(samples[::-1]) == summary


@pytest.mark.parametrize("samples", [[2.0], [1.0, 3.0]])
def test_fewer_than_three_samples_have_no_interval(samples: list[float]) -> None:
    assert summarise(samples) == Summary(2.0, None, None)


def test_no_sample_has_no_summary() -> None:
    assert summarise([]) is None


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rounds", [3, 5, 10])
def test_intervals_hold_the_truth_as_often_as_they_say(noise: str, rounds: int) -> None:
    rng = random.Random(f"{noise}/{rounds}")
    for size in (0.0, 0.02, 0.1, 0.5):
        assert covered(rng, NOISES[noise], size, rounds, 1000) >= 0.93
    assert covered(rng, NOISES[noise], 0.05, rounds, 1000, drift=0.2) >= 0.93


@pytest.mark.parametrize("noise", [*NOISES, *ONE_SIDED])
def test_many_rounds_hold_the_truth_whatever_the_noise(noise: str) -> None:
    rng = random.Random(noise)
    assert covered(rng, {**NOISES, **ONE_SIDED}[noise], 0.1, 20, 1000) >= 0.93


@pytest.mark.parametrize("noise", ONE_SIDED)
@pytest.mark.parametrize("rounds", [5, 10])
def test_one_sided_noise_costs_little_of_the_coverage(noise: str, rounds: int) -> None:
    assert covered(random.Random(f"{noise}/{rounds}"), ONE_SIDED[noise], 0.1, rounds, 1000) >= 0.92


@pytest.mark.parametrize("rounds", [3, 5, 10])
def test_the_same_thing_twice_is_called_different_in_at_most_one_of_twenty(rounds: int) -> None:
    rng = random.Random(f"aa/{rounds}")
    verdicts = []
    for noise in NOISES.values():
        for size in (0.02, 0.1, 0.5):
            pairs = [[sample(rng, 1.0, noise, size, rounds) for _ in range(2)] for _ in range(1000)]
            of_one = [verdict(ratio(*pair)) for pair in pairs]
            assert share(of_one, "faster", "slower") <= 0.065  # 5 % and two standard errors of 1,000 repeats
            verdicts += of_one
    assert share(verdicts, "faster", "slower") <= 0.05


def test_the_same_times_twice_are_not_different() -> None:
    assert verdict(ratio([1.0] * 3, [1.0] * 3)) == "no difference shown"


def test_a_fifth_more_time_is_found_under_five_percent_of_noise() -> None:
    rng = random.Random(20)
    gauss = NOISES["log-normal"]
    pairs = [(sample(rng, 1.2, gauss, 0.05, 5), sample(rng, 1.0, gauss, 0.05, 5)) for _ in range(1000)]
    assert share([verdict(ratio(*pair)) for pair in pairs], "slower") >= 0.9
    assert share([verdict(ratio(after, before)) for before, after in pairs], "faster") >= 0.9


@given(st.lists(times, min_size=3, max_size=10, unique=True))
def test_few_samples_have_the_t_interval_of_scipy_on_logarithms(samples: list[float]) -> None:
    summary = summarise(samples)
    assert summary is not None
    logs = [math.log(sample) for sample in samples]
    low, high = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    assert summary.low == pytest.approx(min(math.exp(low), summary.median), rel=1e-6)
    assert summary.high == pytest.approx(max(math.exp(high), summary.median), rel=1e-6)


@given(st.lists(times, min_size=11, max_size=40))
def test_many_samples_have_the_median_interval_of_scipy(samples: list[float]) -> None:
    summary = summarise(samples)
    assert summary is not None
    interval = stats.quantile_test(samples, p=0.5).confidence_interval(0.95)
    assert (summary.low, summary.high) == (interval.low, interval.high)


def test_welchs_interval_is_that_of_scipy_and_of_the_textbook() -> None:
    # Data of the example "Welch's t-test" that goes back to Yuen (1974) in many textbooks would be long to cite: these
    # are two short samples of unequal size and spread, held against scipy's implementation.
    left, right = [19.8, 20.4, 19.6, 17.8, 18.5, 18.9], [28.2, 26.6, 20.1, 23.3, 25.2]
    found = contrast([left, right], [1.0, -1.0])
    expected = stats.ttest_ind(left, right, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(statistics.fmean(left) - statistics.fmean(right))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_group_without_weight_does_not_matter_and_one_with_two_values_costs_the_interval() -> None:
    assert contrast([[1.0, 2.0, 3.0], []], [1.0, 0.0]).low is not None
    assert contrast([[1.0, 2.0, 3.0], [1.0, 2.0]], [1.0, -1.0]) == Estimate(0.5)


def test_no_noise_leaves_no_doubt() -> None:
    assert contrast([[2.0] * 3, [1.0] * 3], [1.0, -1.0]) == Estimate(1.0, 1.0, 1.0)


def test_a_difference_is_shown_only_if_the_interval_excludes_none() -> None:
    assert Estimate(0.5, 0.1, 0.9).is_shown
    assert (-Estimate(0.5, 0.1, 0.9)) == Estimate(-0.5, -0.9, -0.1)
    assert not Estimate(0.5, -0.1, 1.1).is_shown
    assert not Estimate(0.5).is_shown
    assert -Estimate(0.5) == Estimate(-0.5)


def test_half_a_width_is_a_factor() -> None:
    assert half_width(1 / 1.1, 1.1) == pytest.approx(0.1)
    assert half_width(None, 1.0) is None


def test_the_outlier_of_tietjen_and_moore_is_flagged() -> None:
    # Tietjen and Moore, Technometrics 14(3), 1972, as in the NIST e-Handbook of Statistical Methods, 1.3.5.17.1.
    uranium = [199.31, 199.53, 200.19, 200.82, 201.92, 201.95, 202.18, 245.57]
    assert outliers(uranium) == (7,)


def test_equal_samples_and_few_samples_have_no_outliers() -> None:
    assert outliers([1.0] * 9) == ()
    assert outliers([1.0, 1.0, 1.0, 50.0]) == ()
    assert outliers([1.0] * 8 + [50.0]) == (8,)  # more than half are equal, so the mean deviation decides


@given(st.lists(times, min_size=5, max_size=12), st.floats(0.01, 100))
def test_outliers_do_not_depend_on_the_unit(samples: list[float], unit: float) -> None:
    spread = [round(math.log(s), 3) for s in samples]
    assert outliers([math.exp(s) for s in spread]) == outliers([math.exp(s) for s in spread])
    assert len(outliers([s * unit for s in samples])) <= len(samples) / 2


def test_unknown_values_do_not_count() -> None:
    assert median_of([None, 3.0, 1.0, None, 2.0]) == 2.0
    assert median_of([None]) is None


@pytest.mark.parametrize(("speedup", "percent"), [(1, 0), (2, 50), (4, 75), (0.5, -100), (100, 99)])
def test_an_improvement_is_the_share_of_the_time_that_is_saved(speedup: float, percent: float) -> None:
    assert improvement_percent(speedup) == pytest.approx(percent)


@given(times, times)
def test_a_factor_and_its_reverse_cancel(left: float, right: float) -> None:
    there, back = factor(left, right), factor(right, left)
    assert there is not None
    assert back is not None
    assert there * back == pytest.approx(1)


def test_a_factor_needs_both_times() -> None:
    assert factor(None, 1.0) is None
    assert factor(1.0, None) is None
