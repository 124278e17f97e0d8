"""Bits between torch and numpy, and the comparison that decides whether a load counts."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.methods.tensorstore.family import DTYPES
from backends.tensors import StateDict, VerificationError, dtype_name, from_numpy, to_numpy, unique_tensors, verify
from state.units import MIB
from tests.backends.samples import random_tensor, raw


@pytest.mark.parametrize("shape", [(), (0, 5), (500,), (7, 11, 3)])
@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_numpy_and_torch_share_memory_bits_and_values(dtype: str, shape: tuple[int, ...]) -> None:
    tensor = random_tensor(dtype, shape)
    array = to_numpy(tensor)
    assert (array.shape, array.dtype.name, array.tobytes()) == (shape, dtype, raw(tensor))
    back = from_numpy(array)
    assert (tuple(back.shape), dtype_name(back.dtype), raw(back)) == (shape, dtype, raw(tensor))
    assert back.data_ptr() == tensor.data_ptr()
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    with np.errstate(invalid="ignore"):  # numpy warns of signalling NaNs
        np.testing.assert_array_equal(array.astype(dtype_name(wide)), tensor.to(wide).numpy())


def test_only_the_same_object_under_a_second_name_is_an_alias() -> None:
    tied = torch.ones(3)
    tensors, aliases = unique_tensors({"a": tied, "twin": torch.ones(3), "b": tied, "view": tied[:]})
    assert (list(tensors), aliases) == (["a", "twin", "view"], {"b": "a"})


def source() -> StateDict:
    tied = torch.tensor([1.0, -0.0, float("nan"), float("inf")])
    more = {"half": random_tensor("bfloat16", (4, 4)), "steps": torch.arange(6).reshape(2, 3), "scalar": torch.ones(())}
    return {
        "tied": tied,
        "alias": tied,
        "zeros": torch.zeros(4),
        "twin": torch.zeros(4),
        **more,
        "empty": torch.ones(0),
    }


def copy_of(state: StateDict) -> StateDict:
    """A copy with its ties."""
    copies = {id(tensor): tensor.clone() for tensor in state.values()}
    return {name: copies[id(tensor)] for name, tensor in state.items()}


@given(st.sampled_from(["tied", "zeros", "half", "steps", "scalar"]), st.integers(0, 10**6))
def test_one_flipped_bit_anywhere_is_found_and_its_byte_named(name: str, bit: int) -> None:
    loaded = copy_of(source())
    verify(loaded, source())
    data = loaded[name].view(-1).view(torch.uint8)
    bit %= data.numel() * 8
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(
        VerificationError, match=f"came back different: tensor '{name}' has other bits, first at byte {bit // 8}:"
    ):
        verify(loaded, source())


@pytest.mark.parametrize("byte", [16 * MIB - 1, 16 * MIB, 17 * MIB - 1])
def test_a_flipped_bit_is_found_on_both_sides_of_the_comparison_window(byte: int) -> None:
    large = torch.zeros(17 * MIB, dtype=torch.uint8)
    loaded = large.clone()
    loaded[byte] = 128
    with pytest.raises(VerificationError, match=f"first at byte {byte:,}:"):
        verify({"large": loaded}, {"large": large})


def test_the_order_in_memory_does_not_matter() -> None:
    matrix = torch.arange(12).reshape(3, 4)
    verify({"a": matrix.T.contiguous().T}, {"a": matrix})


CHANGES: dict[str, Callable[[StateDict], StateDict]] = {
    "zero changes its sign": lambda state: {"zeros": -state["zeros"]},
    "another dtype of the same size": lambda state: {"half": state["half"].view(torch.float16)},
    "a wider dtype with the same values": lambda state: {"half": state["half"].float()},
    "another shape with the same bytes": lambda state: {"steps": state["steps"].reshape(3, 2)},
    "a scalar becomes a vector": lambda state: {"scalar": state["scalar"].reshape(1)},
    "an empty tensor of another shape": lambda state: {"empty": torch.ones(5, 0)},
    "a surplus name": lambda state: {"surplus": torch.ones(1)},
    "ties come apart": lambda state: {"alias": state["tied"].clone()},
    "a tied name with another shape": lambda state: {"alias": state["tied"].reshape(2, 2)},
    "a tied name with another dtype": lambda state: {"alias": state["tied"].view(torch.int32)},
    "a tie that was none": lambda state: {"twin": state["zeros"]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_difference_is_found(change: str) -> None:
    loaded = copy_of(source())
    with pytest.raises(VerificationError):
        verify(loaded | CHANGES[change](loaded), source())


@pytest.mark.parametrize("name", list(source()))
def test_a_missing_name_is_found(name: str) -> None:
    loaded = copy_of(source())
    del loaded[name]
    with pytest.raises(VerificationError, match=r"tensor .* is missing"):
        verify(loaded, source())
