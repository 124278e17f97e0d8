"""A change of time in words, the same wherever it is told."""

import math

from state.statistics import Estimate
from state.units import format_factor
from state.verdict import verdict
from tui.pieces import Piece


def change_words(change: Estimate, mark: str = "") -> Piece:
    """``x2.70 faster (2.51–2.90)``; where none is shown, the verdict with the range of times faster that it may be.

    Args:
        change: Of the log of a time.
        mark: Put before the factor of an estimate.
    """
    words = f"{mark}{format_factor(math.exp(abs(change.value)))} {'faster' if change.value < 0 else 'slower'}"
    if change.low is None or change.high is None:
        return f"{words} (no interval)", "dim"
    found = verdict(change)
    if found == "faster" or found == "slower":
        return f"{words} ({_range(*sorted((abs(change.low), abs(change.high))))})", found
    return f"{found} (x{_range(-change.high, -change.low)})", "dim"


def _range(low: float, high: float) -> str:
    """Two ends of an interval as factors: ``2.51–2.90``."""
    return f"{format_factor(math.exp(low))[1:]}–{format_factor(math.exp(high))[1:]}"
