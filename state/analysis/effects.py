"""The 2x2x2 experiment: what each of the three switches does, alone, together, and on the way from all off to all on.

Everything here is a weighted sum of the cells' mean log times (`state.stats.intervals.contrast`), so that every figure
has an interval by one rule. Effects have the sign of a change in time: below zero is faster.

References: main effects and interactions as contrasts of a two-level factorial (G. E. P. Box, J. S. Hunter and W. G.
Hunter, "Statistics for Experimenters", 2nd ed., chapter 5). Shares of the way from all off to all on: the Shapley value
(L. S. Shapley, "A value for n-person games", 1953), which is the mean, over the six orders of flipping the switches, of
what each flip does.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import permutations
from typing import Final, Literal

import msgspec

from state.analysis.results import method_results
from state.analysis.rows import MethodResult
from state.analysis.steps import SWITCHES, Switch
from state.optimizations import CELL_OF, CELLS
from state.plan import CELL_NAMES, Operation
from state.run.records import Run
from state.stats.fastest_set import fastest_set
from state.stats.intervals import MIN_SAMPLES, Estimate, contrast, ratio

Cell = tuple[bool, bool, bool]
Weights = Mapping[str, Fraction]
Measure = Literal["save", "load", "size"]

#: Every set of two or three switches.
INTERACTIONS: Final[tuple[tuple[Switch, ...], ...]] = (
    ("concurrency", "chunking"),
    ("concurrency", "compression"),
    ("chunking", "compression"),
    ("concurrency", "chunking", "compression"),
)


def effect_weights(switches: Sequence[Switch]) -> Weights:
    """The contrast of a main effect (one switch) or of an interaction (several), as Box, Hunter and Hunter have it.

    A main effect is the mean of the four cells with the switch on less the mean of the four with it off. An interaction
    of two is half the difference between the effect of one where the other is on and where it is off.
    """
    numbers = [SWITCHES.index(switch) for switch in switches]
    return {
        name: Fraction(math.prod(1 if cell[number] else -1 for number in numbers), 4) for name, cell in CELLS.items()
    }


def simple_weights(switch: Switch, others: Cell) -> Weights:
    """What flipping one switch does where the others stand as in `others`."""
    return {CELL_OF[_set(others, switch, on=True)]: Fraction(1), CELL_OF[_set(others, switch, on=False)]: Fraction(-1)}


def share_weights(switch: Switch) -> Weights:
    """The Shapley share of a switch of the way from all off to all on; the three shares add up to all of it."""
    orders = tuple(permutations(SWITCHES))
    weights: dict[str, Fraction] = {}
    for order in orders:
        before: Cell = (False, False, False)
        for flipped in order[: order.index(switch)]:
            before = _set(before, flipped, on=True)
        for name, weight in simple_weights(switch, before).items():
            weights[name] = weights.get(name, Fraction(0)) + weight / len(orders)
    return weights


#: From all off to all on.
TOTAL_WEIGHTS: Final[Weights] = {"t5x": Fraction(1), "tensorstore": Fraction(-1)}


def _set(cell: Cell, switch: Switch, *, on: bool) -> Cell:
    concurrency, chunking, compression = (on if s == switch else was for s, was in zip(SWITCHES, cell, strict=True))
    return concurrency, chunking, compression


class SimpleEffect(msgspec.Struct, frozen=True):
    """What one switch does at one setting of the two others.

    Attributes:
        switch: The one that is flipped.
        others: Which of the other switches are on, in their order.
        change: Of the log of what is measured: of times, the ratio of medians.
    """

    switch: Switch
    others: tuple[Switch, ...]
    change: Estimate


class Effects(msgspec.Struct, frozen=True):
    """What the three switches do to one thing that is measured. Everything is None where a cell is missing.

    Attributes:
        measure: Save time, load time, or size on disk.
        cells: Cell -> its median in seconds or bytes, for the cells that were measured.
        missing: The cells that were not.
        main: Switch -> its main effect.
        interactions: Two or three switches, joined by " x " -> their interaction.
        simple: Every switch at every setting of the others that was measured, twelve in all.
        shares: Switch -> its Shapley share of the way from `tensorstore` to `t5x`.
        total: That way.
        best: The cells that are not shown to be slower than another (or the smallest), the fastest first; empty where
            one has fewer than three rounds.
        estimated: Whether cells come from different runs.
    """

    measure: Measure
    cells: dict[str, float]
    missing: tuple[str, ...]
    main: dict[Switch, Estimate]
    interactions: dict[str, Estimate]
    simple: tuple[SimpleEffect, ...]
    shares: dict[Switch, Estimate]
    total: Estimate | None
    best: tuple[str, ...] = ()
    estimated: bool = False


def effects(run: Run) -> dict[Measure, Effects]:
    """The three experiments (save, load, size) that a run's cells make, as far as they were measured."""
    results = [result for result in method_results(run) if result.method in CELLS]
    several = len({result.run_id for result in results if result.save or result.load}) > 1
    measures: tuple[Measure, ...] = ("save", "load", "size")
    return {measure: _effects(measure, run, results, several) for measure in measures}


