import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.statistics import Summary, factor, improvement_percent, median_of, summarise

times = st.floats(1e-6, 1e6)


@given(st.lists(times, min_size=2))
def test_the_median_lies_in_the_range_and_the_order_does_not_matter(samples: list[float]) -> None:
    summary = summarise(samples)
    assert summary is not None
    assert summary.low is not None
    assert summary.high is not None
    assert summary.low <= summary.median <= summary.high
    assert summarise(samples[::-1]) == summary


def test_a_single_sample_has_no_range_and_none_has_no_summary() -> None:
    assert summarise([2.0]) == Summary(2.0, None, None)
    assert summarise([]) is None


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
