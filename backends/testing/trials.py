"""What a run relies on when it measures a method."""

import os
from pathlib import Path

import msgspec
import pytest
import torch

from backends.measuring.trial import MethodTrial
from backends.methods.base import AsynchronousMethod
from backends.storage import pagecache
from backends.storage.folder import files_below
from backends.tensors import unique_tensors, verify
from backends.testing import samples
from backends.testing.harness import Harness
from state.plan import Operation
from state.run.records import LoadResult, SaveResult


class TrialTests(Harness):
    """The stall, the times, the syncing."""

    def test_what_changes_after_the_stall_is_not_in_the_checkpoint(self, disk: Path) -> None:
        method = self.make()
        if not isinstance(method, AsynchronousMethod):
            pytest.skip("it is not asynchronous")
        state = self.state(samples.large() | samples.every_dtype_and_shape(["float32"]))
        before = {name: tensor.clone() for name, tensor in unique_tensors(state)[0].items()}

        def turn_over() -> None:
            for name in before:
                state[name].view(-1).view(torch.uint8).bitwise_not_()

        for _ in range(2):  # to and fro, so that their pages are this process's own and the third time is fast
            turn_over()
        finish = method.start(state, disk, durable=False)
        turn_over()
        finish()
        loaded = self.load(disk)
        verify({name: loaded[name] for name in before}, before, self.device)

    def test_a_trial_measures_it(self, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pagecache, "settle", lambda folder: True)  # nobody looks at the times here

        def trial(operation: Operation) -> MethodTrial:
            return MethodTrial(self.make(), arena, self.plan, operation, lambda phase, moved_bytes: None)

        with samples.in_an_arena(samples.two_tensors()) as arena:
            saved, loaded = trial("save").save(disk / "checkpoint"), trial("load").load(disk / "checkpoint")
        assert saved.durable_s is not None
        if isinstance(self.make(), AsynchronousMethod):
            assert saved.stall_s is not None
            assert 0 < saved.stall_s <= saved.returned_s <= saved.durable_s
        else:
            assert saved.stall_s is None
        assert [path.name for path in disk.iterdir()] == ["checkpoint"], "the warm-up left something behind"
        for result in (saved, loaded):
            assert msgspec.json.decode(msgspec.json.encode(result), type=SaveResult | LoadResult) == result

    @pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="dirty pages show by resisting posix_fadvise")
    def test_what_it_syncs_itself_is_on_the_device(self, disk: Path) -> None:
        if not self.make().capabilities.syncs_itself:
            pytest.skip("it leaves syncing to us")
        state = self.state(samples.two_tensors())

        def dirty_bytes(folder: Path) -> int:
            self.save(state, folder, durable=True)
            for path in files_below(folder):
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # drops what is clean
            seen = pagecache.residency(folder)
            return seen.resident_bytes if seen else 0

        # Another program may hold a page for a moment.
        left = min(dirty_bytes(disk / str(number)) for number in range(3))
        assert not left, f"some of it is not on the device: {left:,} bytes are still to be written"
