import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.errors import UnitError
from state.units import (
    format_bytes,
    format_duration,
    format_factor,
    format_rate,
    format_seconds,
    parse_duration,
    parse_share,
    parse_size,
    size_argument,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4096", 4096),
        ("256MiB", 256 * 2**20),
        ("256mib", 256 * 2**20),
        (" 1.5 GB ", 1_500_000_000),
        ("64KiB", 65536),
        ("1k", 1000),
        ("0.001kB", 1),
        ("2TiB", 2 * 2**40),
    ],
)
def test_sizes_are_read_in_decimal_and_binary_units(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "0", "0.0001", "-1", "+1", "1e9", "lots", "12 XB", "1,5GB", "NaN", "inf", "٣MB", "1 2"]
)
def test_what_is_no_positive_size_is_refused_with_the_text_in_the_reason(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)
    assert "MiB" in caught.value.do


@given(st.text())
def test_any_text_is_a_positive_size_or_a_unit_error(text: str) -> None:
    with contextlib.suppress(UnitError):
        assert parse_size(text) >= 1


@given(st.integers(1, 2**60))
def test_a_size_survives_being_written_as_an_argument(size_bytes: int) -> None:
    assert parse_size(size_argument(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (999.9, "1.00 kB"), (1000, "1.00 kB"), (87_566_400, "87.6 MB"), (6.85e9, "6.85 GB")],
)
def test_people_read_sizes_in_decimal_units(size_bytes: float, text: str) -> None:
    assert format_bytes(size_bytes) == text
    assert format_rate(size_bytes) == f"{text}/s"


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0, "0"), (0.01234, "0.0123"), (0.9996, "1.00"), (6.4, "6.40"), (99.96, "100"), (1234.5, "1234")],
)
def test_seconds_have_three_significant_digits(time_s: float, text: str) -> None:
    assert format_seconds(time_s) == text


@given(st.floats(1e-6, 1e6))
def test_formatted_seconds_are_within_half_a_percent(time_s: float) -> None:
    assert math.isclose(float(format_seconds(time_s)), time_s, rel_tol=0.0051)


@pytest.mark.parametrize(("time_s", "text"), [(0, "0:00"), (59.6, "1:00"), (185, "3:05"), (3723, "1:02:03")])
def test_waits_are_minutes_and_seconds(time_s: float, text: str) -> None:
    assert format_duration(time_s) == text


@pytest.mark.parametrize(
    ("text", "time_s"), [("90", 90), ("90s", 90), ("1.5 h", 5400), (" 10min ", 600), ("0.5s", 0.5)]
)
def test_durations_are_read_in_seconds_minutes_and_hours(text: str, time_s: float) -> None:
    assert parse_duration(text) == time_s


@pytest.mark.parametrize("text", ["", "0", "0min", "-5s", "5 days", "ten", "1e3", "5%"])
def test_what_is_no_positive_duration_is_refused_with_the_text_in_the_reason(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("12.5 %", 0.125), ("0%", 0.0)])
def test_percentages_are_read_as_shares(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "5", "0.05", "-5%", "five%", "%"])
def test_what_is_no_percentage_is_refused_with_the_text_in_the_reason(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_share(text)
    assert repr(text) in str(caught.value)


def test_a_factor_carries_a_cross() -> None:
    assert format_factor(58.34) == "x58.3"
