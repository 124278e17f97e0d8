import shlex
from typing import Any

import click
import msgspec
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.methods import registry
from state.codecs import CODEC_LEVELS, Codec
from state.command_line import run_command
from state.plan import CELL_NAMES, SIX, Plan
from tui.cli.click_options import make_plan, plan_options


def test_only_what_is_not_as_it_comes_is_written() -> None:
    assert run_command(Plan()) == "ckpt-tui run --methods six --repeats 3"
    assert run_command(Plan(methods=CELL_NAMES, codec=Codec("zstd", 3))) == (
        "ckpt-tui run --methods cells --codec zstd:3 --repeats 3"
    )


@settings(deadline=None)  # the first one imports
@given(
    st.builds(
        Plan,
        model=st.sampled_from(["demo", "a folder/with 'quotes'", "org/name"]),
        size_bytes=st.none() | st.integers(1, 10**12),
        dtype=st.sampled_from(["auto", "float16", "bfloat16", "float32"]),
        with_optimizer=st.booleans(),
        device=st.sampled_from(["cpu", "cuda:1"]),
        methods=st.lists(st.sampled_from([*SIX, *CELL_NAMES]), min_size=1, unique=True).map(tuple),
        concurrency=st.integers(1, 4096),
        chunk_bytes=st.integers(2**16, 2**30),
        codec=st.sampled_from(list(CODEC_LEVELS)).map(lambda name: Codec(name, CODEC_LEVELS[name][1])),
        repeats=st.integers(1, 9),
        cache=st.sampled_from(["cold", "warm"]),
        durability=st.sampled_from(["durable", "buffered"]),
        seed=st.integers(0, 2**63 - 1),
        timeout_s=st.none() | st.integers(2, 1000).map(float),
    ),
    st.none() | st.integers(1, 1000).map(lambda tenths: tenths / 1000),
    st.none() | st.floats(0.001, 1e7),
)
def test_the_command_line_makes_the_same_plan(plan: Plan, precision: float | None, budget_s: float | None) -> None:
    rounded_s = round(budget_s, 6) if budget_s is not None and precision is not None else None
    plan = msgspec.structs.replace(plan, precision=precision, budget_s=rounded_s)
    made: list[Plan] = []

    @click.command()
    @plan_options
    def command(**options: Any) -> None:
        made.append(make_plan(entries=registry.entries(), **options))

    words = shlex.split(run_command(plan))
    result = CliRunner().invoke(command, words[2:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert msgspec.structs.replace(made[0], storage=plan.storage) == plan
