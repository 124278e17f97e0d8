"""What a method declares of its memory, against what a save and a load are seen to fill."""

import shutil
from pathlib import Path
from typing import Final

import pytest
import torch

from backends.storage import pagecache
from backends.storage.folder import tree_size
from backends.testing.declaration import Filled, complaints
from backends.testing.filling import MODEL, TrialOrder
from backends.testing.harness import Harness
from backends.testing.saver import Saver, save
from state.needs import MemoryNeed
from state.plan import OPERATIONS, Operation
from state.units import MIB

#: Another program may push pages out, or the system write something back at a bad moment.
_LOOKS: Final = 3


class MemoryTests(Harness):
    """The declaration holds, both ways."""

    def test_it_fills_as_much_memory_as_it_declares(self, disk: Path, saver: Saver) -> None:
        """Memory of its own and page cache. What cannot be seen here is told as skipped."""
        need, maps = self._declared(disk), self.make().capabilities.lazy_load
        unseen = {"its page cache": why_unseen(disk / "control")}
        for _ in range(_LOOKS):
            seen = self._fill(disk / "checkpoint", saver, cache_is_seen=unseen["its page cache"] is None)
            wrong = complaints(need, seen, maps=maps)
            if not wrong:
                break
        assert not wrong, "\n".join(wrong)
        if any(filled.own_bytes is None for filled in seen):
            unseen["memory of its own"] = "it is seen where tensors are on the CPU and a peak can be set back"
        if reasons := [f"{what}: {why}" for what, why in unseen.items() if why is not None]:
            pytest.skip(f"not checked: {'; '.join(reasons)}")

    def _declared(self, disk: Path) -> MemoryNeed:
        """As a trial asks for it, after a warm-up: there some find out which way their files can go."""
        method, folder = self.make(), disk / "warm-up"
        folder.mkdir()
        save(method, {"warm-up": torch.zeros(2, 2, device=self.device)}, folder)
        return method.memory(self.plan.device)

    def _fill(self, folder: Path, saver: Saver, *, cache_is_seen: bool) -> list[Filled]:
        try:
            return [self._look(folder, operation, saver, cache_is_seen=cache_is_seen) for operation in OPERATIONS]
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _look(self, folder: Path, operation: Operation, saver: Saver, *, cache_is_seen: bool) -> Filled:
        cost = saver.measure(TrialOrder(self.target, self.plan, str(folder), operation)).cost
        residency = pagecache.residency(folder) if cache_is_seen else None
        return Filled(
            operation,
            MODEL.logical_bytes,
            tree_size(folder)[0],
            cost.extra_rss_bytes if self.device.type == "cpu" else None,
            residency.resident_bytes if residency is not None else None,
        )


def why_unseen(folder: Path) -> str | None:
    """Why nobody can see which files of a new folder are in the page cache; None if a file of our own shows that.

    Some systems do not tell, some file systems keep what they cache elsewhere, and in memory nothing can be evicted.
    """
    folder.mkdir()
    (folder / "file").write_bytes(bytes(MIB))
    if pagecache.residency(folder) != (MIB, MIB):
        return "a file that was just written is not seen in it"
    pagecache.evict(folder)
    if pagecache.residency(folder) != (0, MIB):
        return "a file that was evicted is still seen in it"
    return None
