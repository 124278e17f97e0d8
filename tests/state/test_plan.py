from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.errors import RequestError
from state.model import Model, TensorInfo
from state.optimizations import CELLS, Optimizations
from state.plan import LIMIT, SIX, Needs, Plan, Room, expand_methods, needs, schedule, shortage

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


def model(*shapes: tuple[int, ...]) -> Model:
    infos = []
    for number, shape in enumerate(shapes):
        elements = 1
        for dim in shape:
            elements *= dim
        infos.append(TensorInfo(f"t{number}", "float16", shape, 2 * elements))
    return Model("m", "m", tuple(infos))


def test_needs_count_the_tiles_their_padding_and_two_copies_in_memory() -> None:
    tensors = model((130, 64), (10,))  # 3 tiles of 64x64, the last one padded; 1 tile of 10
    need = needs(Plan(methods=("tensorstore",)), tensors)
    assert need.files == 3 + 1 + 2 * 2 + 2
    assert need.disk_bytes == 3 * 64 * 64 * 2 + 10 * 2 + need.files * 4096
    assert need.memory_bytes > 2 * tensors.logical_bytes
    assert needs(Plan(methods=("pytorch",)), tensors).files < need.files


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(999_999, None, 10**12), "has 1.00 MB free and the run needs up to 2.00 MB"),
        (Room(10**9, 10, 10**12), "has 10 inodes free and the run needs up to 122,000 files"),
        (Room(10**9, 10**6, 10**6), "1.00 MB of memory are available and the run needs about 3.00 MB"),
    ],
)
def test_a_shortage_says_what_is_there_and_what_is_needed(room: Room, words: str) -> None:
    error = shortage(Needs(2_000_000, 122_000, 3_000_000), room, "/disk")
    assert error is not None
    assert words in error.what
    assert shortage(Needs(1, 1, 1), room, "/disk") is None
