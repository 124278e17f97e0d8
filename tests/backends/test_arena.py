"""Shared memory between processes, with real forks."""

import mmap
import os
from pathlib import Path

import pytest
import torch

from backends.arena import Arena
from backends.methods.tensorstore_family import DTYPES
from state.model import Model
from state.units import MIB
from tests.backends.samples import bits, info, random_tensor

STATUS = Path("/proc/self/status")


def model(*shapes: tuple[int, ...], dtype: str = "float32") -> Model:
    return Model(
        "m", "", tuple(info(f"t{number}", dtype, shape) for number, shape in enumerate(shapes)), {"tied": "t0"}
    )


def test_what_a_forked_child_writes_its_parent_reads() -> None:
    arena = Arena(model((3, 5)))
    before = arena.views()["t0"]
    pid = os.fork()
    if pid == 0:
        try:
            arena.views()["t0"].fill_(7)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert torch.equal(before, torch.full((3, 5), 7.0))
    assert torch.equal(arena.views()["t0"], before)


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_tensors_start_on_a_page_do_not_overlap_and_have_storages_of_their_own(dtype: str) -> None:
    shapes = ((), (1,), (4096,), (4097,), (0, 5), (13, 17), (3, 0, 2))
    arena = Arena(model(*shapes, dtype=dtype))
    values = {f"t{number}": random_tensor(dtype, shape, number) for number, shape in enumerate(shapes)}
    for name, view in arena.views().items():
        view.copy_(values[name])
    state = arena.state_dict()
    assert bits(state) == bits(values | {"tied": values["t0"]})
    assert state["tied"] is state["t0"]
    for view in state.values():
        assert view.nbytes == 0 or view.data_ptr() % mmap.PAGESIZE == 0
        assert view.untyped_storage().nbytes() == view.nbytes, "torch.save would save the neighbours too"


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells how much shared memory a process has mapped")
def test_touching_maps_every_page_and_closing_gives_it_back() -> None:
    def mapped_bytes() -> int:
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("RssShmem:"))
        return int(line.split()[1]) * 1024

    start_bytes = mapped_bytes()
    arena = Arena(model((8 * MIB,)))
    assert mapped_bytes() - start_bytes < MIB
    arena.touch()
    assert mapped_bytes() - start_bytes >= 32 * MIB
    arena.close()
    assert mapped_bytes() - start_bytes < MIB
