"""What counts as a tensor whose bytes can be compared."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from backends.raw import DifferenceError, first_difference, form_of
from backends.tensors import VerificationError, verify
from tests.backends.samples import CPU

MATRIX = torch.arange(6.0).reshape(2, 3)


class Special(torch.Tensor):
    """Of whom nobody knows what its bytes mean."""


def reaching_too_far() -> torch.Tensor:
    tensor = MATRIX.clone()
    tensor.untyped_storage().resize_(8)
    return tensor


ODD: dict[str, Callable[[], object]] = {
    "no plain tensor but a ndarray": lambda: np.zeros((2, 3), np.float32),
    "no plain tensor but a NoneType": lambda: None,
    "no plain tensor but a Special": lambda: MATRIX.as_subclass(Special),
    "not dense: its layout is torch.sparse_coo": lambda: MATRIX.to_sparse(),
    "not dense: its layout is torch.sparse_csr": lambda: MATRIX.to_sparse_csr(),
    "still to be conjugated": lambda: MATRIX.to(torch.complex64).conj(),
    "still to be conjugated or negated": lambda: torch._neg_view(MATRIX),
    "reaches beyond its memory of 8 bytes": reaching_too_far,
    "is on meta, not on cpu": lambda: MATRIX.to("meta"),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("words", ODD)
def test_whatever_is_no_plain_dense_tensor_is_refused_by_name(words: str) -> None:
    with pytest.raises(VerificationError, match=f"came back different: tensor 'odd' .*{words}"):
        verify({"odd": ODD[words]()}, {"odd": MATRIX}, CPU)  # type: ignore[dict-item]


def test_parameters_and_views_are_plain() -> None:
    for plain in (torch.nn.Parameter(MATRIX), MATRIX.t().contiguous().t(), torch.cat([MATRIX, MATRIX])[2:]):
        verify({"plain": plain}, {"plain": MATRIX}, CPU)
    assert form_of(MATRIX[1:, :2], "part")[3:5] == ((3, 1), 3)
    assert str(form_of(MATRIX, "matrix")) == "float32 [2, 3]"


def test_an_expanded_tensor_of_one_element_reaches_no_further() -> None:
    one = torch.ones(1)
    verify({"wide": one.expand(1000)}, {"wide": torch.ones(1000)}, CPU)
    assert form_of(torch.ones(0, 5), "empty").address == 0


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_first_of_several_differences_is_found(size: int) -> None:
    zeros = torch.zeros(size, dtype=torch.uint8)
    assert first_difference(zeros, zeros.clone()) is None
    for position in {0, size // 2, size - 1}:
        other = zeros.clone()
        other[position:] = 1
        assert first_difference(zeros, other) == position


def test_a_difference_is_no_error_for_people_by_itself() -> None:
    with pytest.raises(DifferenceError, match="no plain tensor"):
        form_of(None, "odd")
