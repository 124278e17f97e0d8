"""How often what is said of times is right: intervals, verdicts, the set of the fastest, two groups.

Simulated rounds around known medians, with noise of several kinds and sizes:

    python -m bench.coverage --repeats 2000

Everything that is simulated goes through the functions that the program uses.
"""

import functools
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from state.analysis.stopping import MAX_ROUNDS, is_settled
from state.plan import Plan
from state.stats.between_runs import Rows, between_runs
from state.stats.fastest_set import Round, fastest_set
from state.stats.intervals import Estimate, ratio, summarise
from state.stats.two_groups import two_groups
from state.stats.verdict import verdict
from tests.state.simulated import ALL_NOISES, NOISES, TWO_STATE, Noise, covered, moment, sample, share, table

ROUNDS: Final = (3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
SIZES: Final = (0.02, 0.1, 0.5)
METHODS: Final = (2, 6, 27)
#: A drift of all times from the first round to the last.
DRIFT: Final = 0.3
_GAUSS: Final = NOISES["log-normal"]
#: How much slower a method may have to be to be told apart.
_FACTORS: Final = (1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)

#: The noise of the methods of one run: the kind, the size of each, and the drift that they share.
Machine = Callable[[random.Random, int], tuple[Noise, Sequence[float], float]]
_MACHINES: Final[Mapping[str, Machine]] = {
    "equal noise of 10 %": lambda rng, methods: (_GAUSS, [0.1] * methods, 0.0),
    "noise from 3 % to 30 %": lambda rng, methods: (_GAUSS, [0.03 * 10 ** rng.random() for _ in range(methods)], 0.0),
    "heavy tails": lambda rng, methods: (NOISES["Student t, 3 degrees"], [0.1] * methods, 0.0),
    "drift of 30 %": lambda rng, methods: (_GAUSS, [0.1] * methods, DRIFT),
    "two states, a third slow": lambda rng, methods: (TWO_STATE["two states, a third slow"], [0.05] * methods, 0.0),
}


@click.command()
@click.option("--repeats", type=click.IntRange(1), default=2000, show_default=True, help="Experiments per figure.")
def main(repeats: int) -> None:
    """Print what the intervals, the verdicts and the set of the fastest keep of their promises."""
    console = Console(width=165)
    worst = f"worst of noise of {', '.join(f'{size:.0%}' for size in SIZES)}"
    for title, figure in (
        (f"95 % intervals of a median that hold the truth, {worst}", _median_coverage),
        (f"95 % intervals of a ratio of equal noise that hold the truth, {worst}", _ratio_coverage),
        ("The same where one has noise of 10 % and the other of 2 %", _unequal_coverage),
        ("The same where one has log-normal noise instead", _other_kind_coverage),
        ("The same with three rounds of log-normal noise against so many", _three_against),
        (f"Equal pairs that are called faster or slower, {worst}", _false_alarms),
        (f"Rows that are said to fall into two groups, {worst}", _in_two_groups),
    ):
        rows = ((name, [figure(noise, rounds, repeats) for rounds in ROUNDS]) for name, noise in ALL_NOISES.items())
        _print(console, f"{title} ({repeats} repeats)", ROUNDS, rows)
    drifting = [_drifting_coverage(rounds, repeats) for rounds in ROUNDS]
    _print(console, f"95 % intervals of a median under a drift of {DRIFT:.0%}", ROUNDS, [("log-normal", drifting)])
    for title, scenario in (
        ("Runs that leave out an equal method: all are equal", _all_equal),
        ("Runs that leave out an equal method: half of them take x3", _half_slow),
        ("Runs that leave out the fastest: the others take x1.05", _one_best),
    ):
        for methods in METHODS:
            rows = (
                (name, [_left_out(scenario, machine, methods, rounds, repeats) for rounds in ROUNDS])
                for name, machine in _MACHINES.items()
            )
            _print(console, f"{title}, {methods} methods ({repeats} repeats)", ROUNDS, rows)
    _print_power(console, repeats // 4)
    rows_of_pairs = (
        (
            f"equal runs differ by {deviation:.0%}, {words}",
            [_equal_runs_called_different(deviation, pairs, rounds, repeats) for rounds in ROUNDS],
        )
        for deviation in (0.0, 0.01, 0.02, 0.03, 0.06, 0.3)
        for words, pairs in (("by their rounds alone", None), ("assumed", 0), ("ten pairs known", 10))
    )
    title = f"Rows of equal runs that are called different, noise of 5 % within a run ({repeats} pairs of six rows)"
    _print(console, title, ROUNDS, rows_of_pairs)
    for size in (0.05, 0.2):
        for name in ("log-normal", "two states, a third slow"):
            held = _stopped(repeats, ALL_NOISES[name], size)
            console.print(f"With --precision 5%, {name}, noise of {size:.0%}: intervals hold the truth in {held:.1%}.")


def _print(console: Console, title: str, rounds: Sequence[int], rows: Iterable[tuple[str, Sequence[float]]]) -> None:
    shown = Table(title=title)
    shown.add_column("noise", no_wrap=True)
    for number in rounds:
        shown.add_column(f"{number} rounds", justify="right")
    for name, figures in rows:
        shown.add_row(name, *(f"{figure:.1%}" for figure in figures))
    console.print(shown)


# Intervals and verdicts of one row or one pair ------------------------------------------------------------------------


def _median_coverage(noise: Noise, rounds: int, repeats: int) -> float:
    return min(covered(random.Random(f"{rounds}/{size}"), noise, size, rounds, repeats) for size in SIZES)


def _drifting_coverage(rounds: int, repeats: int) -> float:
    return covered(random.Random(f"drift/{rounds}"), _GAUSS, 0.05, rounds, repeats, drift=DRIFT)


@functools.cache
def _ratios(ours: Noise, size: float, theirs: Noise, their_size: float, rounds: int, repeats: int) -> list[Estimate]:
    rng = random.Random(f"{size}/{their_size}/{rounds}")
    return [
        ratio(sample(rng, 1.0, ours, size, rounds), sample(rng, 1.0, theirs, their_size, rounds))
        for _ in range(repeats)
    ]


def _share_held(ratios: Sequence[Estimate]) -> float:
    return statistics.fmean(not found.is_shown for found in ratios)


def _ratio_coverage(noise: Noise, rounds: int, repeats: int) -> float:
    return min(_share_held(_ratios(noise, size, noise, size, rounds, repeats)) for size in SIZES)


def _unequal_coverage(noise: Noise, rounds: int, repeats: int) -> float:
    return _share_held(_ratios(noise, 0.1, noise, 0.02, rounds, repeats))


def _other_kind_coverage(noise: Noise, rounds: int, repeats: int) -> float:
    return _share_held(_ratios(noise, 0.05, _GAUSS, 0.05, rounds, repeats))


def _three_against(noise: Noise, rounds: int, repeats: int) -> float:
    rng = random.Random(f"three/{rounds}")
    pairs = ((sample(rng, 1.0, _GAUSS, 0.05, 3), sample(rng, 1.0, noise, 0.05, rounds)) for _ in range(repeats))
    return _share_held([ratio(*pair) for pair in pairs])


def _false_alarms(noise: Noise, rounds: int, repeats: int) -> float:
    verdicts = ([verdict(r) for r in _ratios(noise, size, noise, size, rounds, repeats)] for size in SIZES)
    return max(share(found, "faster", "slower") for found in verdicts)


def _in_two_groups(noise: Noise, rounds: int, repeats: int) -> float:
    rng = random.Random(f"groups/{rounds}")
    samples = ([sample(rng, 1.0, noise, size, rounds) for _ in range(repeats)] for size in SIZES)
    return max(statistics.fmean(two_groups(times) is not None for times in of_size) for of_size in samples)


def _stopped(repeats: int, noise: Noise, size: float) -> float:
    """Coverage where rounds are added until the interval is narrow, as `state.analysis.stopping` adds them."""
    rng, hits, precision = random.Random(f"stop/{size}"), 0, 0.05
    for _ in range(repeats):
        times = sample(rng, 1.0, noise, size, Plan().repeats)
        while len(times) < MAX_ROUNDS and not is_settled(times, precision):
            times += sample(rng, 1.0, noise, size, 1)
        found = summarise(times)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    return hits / repeats


def _equal_runs_called_different(deviation: float, pairs: int | None, rounds: int, repeats: int) -> float:
    """Of rows of equal runs, whose moments differ: judged by their rounds alone, or with pairs of equal runs known."""
    rng, shown = random.Random(f"between/{deviation}/{rounds}"), []

    def pair() -> Rows:
        return list(zip(moment(rng, deviation, 0.05, rounds), moment(rng, deviation, 0.05, rounds), strict=True))

    for _ in range(repeats):
        between = between_runs([pair() for _ in range(pairs or 0)])
        changes = [ratio(after, before) for before, after in pair()]
        shown += [verdict(change if pairs is None else between.widen(change)) for change in changes]
    return share(shown, "faster", "slower")


# The set of the fastest -----------------------------------------------------------------------------------------------

#: True times of so many methods, and how many of them, from the first, are as fast as the fastest.
Scenario = Callable[[int], tuple[list[float], int]]


def _all_equal(methods: int) -> tuple[list[float], int]:
    return [1.0] * methods, methods


def _half_slow(methods: int) -> tuple[list[float], int]:
    fast = methods - methods // 2
    return [1.0] * fast + [3.0] * (methods // 2), fast


def _one_best(methods: int) -> tuple[list[float], int]:
    return [1.0] + [1.05] * (methods - 1), 1


def _left_out(scenario: Scenario, machine: Machine, methods: int, rounds: int, repeats: int) -> float:
    rng, hits = random.Random(f"{methods}/{rounds}"), 0
    times_s, fast = scenario(methods)
    for _ in range(repeats):
        noise, sizes, drift = machine(rng, methods)
        found = fastest_set(table(rng, times_s, noise, sizes, rounds, drift=drift))
        hits += any(str(number) not in found for number in range(fast))
    return hits / repeats


def uncorrected(times_s: Mapping[str, Mapping[Round, float]]) -> tuple[str, ...]:
    """The set as it was before: everybody against the lowest median, each at 5 %."""
    samples = {name: list(rounds.values()) for name, rounds in times_s.items()}
    best = min(samples, key=lambda name: statistics.median(samples[name]))
    return tuple(name for name in samples if name == best or verdict(ratio(samples[name], samples[best])) != "slower")


def _print_power(console: Console, repeats: int) -> None:
    """How many times as long one method must take to be left out in 80 % of the runs, before and now."""
    shown = Table(
        title=f"A method is told apart from equal ones in 80 % of runs from this factor on ({repeats} repeats)"
    )
    shown.add_column("noise", no_wrap=True)
    shown.add_column("methods", justify="right")
    rounds_shown = (3, 5, 10)
    for rounds in rounds_shown:
        for heading in ("before", "now"):
            shown.add_column(f"{rounds} rounds, {heading}", justify="right")
    for name, machine in _MACHINES.items():
        for methods in METHODS:
            cells = [
                _least_factor(procedure, machine, methods, rounds, repeats)
                for rounds in rounds_shown
                for procedure in (uncorrected, fastest_set)
            ]
            shown.add_row(name, str(methods), *cells)
    console.print(shown)


def _least_factor(
    procedure: Callable[[Mapping[str, Mapping[Round, float]]], tuple[str, ...]],
    machine: Machine,
    methods: int,
    rounds: int,
    repeats: int,
) -> str:
    for factor in _FACTORS:
        rng, seen = random.Random(f"power/{methods}/{rounds}"), 0
        for _ in range(repeats):
            noise, sizes, drift = machine(rng, methods)
            times_s = [1.0] * (methods - 1) + [factor]
            seen += str(methods - 1) not in procedure(table(rng, times_s, noise, sizes, rounds, drift=drift))
        if seen >= 0.8 * repeats:
            return f"x{factor:.2f}"
    return f"above x{_FACTORS[-1]:g}"


if __name__ == "__main__":
    main()
