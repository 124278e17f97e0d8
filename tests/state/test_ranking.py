"""Who is the fastest, and what is said of the others."""

import msgspec

from state.plan import LIMIT, OPERATIONS, Plan
from state.ranking import fastest, fastest_lines
from state.run import Run
from tests.state.factories import run_of

NOISE = (0.99, 1.0, 1.01)


def run(repeats: int = 3, **names: float) -> Run:
    plan = Plan(methods=tuple(names), repeats=repeats)
    noise = NOISE[:repeats]
    return run_of(
        plan, {(n, op): [s * x for x in noise] for n, s in (names | {LIMIT: 0.1}).items() for op in OPERATIONS}
    )


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


def test_without_intervals_nothing_is_shown() -> None:
    save, _ = fastest_lines(run(repeats=1, pytorch=9.0, direct=1.0))
    assert save.endswith("; not shown to be slower: pytorch.")


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