def _effects(measure: Measure, run: Run, results: Sequence[MethodResult], several: bool) -> Effects:
    values = {result.method: samples for result in results if (samples := _samples(result, measure))}
    logs = {name: [math.log(value) for value in samples] for name, samples in values.items()}
    exact = measure == "size"  # one sample a cell, and no noise
    missing = tuple(name for name in CELL_NAMES if name not in logs)

    def estimate(weights: Weights) -> Estimate:
        names = tuple(weights)
        found = contrast([logs[name] for name in names], [float(weights[name]) for name in names])
        return Estimate(found.value, found.value, found.value) if exact else found

    simple = []
    for switch in SWITCHES:
        for cell in CELLS.values():
            weights = simple_weights(switch, cell)
            if not cell[SWITCHES.index(switch)] and all(name in logs for name in weights):
                others = tuple(other for other, on in zip(SWITCHES, cell, strict=True) if on)
                on, off = weights
                # Of medians, as in every table: it is one pair of cells, and adds up to nothing.
                change = estimate(weights) if exact else ratio(values[on], values[off])
                simple.append(SimpleEffect(switch, others, change))
    return Effects(
        measure,
        {name: statistics.median(samples) for name, samples in values.items()},
        missing,
        {} if missing else {switch: estimate(effect_weights((switch,))) for switch in SWITCHES},
        {} if missing else {" x ".join(names): estimate(effect_weights(names)) for names in INTERACTIONS},
        tuple(simple),
        {} if missing else {switch: estimate(share_weights(switch)) for switch in SWITCHES},
        estimate(TOTAL_WEIGHTS) if all(name in logs for name in TOTAL_WEIGHTS) else None,
        () if missing else _smallest(values) if measure == "size" else _best(run, measure),
        several and not exact,
    )


def _best(run: Run, operation: Operation) -> tuple[str, ...]:
    """The cells that are not shown to be slower than another, the one with the lowest median first."""
    times_s = {name: run.rounds_s(name, operation) for name in CELL_NAMES}
    if any(len(rounds) < MIN_SAMPLES for rounds in times_s.values()):
        return ()
    return tuple(sorted(fastest_set(times_s), key=lambda name: statistics.median(times_s[name].values())))


def _smallest(sizes: Mapping[str, tuple[float, ...]]) -> tuple[str, ...]:
    """The cells that take the least, which does not vary."""
    least = min(sizes.values())
    return tuple(name for name, size in sizes.items() if size == least)


def _samples(result: MethodResult, measure: Measure) -> tuple[float, ...]:
    """What was measured of a cell: the time of every round, or its size, which does not vary."""
    if measure == "size":
        return (float(result.stored_bytes),) if result.stored_bytes else ()
    summary = result.of(measure)
    return summary.samples_s if summary is not None else ()
