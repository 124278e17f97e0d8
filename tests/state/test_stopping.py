import msgspec
import pytest

from state.plan import Plan
from state.run import Run
from state.stopping import MAX_ROUNDS, wants_another_round
from tests.state.factories import run_of

NARROW, WIDE = [1.0, 1.001, 0.999], [1.0, 1.5, 0.7]


def measured(saves: list[float], loads: list[float], **changes: object) -> Run:
    plan = msgspec.structs.replace(Plan(methods=("pytorch",), repeats=len(saves), precision=0.05), **changes)
    return run_of(plan, {("pytorch", "save"): saves, ("pytorch", "load"): loads}, finished=False)


@pytest.mark.parametrize(("loads", "more"), [(NARROW, False), (WIDE, True)])
def test_rounds_are_added_until_every_interval_is_narrow(loads: list[float], more: bool) -> None:
    assert wants_another_round(measured(NARROW, loads), 1.0) == more


def test_fewer_than_three_rounds_have_no_interval_to_be_narrow() -> None:
    assert wants_another_round(measured([1.0], [1.0]), 1.0)
    assert wants_another_round(measured([1.0] * 2, [1.0] * 2), 1.0)


def test_a_round_that_would_end_after_the_budget_is_not_begun() -> None:
    assert wants_another_round(measured(NARROW, WIDE, budget_s=40.0), 30.0)
    assert not wants_another_round(measured(NARROW, WIDE, budget_s=39.0), 30.0)


def test_without_a_precision_nothing_is_added_and_there_is_an_end() -> None:
    assert not wants_another_round(measured(NARROW, WIDE, precision=None), 1.0)
    assert not wants_another_round(measured(WIDE, WIDE, repeats=MAX_ROUNDS), 1.0)


def test_methods_that_failed_are_not_waited_for() -> None:
    plan = Plan(methods=("pytorch",), repeats=3, precision=0.05)
    assert not wants_another_round(run_of(plan, {}), 1.0)
