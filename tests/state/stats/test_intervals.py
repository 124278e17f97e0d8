import math
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from state.stats.intervals import (
    Estimate,
    Summary,
    contrast,
    factor,
    half_width,
    improvement,
    median_of,
    outliers,
    ratio,
    summarise,
)
from state.stats.verdict import verdict
from tests.state.simulated import ALL_NOISES, NOISES, TWO_STATE, covered, sample, share

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


@pytest.mark.parametrize("noise", ALL_NOISES)
@pytest.mark.parametrize("rounds", [5, 6, 7, 8, 9, 10, 13, 20])
def test_from_five_rounds_on_intervals_hold_the_truth_whatever_the_noise(noise: str, rounds: int) -> None:
    # 93 % and, of 1,000 repeats, a standard error
    assert covered(random.Random(f"{noise}/{rounds}"), ALL_NOISES[noise], 0.05, rounds, 1000) >= 0.922


@pytest.mark.parametrize(("noise", "least"), [("two states, a fifth slow", 0.93), ("two states, a third slow", 0.905)])
def test_three_rounds_of_a_machine_in_two_states_hold_less(noise: str, least: float) -> None:
    # In one of 27 cases all three are in the slow state, and nothing in them says so.
    assert covered(random.Random(noise), TWO_STATE[noise], 0.05, 3, 2000) >= least


@pytest.mark.parametrize("noise", [*NOISES, *TWO_STATE])
@pytest.mark.parametrize("rounds", [7, 10, 20])
def test_a_ratio_of_different_kinds_of_noise_is_one_of_medians(noise: str, rounds: int) -> None:
    rng = random.Random(f"kinds/{noise}/{rounds}")
    gauss = NOISES["log-normal"]
    ratios = [
        ratio(sample(rng, 1.0, ALL_NOISES[noise], 0.05, rounds), sample(rng, 1.0, gauss, 0.05, rounds))
        for _ in range(1000)
    ]
    assert sum(not found.is_shown for found in ratios) / 1000 >= 0.93


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


@given(st.lists(times, min_size=3, max_size=6, unique=True))
def test_few_samples_have_the_t_interval_of_scipy_on_logarithms(samples: list[float]) -> None:
    summary = summarise(samples)
    assert summary is not None
    logs = [math.log(sample) for sample in samples]
    low, high = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    within = samples if len(samples) >= 5 else [summary.median]
    assert summary.low == pytest.approx(min(math.exp(low), *within), rel=1e-6)
    assert summary.high == pytest.approx(max(math.exp(high), *within), rel=1e-6)


@given(st.lists(times, min_size=7, max_size=40))
def test_more_samples_have_an_interval_between_the_sign_tests_of_scipy(samples: list[float]) -> None:
    summary = summarise(samples)
    assert summary is not None
    assert summary.low is not None
    assert summary.high is not None
    wider = stats.quantile_test(samples, p=0.5).confidence_interval(0.96)
    assert wider.low <= summary.low * (1 + 1e-9)
    assert summary.high * (1 - 1e-9) <= wider.high
    ordered = sorted(samples)
    beyond = ordered.index(wider.low) + ordered.count(wider.low)  # the next one inwards no longer holds 96 %
    assert beyond >= len(ordered) or summary.low <= ordered[beyond] * (1 + 1e-9)


def test_the_interpolation_is_that_of_hettmansperger_and_sheather() -> None:
    # Of ten: 2 and 9 hold 97.85 %, 3 and 8 89.06 %; (0.9785 - 0.96) / (0.9785 - 0.8906) = 0.2111 of the way in
    # probability, which is 8 * 0.2111 / (2 + 6 * 0.2111) = 0.517 of the way between the samples.
    summary = summarise([math.exp(k) for k in range(1, 11)])
    assert summary is not None
    assert summary.low is not None
    assert summary.high is not None
    assert math.log(summary.low) == pytest.approx(2.517, abs=1e-3)
    assert math.log(summary.high) == pytest.approx(8.483, abs=1e-3)


@given(st.lists(times, min_size=3, max_size=20), st.lists(times, min_size=7, max_size=20))
def test_a_ratio_of_many_rounds_is_put_together_as_zou_and_donner_do(ours: list[float], theirs: list[float]) -> None:
    left, right = summarise(ours), summarise(theirs)
    assert left is not None
    assert right is not None
    (one, low_one, high_one), (two, low_two, high_two) = (
        np.log([s.median, s.low or math.nan, s.high or math.nan]) for s in (left, right)
    )
    difference = one - two
    low = difference - math.sqrt((one - low_one) ** 2 + (high_two - two) ** 2)
    high = difference + math.sqrt((high_one - one) ** 2 + (two - low_two) ** 2)
    found, turned = ratio(ours, theirs), ratio(theirs, ours)
    assert (found.value, found.low, found.high) == pytest.approx((difference, low, high), abs=1e-9)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-difference, -high, -low), abs=1e-9)


@pytest.mark.parametrize(("few", "many"), [(3, 20), (5, 20), (6, 7)])
def test_a_few_rounds_against_many_in_two_states_are_no_difference(few: int, many: int) -> None:
    rng, third = random.Random(f"{few}/{many}"), TWO_STATE["two states, a third slow"]
    gauss = NOISES["log-normal"]
    ratios = [ratio(sample(rng, 1.0, gauss, 0.05, few), sample(rng, 1.0, third, 0.05, many)) for _ in range(600)]
    assert sum(not found.is_shown for found in ratios) / 600 >= 0.93


@given(st.lists(times, min_size=3, max_size=6), st.lists(times, min_size=3, max_size=6))
def test_a_ratio_of_few_rounds_lies_in_its_interval(ours: list[float], theirs: list[float]) -> None:
    found = ratio(ours, theirs)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


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


@pytest.mark.parametrize(("speedup", "share"), [(1, 0), (2, 0.5), (4, 0.75), (0.5, -1), (100, 0.99)])
def test_an_improvement_is_the_share_of_the_time_that_is_saved(speedup: float, share: float) -> None:
    assert improvement(speedup) == pytest.approx(share)


@given(times, times)
def test_a_factor_and_its_reverse_cancel(left: float, right: float) -> None:
    there, back = factor(left, right), factor(right, left)
    assert there is not None
    assert back is not None
    assert there * back == pytest.approx(1)


def test_a_factor_needs_both_times() -> None:
    assert factor(None, 1.0) is None
    assert factor(1.0, None) is None
