"""The model's tensors in memory that a worker shares with the children that it forks, and that no child can change.

The memory is a file without a name (memfd_create(2)): it needs no room in /dev/shm, and is gone with the last process
that has it. One child fills it. Then it is sealed: the kernel itself refuses every change, which says more than any
checksum that somebody would have to compare. Every later child maps it privately: a page that it writes to becomes its
own copy, which nobody else sees. The worker maps nothing and touches no tensor library, so it stays single-threaded.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Final

from state.model import Model

if TYPE_CHECKING:
    import torch

#: Every tensor starts on a page, as a large allocation of torch's would.
_ALIGNMENT: Final = mmap.PAGESIZE
#: MADV_POPULATE_READ (Linux 5.14, https://man7.org/linux/man-pages/man2/madvise.2.html), which `mmap` does not know. It
#: maps pages without copying them; MAP_POPULATE would give the process a copy of each.
_POPULATE_READ: Final = 22
#: How long a process that has ended may take to be gone altogether: who looks at its memory keeps it for a moment.
_SEAL_S: Final = 5.0


class Arena:
    """Memory for every unique tensor of a model.

    Args:
        model: The table of the tensors.

    Raises:
        OSError: If the system does not give it.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._offsets: dict[str, int] = {}
        end = 0
        for tensor in model.tensors:
            self._offsets[tensor.name] = end
            end += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
        self._size_bytes = max(end, _ALIGNMENT)
        self._fd, self._can_be_sealed = _without_a_name()
        try:
            os.ftruncate(self._fd, self._size_bytes)
        except OSError:
            self.close()
            raise

    def shared_views(self) -> "dict[str, torch.Tensor]":
        """Every tensor as everybody sees it, for the child that fills them. Not possible once it is sealed."""
        return self._views(self._mapping(mmap.MAP_SHARED))

    def seal(self) -> None:
        """Let nobody change it any more, neither through a mapping nor through a descriptor. Once, when it is filled.

        Where the system has no seals, the private mappings alone protect it.

        Raises:
            OSError: With EBUSY if a process still has shared views of it.
        """
        if sys.platform != "linux" or not self._can_be_sealed:
            return
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        deadline_s = time.monotonic() + _SEAL_S
        while True:
            try:
                fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, seals)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.01)
            else:
                return

    def views(self, *, resident: bool = False) -> "dict[str, torch.Tensor]":
        """Every tensor, as this process alone sees it from now on, without copying. Call it in a child only.

        Args:
            resident: Map every page now, so that no page fault of ours falls into a measurement.

        Returns:
            Name -> a tensor with a storage of its own, in a mapping that all of one call share. It is gone with them.
        """
        mapping = self._mapping(mmap.MAP_PRIVATE)
        if resident:
            _map_pages(mapping)
        return self._views(mapping)

    def state_dict(self, *, resident: bool = False) -> "dict[str, torch.Tensor]":
        """As `views`, under all names: an alias is the same object as the tensor that it is tied to."""
        views = self.views(resident=resident)
        return views | {alias: views[target] for alias, target in self.model.aliases.items()}

    def logical_memory(self) -> memoryview:
        """As many bytes as the model has, in whole pages and at least one, as `views` has them."""
        pages = max(1, -(-self.model.logical_bytes // _ALIGNMENT))
        return memoryview(self._mapping(mmap.MAP_PRIVATE))[: pages * _ALIGNMENT]

    def close(self) -> None:
        """Give the memory back, as soon as no view of it is left in any process."""
        os.close(self._fd)

    def _mapping(self, flags: int) -> mmap.mmap:
        return mmap.mmap(self._fd, self._size_bytes, flags=flags)

    def _views(self, mapping: mmap.mmap) -> "dict[str, torch.Tensor]":
        from backends.raw import tensor_in

        return {
            tensor.name: tensor_in(mapping, self._offsets[tensor.name], tensor.dtype, tensor.shape)
            for tensor in self.model.tensors
        }


def _without_a_name() -> tuple[int, bool]:
    """A descriptor of an empty file that has no name, and whether it can be sealed."""
    with contextlib.suppress(AttributeError, OSError):  # another system, or one that does not allow it
        return os.memfd_create("model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), True
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno()), False


def _map_pages(mapping: mmap.mmap) -> None:
    try:
        mapping.madvise(_POPULATE_READ)
    except OSError:  # an older kernel, or another system
        for offset in range(0, len(mapping), mmap.PAGESIZE):
            mapping[offset]
