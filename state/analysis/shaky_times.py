"""Sentences about times that are shaky: too few rounds, a drift, a noisy machine, trials that stand apart."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from state.analysis.stopping import MIN_ROUNDS, is_settled
from state.plan import LIMIT, Operation, Plan
from state.run.records import Result
from state.schedule import Trial
from state.stats.intervals import CONFIDENCE, MIN_SAMPLES, half_width, outliers, summarise, t_quantile
from state.stats.two_groups import BY_CHANCE, two_groups
from state.units import format_factor, format_seconds, share_argument

#: Half of the intervals wider than this each way make a noisy machine.
_NOISY: Final = 0.25
#: A drift below this from the first round to the last changes no decision.
_DRIFT: Final = 0.10
#: With three rounds a straight line fits anything.
_MIN_ROUNDS_FOR_DRIFT: Final = 4

#: Method and operation -> round -> time in seconds.
Times = Mapping[tuple[str, Operation], Mapping[int, float]]


def shaky(plan: Plan, measured: Sequence[tuple[Trial, Result]]) -> Iterator[str]:
    """What makes these times shaky.

    Args:
        plan: What was asked for.
        measured: Every trial so far that has a result.
    """
    if plan.repeats < MIN_SAMPLES:
        have = "One round has" if plan.repeats == 1 else "Two rounds have"
        yield f"{have} no interval, so no difference can be shown: use {MIN_SAMPLES} rounds or more."
    times: dict[tuple[str, Operation], dict[int, float]] = {}
    for trial, result in measured:
        times.setdefault((trial.method, trial.operation), {})[trial.round] = result.time_s
    samples = [list(rounds.values()) for rounds in times.values()]
    drift = _drift(times)
    if drift is not None and abs(drift) > math.log(1 + _DRIFT):
        way = "rose" if drift > 0 else "fell"
        yield (
            f"Times {way} by {abs(math.expm1(drift)):.0%} from the first round to the last: something else changes "
            "meanwhile (other programs, heat, a filling disk)."
        )
    if plan.precision is not None and plan.repeats >= MIN_ROUNDS:
        wide = sum(not is_settled(s, plan.precision) for s in samples)
        if wide:
            asked = f"±{share_argument(plan.precision)}"
            yield f"{wide} of {len(samples)} intervals are not within the {asked} that was asked for."
    widths = [
        width for s in samples if (found := summarise(s)) and (width := half_width(found.low, found.high)) is not None
    ]
    if widths and statistics.median(widths) > _NOISY:
        width = statistics.median(widths)
        reach = (
            f"are wider than ±{width:.0%}"
            if width < 1
            else f"reach beyond {format_factor(1 + width)[1:]} times as much"
        )
        yield (
            f"Half of the intervals {reach}: this machine is noisy, or the times are short. More rounds narrow them."
        )
    yield from _two_groups(times)
    apart = sum(len(outliers(s)) for s in samples)
    if apart:
        yield (
            f"{apart} of {sum(map(len, samples))} trials stand far apart from their other rounds. They count like the "
            "others; the details mark them."
        )


def _two_groups(times: Times) -> Iterator[str]:
    """That a machine looks as if it were in one of two states, with the clearest example.

    Only if more rows look so than chance would explain in one of twenty runs.
    """
    all_groups = {kind: two_groups(list(rounds.values())) for kind, rounds in times.items()}
    found = {kind: groups for kind, groups in all_groups.items() if groups is not None}
    rows, count = len(times), len(found)
    fewer = sum(math.comb(rows, k) * BY_CHANCE**k * (1 - BY_CHANCE) ** (rows - k) for k in range(count))
    if 1 - fewer > 1 - CONFIDENCE:
        return
    method, operation = kind = max(found, key=lambda kind: found[kind].slow_s / found[kind].fast_s)
    name, groups = "plain file" if method == LIMIT else method, found[kind]
    yield (
        f"The times of {count} of {rows} rows fall into two groups ({name} {operation}: {groups.fast_count} near "
        f"{format_seconds(groups.fast_s)} s, {groups.slow_count} near {format_seconds(groups.slow_s)} s). The machine "
        "seems to be in one of two states, as with busy neighbours or memory that its host takes back; a median then "
        "says which state is the more frequent."
    )


def _drift(times: Times) -> float | None:
    """The change of log time from the first round to the last, if it is shown; None if not.

    A straight line through what each round took on average; methods that lack rounds are left out. Shown means that
    Student's t of its slope is beyond 95 %.
    """
    if not times:
        return None
    most = max(map(len, times.values()))
    complete = [of_round for of_round in times.values() if len(of_round) == most]
    rounds = sorted(set.intersection(*map(set, complete)))
    count = len(rounds)
    if count < _MIN_ROUNDS_FOR_DRIFT:
        return None
    means = [statistics.fmean(math.log(of_round[number]) for of_round in complete) for number in rounds]
    line = statistics.linear_regression(rounds, means)
    rest = sum((mean - line.slope * number - line.intercept) ** 2 for number, mean in zip(rounds, means, strict=True))
    spread = sum((number - statistics.fmean(rounds)) ** 2 for number in rounds)
    error = math.sqrt(rest / (count - 2) / spread)
    if abs(line.slope) <= t_quantile(count - 2) * error:
        return None
    return line.slope * (rounds[-1] - rounds[0])
