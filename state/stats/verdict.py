"""What an interval says about a difference, in the words of this program."""

from typing import Final, Literal

from state.stats.intervals import LEAST_DIFFERENCE, Estimate

Verdict = Literal["faster", "slower", "no difference shown", "cannot tell"]

#: An interval that holds "no difference" and is wider than this each way would have hidden a difference that people
#: care about: then nothing was shown either way.
TELLING: Final = 0.25


def verdict(ratio: Estimate | None) -> Verdict:
    """What is shown of a ratio of times, on the log scale (below zero is faster); None is no ratio.

    ``faster`` and ``slower`` if its 95 % interval excludes equality and its factor is not written as x1.00. Else ``no
    difference shown`` if a difference of 25 % would have been seen, and ``cannot tell`` if not, or without an interval.
    """
    if ratio is None or ratio.reach is None:
        return "cannot tell"
    if ratio.is_shown and abs(ratio.value) >= LEAST_DIFFERENCE:
        return "faster" if ratio.value < 0 else "slower"
    return "no difference shown" if ratio.reach <= TELLING else "cannot tell"
