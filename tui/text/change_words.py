"""A change of time in words, the same wherever it is told.

A bare factor has one direction everywhere: the new time over the old one, or that with a switch over that without.
Beside the word faster it is turned round, with its interval: how many times as fast.
"""

from typing import Literal

from state.stats.intervals import Estimate
from state.stats.verdict import verdict
from state.units import format_factor
from tui.text.styled import Piece


def factor_words(change: Estimate) -> str:
    """The bare factor with its interval: ``x1.08 (0.93–1.25)``, or ``x1.08 (no interval)``."""
    return f"{format_factor(change.factor)} ({interval_words(change) or 'no interval'})"


def interval_words(change: Estimate) -> str:
    """The ends of the interval as factors: ``0.93–1.25``; empty without one."""
    if change.low is None or change.high is None:
        return ""
    low, high = (format_factor(Estimate(end).factor)[1:] for end in (change.low, change.high))
    return f"{low}–{high}"


def change_words(change: Estimate, mark: str = "") -> Piece:
    """A change for prose: ``x2.70 faster (2.51–2.90)`` is 2.70 times as fast, slower that many times as long.

    Where none is shown, the verdict with the interval of the time's bare factor: ``no difference shown (time
    x0.93–1.25)``.

    Args:
        change: Of the log of a time.
        mark: Put before the factor of an estimate.
    """
    found = verdict(change)
    if change.reach is not None and found not in ("faster", "slower"):
        return f"{found} (time {mark}x{interval_words(change)})", "dim"
    direction: Literal["faster", "slower"] = "faster" if change.value < 0 else "slower"
    told = -change if direction == "faster" else change
    words = f"{mark}{format_factor(told.factor)} {direction} ({interval_words(told) or 'no interval'})"
    return words, direction if change.reach is not None else "dim"
