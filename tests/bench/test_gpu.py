"""What `bench.gpu` concludes; nothing of it needs a GPU but the measuring itself."""

import pytest
import torch
from click.testing import CliRunner

from bench.gpu import bounds_s, main, verdicts
from bench.peers import all_times
from state.plan import LIMIT, OPERATIONS, Operation, Plan
from tests.state.factories import run_of

NOISE = (0.99, 1.0, 1.01)


def said(*, ours_s: float, storage_s: float, link_s: float, buffers_share: float = 1.0) -> list[str]:
    """The answers for saves, for a model of 1 MB."""
    times = {("direct", op): [ours_s * n for n in NOISE] for op in OPERATIONS}
    times |= {(LIMIT, op): [storage_s * n for n in NOISE] for op in OPERATIONS}
    run = run_of(Plan(methods=("direct",)), times)
    link: dict[Operation, float] = dict.fromkeys(OPERATIONS, 10**6 / link_s)
    buffers: dict[Operation, float] = {op: rate * buffers_share for op, rate in link.items()}
    measured = all_times(run, {})
    lines = verdicts(measured, bounds_s(run, measured, link), link, buffers)
    return [line.rpartition(": ")[2] for line in lines if line.startswith("save")]


def test_direct_is_held_against_the_slower_of_link_and_storage() -> None:
    assert said(ours_s=1.0, storage_s=1.0, link_s=0.1) == ["yes", "yes"]
    assert said(ours_s=1.0, storage_s=0.1, link_s=1.0) == ["yes", "yes"]
    assert said(ours_s=1.0, storage_s=0.5, link_s=0.8) == ["yes", "NO"]


def test_buffers_are_held_against_the_link() -> None:
    assert said(ours_s=1.0, storage_s=1.0, link_s=0.1, buffers_share=0.8) == ["NO", "yes"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "Error: there is no device 'cuda', torch sees no GPU: choose --device cpu."
    result = CliRunner().invoke(main, ["--device", "cpu"])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "Error: cpu is no GPU: choose cuda or cuda:N.")
