"""When enough rounds are measured: every interval narrow enough, or the time spent."""

from typing import Final

from state.results import method_results
from state.run import Run
from state.statistics import MIN_SAMPLES, half_width

#: Where no time budget ends it, this many rounds do: an interval that is still too wide then will not get narrow.
MAX_ROUNDS: Final = 100


def wants_another_round(run: Run, elapsed_s: float) -> bool:
    """Whether a run whose rounds are all measured shall have one more.

    Only with a precision in its plan. Methods that failed cannot be waited for. Looking at the data and then deciding
    to go on makes the intervals cover a little less often than they say (docs/numbers.md has the measured figure).

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
    widths = [
        half_width(summary.low_s, summary.high_s)
        for result in method_results(run)
        if result.status == "done"
        for summary in (result.save, result.load)
        if summary is not None
    ]
    if not widths:
        return False
    return plan.repeats < MIN_SAMPLES or any(width is None or width > plan.precision for width in widths)
