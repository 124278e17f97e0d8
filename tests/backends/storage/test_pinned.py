"""A pool lends every byte once."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.storage.pinned import PinnedPool

CPU = torch.device("cpu")


@given(st.lists(st.one_of(st.integers(1, 3000), st.none()), max_size=60))
def test_pieces_do_not_overlap_and_what_is_given_back_is_lent_again(wishes: list[int | None]) -> None:
    """A number borrows as many bytes; None gives the oldest piece back."""
    pool, lent = PinnedPool(5000, CPU), list[torch.Tensor]()
    for number, size_bytes in enumerate(wishes):
        if size_bytes is None:
            if lent:
                pool.give_back(lent.pop(0))
        elif (piece := pool.take(size_bytes)) is not None:
            assert len(piece) == size_bytes
            piece.fill_(number % 251)
            lent.append(piece)
        elif not lent:
            raise AssertionError("an empty pool had no room")
        assert all((piece == piece[0]).all() for piece in lent), "two pieces share a byte"
    while lent:
        pool.give_back(lent.pop())
    assert pool.take(5000) is not None


def test_a_tensor_goes_through_a_piece_and_comes_back_in_memory_of_its_own() -> None:
    pool = PinnedPool(1000, CPU)
    tensor = torch.arange(12, dtype=torch.int16).reshape(3, 4)
    assert pool.take(24) is not None
    piece = pool.take(24)
    assert piece is not None
    host = pool.to_host(tensor, piece)
    piece_start = piece.data_ptr()
    assert host.data_ptr() == piece_start
    back = pool.to_device(host)
    piece.zero_()
    assert torch.equal(back, tensor)
