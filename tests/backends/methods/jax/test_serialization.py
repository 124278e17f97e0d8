"""Checkpoints of JAX's own serialization, by hand, and what the JAX family has in common."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from jax.experimental.array_serialization import pytree_serialization

from backends.methods.jax.arrays import to_jax, to_torch
from backends.methods.jax.serialization import FOLDER_NAME
from backends.methods.registry import create
from backends.storage import pagecache
from backends.tensors import to_numpy
from backends.testing import samples
from state.errors import UnavailableError
from state.plan import Plan

PLAN = Plan()
FAMILY = ("jax", "orbax", "orbax-async")


def test_jax_by_hand_reads_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tied = torch.arange(7)
    state = {"a.weight": torch.randn(30, 7).bfloat16(), "double": torch.randn((), dtype=torch.float64)}
    create("jax", PLAN).save(state | {"tied": tied, "again": tied, "empty": torch.empty(0, 3)}, tmp_path, durable=True)
    loaded = pytree_serialization.load(tmp_path / FOLDER_NAME, jax.sharding.SingleDeviceSharding(jax.devices()[0]))
    assert loaded.keys() == {*state, "tied", "empty"}
    assert loaded["empty"].shape == (0, 3)
    for name, tensor in (state | {"tied": tied}).items():
        array = to_numpy(tensor)
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(np.asarray(loaded[name]), array)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "int64", "float64", "complex128", "float8_e8m0fnu"])
def test_a_tensor_and_its_array_are_the_same_memory(dtype: str) -> None:
    state = samples.as_in_a_run(
        {name: samples.random_tensor(dtype, shape) for name, shape in (("", ()), ("a", (9, 7)))}
    )
    for tensor in state.values():
        array = to_jax(tensor)
        assert array.unsafe_buffer_pointer() == tensor.data_ptr()
        back = to_torch(array)
        assert (back.data_ptr(), back.dtype, back.shape) == (tensor.data_ptr(), tensor.dtype, tensor.shape)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="dirty pages show by resisting posix_fadvise")
@pytest.mark.parametrize("method", FAMILY)
def test_a_buffered_save_syncs_nothing_and_a_durable_one_what_tensorstore_writes(method: str, tmp_path: Path) -> None:
    def dirty_bytes(name: str, *, durable: bool) -> int:
        (tmp_path / name).mkdir()
        create(method, PLAN).save({"a": torch.randn(500, 500)}, tmp_path / name, durable=durable)
        seen = 0
        for data in (tmp_path / name).rglob("d"):  # where OCDBT puts its data
            for path in data.iterdir():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # drops what is clean
            residency = pagecache.residency(data)
            seen += residency.resident_bytes if residency else 0
        return seen

    # Another program may sync everything, or hold a page for a moment.
    assert not all(dirty_bytes(f"durable {number}", durable=True) for number in range(3))
    assert any(dirty_bytes(f"buffered {number}", durable=False) >= 500_000 for number in range(3))


@pytest.mark.parametrize("method", FAMILY)
def test_a_gpu_that_jax_does_not_know_is_refused_with_what_to_install(method: str) -> None:
    made = create(method, PLAN)
    if "cuda" in made.capabilities.devices:
        pytest.skip("JAX is here with CUDA")
    model = samples.table({"a": torch.ones(3)})
    refusal = made.refusal(model, "cuda:1")
    assert isinstance(refusal, UnavailableError)
    assert "jax[cuda13]" in refusal.do
    assert made.refusal(model, "cpu") is None
