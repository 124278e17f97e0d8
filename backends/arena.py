"""The model's tensors in memory that a worker shares with the children that it forks.

The memory is anonymous and shared: it has no name, needs no room in /dev/shm, and is gone with the last process.
Making it touches no tensor library, so the worker can do it and stay single-threaded.
"""

import mmap
from typing import TYPE_CHECKING, Final

from state.model import Model

if TYPE_CHECKING:
    import torch

#: Every tensor starts on a page, as a large allocation of torch's would.
_ALIGNMENT: Final = mmap.PAGESIZE


class Arena:
    """Memory for every unique tensor of a model.

    Args:
        model: The table of the tensors.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._offsets: dict[str, int] = {}
        end = 0
        for tensor in model.tensors:
            self._offsets[tensor.name] = end
            end += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
        self._memory = mmap.mmap(-1, max(end, _ALIGNMENT))

    def views(self) -> dict[str, "torch.Tensor"]:
        """Every tensor, without copying; each has a storage of its own. Call it in a child only."""
        import torch

        views = {}
        for tensor in self.model.tensors:
            dtype: torch.dtype = getattr(torch, tensor.dtype)
            if tensor.nbytes == 0:
                views[tensor.name] = torch.empty(tensor.shape, dtype=dtype)
                continue
            raw = torch.frombuffer(
                self._memory, dtype=torch.uint8, offset=self._offsets[tensor.name], count=tensor.nbytes
            )
            views[tensor.name] = raw.view(dtype).reshape(tensor.shape)
        return views

    def state_dict(self) -> dict[str, "torch.Tensor"]:
        """The tensors under all their names: an alias is the same object as the tensor that it is tied to."""
        views = self.views()
        return views | {alias: views[target] for alias, target in self.model.aliases.items()}

    def logical_memory(self) -> memoryview:
        """As many bytes as the model has, in whole pages and at least one, without copying. Call it in a child only."""
        pages = max(1, -(-self.model.logical_bytes // _ALIGNMENT))
        return memoryview(self._memory)[: pages * _ALIGNMENT]

    def touch(self) -> None:
        """Map every page into this process, so that no page fault of ours falls into a measurement."""
        for offset in range(0, len(self._memory), mmap.PAGESIZE):
            self._memory[offset]

    def close(self) -> None:
        """Give the memory back. Only for a process that made no views."""
        self._memory.close()
