import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.analysis.steps import CODECS, SWITCHES, Switch, step
from state.codecs import CODEC_LEVELS, Codec, CodecName
from state.optimizations import MAX_CHUNK_BYTES, MAX_CONCURRENCY, MIN_CHUNK_BYTES
from state.plan import Plan
from state.units import MIB

codecs = st.sampled_from(list(CODEC_LEVELS)).flatmap(
    lambda name: st.integers(*CODEC_LEVELS[name][:2]).map(lambda level: Codec(name, level))
)
plans = st.builds(
    Plan,
    concurrency=st.integers(1, MAX_CONCURRENCY),
    chunk_bytes=st.integers(MIN_CHUNK_BYTES, MAX_CHUNK_BYTES),
    codec=codecs,
)


@given(plans, st.sampled_from(SWITCHES), st.sampled_from([-1, 1]))
def test_steps_stay_in_range_and_come_to_an_end(plan: Plan, switch: Switch, direction: int) -> None:
    seen = [plan]
    for _ in range(40):
        seen.append(step(seen[-1], switch, direction))
    assert seen[-1] == seen[-2]
    moved = len(set(map(repr, seen)))
    assert seen[: moved - 1] == list({repr(plan): plan for plan in seen}.values())[: moved - 1]


def test_numbers_go_from_one_power_of_two_to_the_next() -> None:
    assert step(Plan(concurrency=128), "concurrency", 1).concurrency == 256
    assert step(Plan(concurrency=128), "concurrency", -1).concurrency == 64
    assert step(Plan(concurrency=100), "concurrency", 1).concurrency == 128
    assert step(Plan(concurrency=100), "concurrency", -1).concurrency == 64
    assert step(Plan(concurrency=1), "concurrency", -1).concurrency == 1
    assert step(Plan(chunk_bytes=64 * MIB), "chunking", -1).chunk_bytes == 32 * MIB


@pytest.mark.parametrize(
    ("name", "level", "below", "above"),
    [("gzip", 1, "gzip:1", "gzip:3"), ("gzip", 9, "gzip:6", "zstd:1"), ("zstd", 5, "zstd:3", "zstd:9")],
)
def test_codecs_go_along_their_list(name: CodecName, level: int, below: str, above: str) -> None:
    plan = Plan(codec=Codec(name, level))
    assert str(step(plan, "compression", -1).codec) == below
    assert str(step(plan, "compression", 1).codec) == above
    assert step(Plan(codec=CODECS[-1]), "compression", 1).codec == CODECS[-1]
