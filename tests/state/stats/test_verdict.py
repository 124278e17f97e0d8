import math

import pytest

from state.stats.intervals import Estimate
from state.stats.verdict import TELLING, verdict


@pytest.mark.parametrize(
    ("low", "value", "high", "expected"),
    [
        (-0.5, -0.3, -0.1, "faster"),
        (0.1, 0.3, 0.5, "slower"),
        (-0.05, 0.0, 0.05, "no difference shown"),
        (-0.5, 0.0, 0.5, "cannot tell"),
        (None, 0.7, None, "cannot tell"),
    ],
)
def test_an_interval_in_words(low: float | None, value: float, high: float | None, expected: str) -> None:
    assert verdict(Estimate(value, low, high)) == expected


def test_without_a_ratio_nobody_can_tell() -> None:
    assert verdict(None) == "cannot tell"


@pytest.mark.parametrize(("share", "expected"), [(0.24, "no difference shown"), (0.26, "cannot tell")])
def test_no_difference_is_shown_only_where_a_quarter_would_have_been(share: float, expected: str) -> None:
    assert TELLING == 0.25
    reach = math.log(1 + share)
    assert verdict(Estimate(0.0, -reach, reach)) == expected
