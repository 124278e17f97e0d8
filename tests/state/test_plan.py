from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.errors import RequestError
from state.method_names import expand_methods
from state.optimizations import CELLS, Optimizations
from state.plan import LIMIT, SIX, Plan
from state.schedule import schedule

plans = st.builds(
    Plan,
    methods=st.lists(st.sampled_from(["pytorch", *CELLS]), min_size=1, unique=True).map(tuple),
    repeats=st.integers(1, 6),
    seed=st.integers(0, 2**63 - 1),
)


@given(plans)
def test_every_round_has_every_method_and_the_limit_once_saved_and_then_loaded(plan: Plan) -> None:
    trials = schedule(plan)
    methods = (*plan.methods, LIMIT)
    expected = {(r, m, op) for r in range(1, plan.repeats + 1) for m in methods for op in ("save", "load")}
    assert Counter((t.round, t.method, t.operation) for t in trials) == Counter(expected)
    for saved, loaded in zip(trials[::2], trials[1::2], strict=True):
        assert (saved.operation, loaded.operation) == ("save", "load")
        assert (saved.round, saved.method) == (loaded.round, loaded.method)
    assert [t.round for t in trials] == sorted(t.round for t in trials)
    assert schedule(plan) == trials


def test_rounds_are_shuffled_differently_and_by_the_seed() -> None:
    orders = [tuple(t.method for t in schedule(Plan(seed=seed, repeats=1))) for seed in range(20)]
    assert len(set(orders)) > 10
    trials = schedule(Plan(repeats=20))
    assert len({tuple(t.method for t in trials if t.round == number) for number in range(1, 21)}) > 10


def test_the_limit_comes_anywhere_among_the_methods() -> None:
    trials = schedule(Plan(methods=("pytorch", "t5x"), repeats=40))
    places = {n % 6 for n, trial in enumerate(trials) if (trial.method, trial.operation) == (LIMIT, "save")}
    assert places == {0, 2, 4}


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        ({"methods": ()}, "at least one"),
        ({"methods": ("pytorch", "limit")}, "'limit' is no method"),
        ({"concurrency": 0}, "1 to 4096"),
        ({"concurrency": 5000}, "1 to 4096"),
        ({"chunk_bytes": 1000}, "64KiB to 1GiB"),
        ({"chunk_bytes": 2**31}, "64KiB to 1GiB"),
        ({"repeats": 0}, "1 to 1000"),
        ({"stall_timeout_s": 0.0}, "positive"),
        ({"timeout_s": float("inf")}, "positive"),
        ({"timeout_s": float("nan")}, "positive"),
    ],
)
def test_a_plan_out_of_range_is_refused_with_its_limit(values: dict[str, Any], limit: str) -> None:
    with pytest.raises(RequestError, match=limit):
        Plan(**values)


def test_a_switch_has_the_same_value_wherever_it_is_on() -> None:
    plan = Plan(concurrency=7, chunk_bytes=2**20)
    assert plan.optimizations("tensorstore") == Optimizations()
    assert plan.optimizations("ts+chunks") == Optimizations(chunk_bytes=2**20)
    assert plan.optimizations("t5x") == Optimizations(7, 2**20, plan.codec)
    assert plan.optimizations("pytorch") is None


GROUPS = {"six": SIX, "cells": tuple(CELLS), "all": ("pytorch", *CELLS, "other"), "none": ()}


@pytest.mark.parametrize(
    ("text", "methods"),
    [
        ("six", SIX),
        ("cells", tuple(CELLS)),
        ("all", ("pytorch", *CELLS, "other")),
        ("t5x, pytorch ,t5x", ("t5x", "pytorch")),
        ("t5x,six", ("t5x", *(name for name in SIX if name != "t5x"))),
        ("", ()),
    ],
)
def test_methods_are_named_alone_or_in_groups(text: str, methods: tuple[str, ...]) -> None:
    assert expand_methods(text, ("pytorch", *CELLS, "other"), GROUPS) == methods


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match=r"'xyzzy'.*choose from six, cells, all, none, pytorch"):
        expand_methods("six,xyzzy", ("pytorch", *CELLS), GROUPS)


def test_a_misspelt_method_is_refused_with_what_may_be_meant() -> None:
    with pytest.raises(RequestError, match=r"there is no method 'tpx': did you mean t5x\?"):
        expand_methods("six,tpx", ("pytorch", *CELLS), GROUPS)


def test_a_group_of_which_nothing_can_run_here_is_refused() -> None:
    with pytest.raises(RequestError, match=r"no method of none can run here.*ckpt-tui methods"):
        expand_methods("six,none", ("pytorch", *CELLS), GROUPS)
