from hypothesis import given
from hypothesis import strategies as st

from tui.text.charts import SAVE_PIXEL, Bar, bar_chart


def chart(bars: list[Bar], width: int = 80, *, colour: bool = False) -> list[str]:
    return bar_chart("Time", bars, width=width, pixel=SAVE_PIXEL, colour=colour).splitlines()


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=30), st.integers(40, 200))
def test_every_bar_is_as_long_as_its_share_of_the_longest(values: list[float], width: int) -> None:
    lengths = [line.count("█") for line in chart([Bar(f"m{i}", v, "") for i, v in enumerate(values)], width)[1:]]
    assert max(lengths) >= width - len("m10   ") - 1
    for length, value in zip(lengths, values, strict=True):
        assert abs(length - max(lengths) * value / max(values)) <= 1.5


def test_a_row_says_name_value_and_bar() -> None:
    assert chart([Bar("pytorch", 1.0, "1.00"), Bar("t5x", 2.0, "2.00")], 40) == [
        "Time",
        "pytorch  1.00 ██████████████",
        "t5x      2.00 ██████████████████████████",
    ]


def test_a_single_bar_starts_at_the_left() -> None:
    assert chart([Bar("pytorch", 0.1, "0.1")], 30)[1] == "pytorch  0.1 █████████████████"


def test_a_value_of_zero_has_no_bar_and_keeps_its_row() -> None:
    lines = chart([Bar("a", 1.0, ""), Bar("b", 0.0, ""), Bar("c", 1.0, "")])
    assert [line.count("█") > 0 for line in lines[1:]] == [True, False, True]


def test_each_bar_is_drawn_with_its_own_glyph() -> None:
    lines = chart([Bar("a", 1.0, "", "#"), Bar("b", 1.0, "", "=")])
    assert lines[1].startswith("a   ###")
    assert lines[2].startswith("b   ===")


def test_colours_and_background_are_only_sent_when_asked_for() -> None:
    bars = [Bar("a", 1.0, "")]
    assert "\x1b" not in chart(bars)[1]
    coloured = chart(bars, colour=True)[1]
    assert "38;2;0;114;178" in coloured
    assert "48;" not in coloured


def test_no_bars_is_no_chart_and_no_room_is_no_bar() -> None:
    assert chart([]) == []
    assert chart([Bar("a long name", 1.0, "1.00")], 10) == ["Time", "a long name  1.00 "]
