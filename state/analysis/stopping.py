"""When enough rounds are measured: every interval narrow enough, or the time spent."""

from collections.abc import Sequence
from typing import Final

from state.analysis.results import method_results
from state.run.records import Run
from state.stats.intervals import half_width, summarise

#: An interval of fewer rounds may be narrow because they happen to agree.
MIN_ROUNDS: Final = 5

#: Where no time budget ends it, this many rounds do: an interval that is still too wide then will not get narrow.
MAX_ROUNDS: Final = 100


def wants_another_round(run: Run, elapsed_s: float) -> bool:
    """Whether a run whose rounds are all measured shall have one more.

    Only with a precision in its plan. Methods that failed are not waited for.

    Args:
        run: With every round of its plan tried.
        elapsed_s: Since it started.
    """
    plan = run.plan
    if plan.precision is None or plan.repeats >= MAX_ROUNDS:
        return False
    per_round_s = elapsed_s / plan.repeats
    if plan.budget_s is not None and elapsed_s + per_round_s > plan.budget_s:
        return False
    return any(
        not is_settled(summary.samples_s, plan.precision)
        for result in method_results(run)
        if result.status == "done"
        for summary in (result.save, result.load)
        if summary is not None
    )


def is_settled(samples_s: Sequence[float], precision: float) -> bool:
    """Whether an interval is narrow enough, and was so one round ago.

    To look at the data and stop when they please makes intervals hold the truth less often than they say: in 90 to 92 %
    where the first narrow interval of three rounds ends it. With five rounds and two narrow intervals in a row it is
    93 % and more (`python -m bench.coverage`).
    """
    if len(samples_s) < MIN_ROUNDS:
        return False
    for found in (summarise(samples_s), summarise(samples_s[:-1])):
        width = half_width(found.low, found.high) if found is not None else None
        if width is None or width > precision:
            return False
    return True
