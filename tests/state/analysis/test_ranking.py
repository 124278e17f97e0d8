"""Who is the fastest, and what is said of the others."""

import msgspec
import pytest

from state.analysis.ranking import fastest, fastest_lines
from state.plan import LIMIT, OPERATIONS, Plan
from state.run.records import Failure, Run
from state.stats.fastest_set import fastest_set
from tests.state.factories import run_of

#: Each method has another of these first, since what all share in a round is no difference between them.
NOISE = (0.99, 1.0, 1.01)


def run(repeats: int = 3, **names: float) -> Run:
    plan = Plan(methods=tuple(names), repeats=repeats)
    noises = [[NOISE[(k + shift) % 3] for k in range(repeats)] for shift in range(len(names) + 1)]
    rows = zip((names | {LIMIT: 0.1}).items(), noises, strict=True)
    return run_of(plan, {(n, op): [s * x for x in noise] for (n, s), noise in rows for op in OPERATIONS})


def test_the_fastest_is_named_with_how_far_the_next_is_behind() -> None:
    measured = run(pytorch=3.0, direct=1.0, dcp=2.0)
    assert fastest_lines(measured) == (
        "Fastest durable save: direct, 1.00 s; the next, dcp, takes x2.00 as long.",
        "Fastest cold load: direct, 1.00 s; the next, dcp, takes x2.00 as long.",
    )


def test_whoever_is_not_shown_to_be_slower_is_named_and_more_are_counted() -> None:
    measured = run(pytorch=9.0, direct=1.0, dcp=1.001, safetensors=1.002, jax=1.003, orbax=1.004)
    save, _ = fastest_lines(measured)
    assert save.endswith("; not shown to be slower: dcp, safetensors, jax and 1 more.")


@pytest.mark.parametrize("repeats", [1, 2])
def test_fewer_than_three_rounds_name_no_fastest(repeats: int) -> None:
    assert fastest_lines(run(repeats=repeats, pytorch=9.0, direct=1.0)) == ()


def test_a_small_difference_that_is_shown_is_not_told_as_none() -> None:
    measured = run_of(
        Plan(methods=("pytorch", "direct", "dcp"), repeats=3),
        {(n, op): [t] * 3 for n, t in (("pytorch", 1.004), ("direct", 1.0), ("dcp", 2.0)) for op in OPERATIONS},
    )
    save, _ = fastest_lines(measured)
    assert save.endswith("the next, pytorch, takes x1.004 as long.")


def test_the_named_one_is_never_shown_to_be_slower() -> None:
    # The lowest median of a method that is mostly slow: the rounds say that another is faster.
    times = {
        "a": [1.0, 1.001, 0.999, 1.0, 1.001],
        "b": [0.99, 0.99, 0.99, 30.0, 31.0],
        "c": [1.5, 1.49, 1.5, 1.5, 1.51],
    }
    measured = run_of(
        Plan(methods=("a", "b", "c"), repeats=5), {(n, op): t for n, t in times.items() for op in OPERATIONS}
    )
    best = fastest(measured, "save")
    assert best is not None
    names = fastest_set({name: measured.rounds_s(name, "save") for name in times})
    assert (best.method, *best.alike) == tuple(
        n for n in sorted(times, key=lambda n: sorted(times[n])[2]) if n in names
    )


def test_one_method_is_not_the_fastest_of_anything() -> None:
    assert fastest(run(direct=1.0), "save") is None
    assert fastest_lines(run(direct=1.0)) == ()


def test_a_factor_across_runs_is_an_estimate() -> None:
    measured = run(pytorch=3.0, direct=1.0)
    records = tuple(
        msgspec.structs.replace(record, run_id="another") if record.trial.method == "pytorch" else record
        for record in measured.records
    )
    save, _ = fastest_lines(msgspec.structs.replace(measured, records=records))
    assert save.endswith("takes ≈x3.00 as long.")


def test_a_method_whose_loads_came_back_wrong_is_not_the_fastest() -> None:
    times = {"pytorch": [2.0, 2.01, 1.99, 2.0, 2.01], "t5x": [2.02, 2.0, 2.03, 2.01, 2.0], "dcp": [1.0] * 5}
    plan = Plan(methods=tuple(times), repeats=5)
    measured = run_of(plan, {(name, op): samples for name, samples in times.items() for op in OPERATIONS})
    records = tuple(
        msgspec.structs.replace(record, status="failed", result=None, failure=Failure("other bits"))
        if (record.trial.method, record.trial.operation) == ("dcp", "load") and record.trial.round > 1
        else record
        for record in measured.records
    )
    best = fastest(msgspec.structs.replace(measured, records=records), "save")
    assert best is not None
    assert best.method == "pytorch"
    assert "dcp" in best.alike, "one round shows nothing"
