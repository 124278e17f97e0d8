"""Pinned memory of the host on the way between a GPU and a library: a pool of fixed size, lent out in pieces.

Pinning takes longer than copying, so the pool is made once. Copies run on a stream of their own, at the full speed of
the link, while whatever else holds a piece encodes, writes or reads.
"""

from typing import Final

import torch

#: Pieces begin on a multiple of that, which suits every dtype and every copy engine.
_ALIGNMENT: Final = 512


class PinnedPool:
    """Memory that is lent out first come, first fit.

    Args:
        size_bytes: Of all of it.
        device: What is copied from and to.
    """

    def __init__(self, size_bytes: int, device: torch.device) -> None:
        self.device = device
        self._on_gpu = device.type == "cuda"
        self._memory = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=self._on_gpu)
        self._lent: dict[int, int] = {}  # start -> end of each piece, in their order
        self._stream = torch.cuda.Stream(device) if self._on_gpu else None  # type: ignore[no-untyped-call]

    @property
    def size_bytes(self) -> int:
        """The size of all of it."""
        return len(self._memory)

    def take(self, size_bytes: int) -> torch.Tensor | None:
        """Borrow a piece (uint8) of at least one byte; None while no gap is large enough."""
        start = 0
        for lent_start, lent_end in (*self._lent.items(), (self.size_bytes, 0)):
            if start + size_bytes <= lent_start:
                self._lent = dict(sorted((*self._lent.items(), (start, start + size_bytes))))
                return self._memory[start : start + size_bytes]
            start = -(-lent_end // _ALIGNMENT) * _ALIGNMENT
        return None

    def give_back(self, piece: torch.Tensor) -> None:
        """Return what was borrowed."""
        del self._lent[int(piece.storage_offset())]

    def to_host(self, tensor: torch.Tensor, piece: torch.Tensor) -> torch.Tensor:
        """Copy a tensor into a piece of as many bytes, and wait for it.

        Returns:
            The same values in the piece's memory.
        """
        host = piece.view(tensor.dtype).view(tensor.shape)
        self._copy(host, tensor)
        return host

    def to_device(self, host: torch.Tensor) -> torch.Tensor:
        """Copy a tensor of the host into memory of its own on the device, and wait for it."""
        tensor = torch.empty_like(host, device=self.device)
        self._copy(tensor, host)
        return tensor

    def _copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        if self._stream is None:
            target.copy_(source)
            return
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
        self._stream.synchronize()
