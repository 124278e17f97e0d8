"""A factor and its interval: one direction, one rounding, in the table, in prose and in the JSON."""

import re
from math import log

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.analysis.comparison import Change, compare
from state.plan import Plan
from state.run.records import Run
from state.stats.intervals import LEAST_DIFFERENCE, Estimate
from state.units import format_factor
from tests.state.factories import run_of
from tui.text.change_words import change_words, factor_words
from tui.text.compare import compare_lines
from tui.text.styled import for_screen

FACTOR = r"x(?P<factor>[\d.]+) \((?:(?P<low>[\d.]+)–(?P<high>[\d.]+)|no interval)\)"
CELL = re.compile(rf"{FACTOR}  +(?P<verdict>[a-z ]+)")
#: Logarithms of factors that a run may show.
LOGS = st.floats(-20, 20)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    low, value, high = sorted(draw(st.tuples(LOGS, LOGS, LOGS)))
    return Estimate(value, low, high) if draw(st.booleans()) else Estimate(value)


def runs() -> st.SearchStrategy[Run]:
    """Runs of pytorch with one to twelve rounds of any times."""
    times = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)
    return st.builds(lambda *s: run_of(Plan(methods=("pytorch",), repeats=12), _times(*s)), times, times)


def _times(saves_s: list[float], loads_s: list[float]) -> dict[tuple[str, str], list[float]]:
    rounds = min(len(saves_s), len(loads_s))  # a save whose load never came has no time
    return {("pytorch", "save"): saves_s[:rounds], ("pytorch", "load"): loads_s[:rounds]}


def within(match: re.Match[str]) -> bool:
    """Whether the interval that is written down holds the factor that is written down beside it."""
    return match["low"] is None or float(match["low"]) <= float(match["factor"]) <= float(match["high"])


def written(factor: float | None) -> str | None:
    return format_factor(factor)[1:] if factor is not None else None


@given(runs(), runs())
def test_the_table_and_the_json_have_one_direction_and_one_verdict(before: Run, after: Run) -> None:
    found = compare(before, after)
    rows = for_screen(compare_lines(before, after, found)).plain.splitlines()
    changes = msgspec.json.decode(msgspec.json.encode(found.changes), type=tuple[Change, ...])
    for change in changes:
        (match,) = (CELL.search(row) for row in rows if row.startswith(f"pytorch {change.operation} "))
        assert match is not None
        assert within(match)
        assert match["verdict"] == change.verdict
        assert change.before_s is not None
        assert change.after_s is not None
        assert change.ratio == pytest.approx(change.after_s / change.before_s)
        assert [match["factor"], match["low"], match["high"]] == [
            written(factor) for factor in (change.ratio, change.low, change.high)
        ]
        if change.low is None or change.high is None:
            assert change.verdict == "cannot tell"
            continue
        assert (change.verdict == "faster") == (change.high < 1)
        assert (change.verdict == "slower") == (change.low > 1)


@given(estimates())
def test_a_bare_factor_is_inside_its_interval(change: Estimate) -> None:
    match = re.fullmatch(FACTOR, factor_words(change))
    assert match is not None
    assert within(match)


@given(estimates())
def test_beside_faster_and_slower_the_interval_belongs_to_the_word(change: Estimate) -> None:
    words, _ = change_words(change)
    if match := re.fullmatch(r"x(?P<factor>[\d.]+) (faster|slower) \((?:(?P<low>[\d.]+)–(?P<high>[\d.]+)|.*)\)", words):
        assert within(match)
        assert float(match["factor"]) >= 1
        assert match["low"] is None or float(match["low"]) >= 1
        assert (match[2] == "faster") == (change.value < 0)
    else:
        match = re.fullmatch(r"(?:no difference shown|cannot tell) \(time x(?P<low>[\d.]+)–(?P<high>[\d.]+)\)", words)
        assert match is not None
        assert change.low is not None
        assert change.high is not None
        assert change.low <= 0 <= change.high or abs(change.value) < LEAST_DIFFERENCE
        assert [match["low"], match["high"]] == [written(Estimate(end).factor) for end in (change.low, change.high)]


@pytest.mark.parametrize(
    ("change", "bare", "words"),
    [
        (Estimate(log(0.37), log(0.34), log(0.4)), "x0.370 (0.340–0.400)", "x2.70 faster (2.50–2.94)"),
        (Estimate(log(2.7), log(2.51), log(2.9)), "x2.70 (2.51–2.90)", "x2.70 slower (2.51–2.90)"),
        (Estimate(log(1.08), log(0.93), log(1.25)), "x1.08 (0.930–1.25)", "no difference shown (time x0.930–1.25)"),
        (Estimate(log(0.9), log(0.5), log(1.7)), "x0.900 (0.500–1.70)", "cannot tell (time x0.500–1.70)"),
        (Estimate(log(0.5)), "x0.500 (no interval)", "x2.00 faster (no interval)"),
    ],
)
def test_words(change: Estimate, bare: str, words: str) -> None:
    assert (factor_words(change), change_words(change)[0]) == (bare, words)
