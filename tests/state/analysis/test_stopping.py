import random

import msgspec
import pytest

from state.analysis.stopping import MAX_ROUNDS, is_settled, wants_another_round
from state.plan import Plan
from state.run.records import Failure, Run
from state.stats.intervals import summarise
from tests.state.factories import run_of
from tests.state.simulated import NOISES, sample

NARROW, WIDE = [1.0, 1.001, 0.999, 1.0, 1.002], [1.0, 1.5, 0.7, 1.1, 0.9]


def measured(saves: list[float], loads: list[float], **changes: object) -> Run:
    plan = msgspec.structs.replace(Plan(methods=("pytorch",), repeats=len(saves), precision=0.05), **changes)
    return run_of(plan, {("pytorch", "save"): saves, ("pytorch", "load"): loads}, finished=False)


@pytest.mark.parametrize(("loads", "more"), [(NARROW, False), (WIDE, True)])
def test_rounds_are_added_until_every_interval_is_narrow(loads: list[float], more: bool) -> None:
    assert wants_another_round(measured(NARROW, loads), 1.0) == more


def test_fewer_than_five_rounds_may_agree_by_chance() -> None:
    assert wants_another_round(measured([1.0], [1.0]), 1.0)
    assert wants_another_round(measured([1.0] * 4, [1.0] * 4), 1.0)
    assert not wants_another_round(measured([1.0] * 5, [1.0] * 5), 1.0)


def test_the_interval_was_narrow_one_round_ago_too() -> None:
    assert not is_settled([1.0, 1.3, 1.0, 1.01, 0.99], 0.05)
    lucky = [1.0, 1.1, 1.05, 1.05, 1.05, 1.05]
    assert is_settled([*lucky, 1.05], 0.05)
    assert not is_settled(lucky[:5], 0.05)


@pytest.mark.parametrize("size", [0.02, 0.05, 0.1])
def test_intervals_of_rounds_that_were_added_hold_the_truth(size: float) -> None:
    rng, hits = random.Random(f"stop/{size}"), 0
    for _ in range(1000):
        times = sample(rng, 1.0, NOISES["log-normal"], size, 3)
        while len(times) < MAX_ROUNDS and not is_settled(times, 0.05):
            times += sample(rng, 1.0, NOISES["log-normal"], size, 1)
        found = summarise(times)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert hits / 1000 >= 0.925


def test_a_round_that_would_end_after_the_budget_is_not_begun() -> None:
    assert wants_another_round(measured(NARROW, WIDE, budget_s=36.0), 30.0)
    assert not wants_another_round(measured(NARROW, WIDE, budget_s=35.0), 30.0)


def test_without_a_precision_nothing_is_added_and_there_is_an_end() -> None:
    assert not wants_another_round(measured(NARROW, WIDE, precision=None), 1.0)
    assert not wants_another_round(measured(WIDE, WIDE, repeats=MAX_ROUNDS), 1.0)


def test_methods_that_failed_in_a_round_are_not_waited_for_either() -> None:
    run = measured(NARROW, WIDE)
    records = tuple(
        msgspec.structs.replace(r, status="failed", result=None, failure=Failure("it broke"))
        if (r.trial.round, r.trial.operation) == (5, "load")
        else r
        for r in run.records
    )
    assert not wants_another_round(msgspec.structs.replace(run, records=records), 1.0)


def test_methods_that_failed_are_not_waited_for() -> None:
    plan = Plan(methods=("pytorch",), repeats=3, precision=0.05)
    assert not wants_another_round(run_of(plan, {}), 1.0)
