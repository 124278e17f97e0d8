"""What goes in comes out: every dtype, shape, name and folder, in memory of its own."""

from pathlib import Path

import pytest
import torch

from backends.measuring.source_guard import Given
from backends.measuring.trial import refuse_mapped
from backends.nested import flatten, nest
from backends.storage.folder import files_below
from backends.tensors import verify
from backends.testing import samples
from backends.testing.harness import Harness
from backends.testing.saver import save
from state.errors import UnavailableError
from state.model import Model, TensorInfo


class FidelityTests(Harness):
    """A save and a load when nothing goes wrong."""

    @pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
    def test_every_dtype_that_it_claims_comes_back_bit_for_bit_in_every_shape(self, disk: Path) -> None:
        claimed = self.make().capabilities.dtypes
        dtypes = [dtype for dtype in samples.DTYPES if claimed is None or dtype in claimed]
        assert "float32" in dtypes, "the warm-up of every trial is in float32"
        assert len(dtypes) == len(claimed or dtypes), f"torch has only {dtypes} of {claimed}"
        state = self.state(samples.every_dtype_and_shape(dtypes))
        assert self.refusal(samples.table(state)) is None
        self.round_trip(state, disk)

    def test_a_save_leaves_what_it_is_given_as_it_was(self, disk: Path) -> None:
        """The same tensors under the same names, where and as they were: a training run goes on with them."""
        square = samples.random_tensor("float32", (67, 67), 1)
        source = {
            "model/square": square,
            "model/steps": torch.arange(7),
            "model/tied": square,
            "scalar": torch.ones(()),
        }
        for nested in {False, self.make().capabilities.nested}:
            state = self.state(source)
            given = Given(nest(state) if nested else state, nested=nested)
            (folder := disk / str(nested)).mkdir()
            save(self.make(), given.state, folder)
            given.check(source, self.device)

    def test_what_it_does_not_claim_is_refused_before_a_run(self) -> None:
        capabilities = self.make().capabilities
        for dtype in samples.DTYPES:
            model = Model("m", "", (TensorInfo("a", "float32", (1,), 4), TensorInfo("b", dtype, (0,), 0)))
            refusal = self.refusal(model)
            if capabilities.dtypes is None or dtype in capabilities.dtypes:
                assert refusal is None
            else:
                assert isinstance(refusal, UnavailableError)
                assert dtype in refusal.what
        model = Model("m", "", (TensorInfo("a", "float32", (1,), 4),))
        for device in ("cpu", "cuda", "cuda:1", "mps"):
            assert (self.make().refusal(model, device) is None) == (device.split(":")[0] in capabilities.devices)

    def test_tensors_that_were_not_contiguous_come_back(self, disk: Path) -> None:
        tensors = samples.not_contiguous()
        verify(self.round_trip(self.state(tensors), disk), tensors, self.device)

    def test_a_large_tensor_comes_back(self, disk: Path) -> None:
        self.round_trip(self.state(samples.large()), disk)

    def test_thousands_of_tiny_tensors_and_ties_come_back(self, disk: Path) -> None:
        self.round_trip(self.state(samples.tiny(self.tiny_tensors)), disk)

    def test_any_name_comes_back_or_is_refused_before_a_run_and_nothing_is_written_outside(self, disk: Path) -> None:
        names = (*samples.NAMES, str(disk.parent / "absolute"), f"file://{disk.parent}/url")
        state = {name: torch.full((2, 3), float(number)) for number, name in enumerate(names)}
        state = {name: tensor for name, tensor in state.items() if self.refusal(samples.table({name: tensor})) is None}
        assert {"a", "a.b", "a..b", "é", "0.0"} <= state.keys(), "it refuses names that models have"
        folder = disk / "one" / "checkpoint"
        self.round_trip(self.state(state), folder)
        outside = {path.name for path in disk.parent.rglob("*") if not path.is_relative_to(folder)}
        assert outside == {"disk", "elsewhere", "one"}, "something was written outside"

    def test_the_folders_above_may_have_any_name(self, disk: Path) -> None:
        state = self.state({"weight": samples.random_tensor("float32", (70, 3)), "B": torch.ones(())})
        folder = disk.joinpath(*samples.FOLDERS, "checkpoint")
        self.round_trip(state, folder)
        outside = {path.name for path in disk.parent.rglob("*") if not path.is_relative_to(folder)}
        assert outside == {*samples.FOLDERS, "disk", "elsewhere"}, "something was written outside"

    def test_a_training_state_comes_back_in_its_structure(self, disk: Path) -> None:
        """As dictionaries in dictionaries if the method takes them, else with paths for names."""
        weight = samples.random_tensor("bfloat16", (67, 131))
        moment = samples.random_tensor("float32", (67, 131))
        state = self.state(
            {
                "model/layer.weight": weight,
                "model/a~1b": torch.arange(7),
                "optimizer/state/layer.weight/step": torch.ones(()),
                "optimizer/state/layer.weight/exp_avg": moment,
                "model/head.weight": weight,
            }
        )
        nested = self.make().capabilities.nested
        save(self.make(), nest(state) if nested else state, disk, durable=False)
        loaded = self.make().load(disk, self.device)
        if nested:
            assert loaded.keys() == {"model", "optimizer"}
        verify(flatten(loaded) if nested else loaded, state, self.device)

    def test_loaded_tensors_are_in_memory_of_their_own_that_only_ties_share(self, disk: Path) -> None:
        """Neither in the source's nor in a mapped file's: what changes later must not change the model."""
        tied = samples.random_tensor("float32", (90, 90))
        state = self.state({"head": tied, "steps": torch.arange(7), "body": tied.clone(), "embed": tied})
        loaded = self.round_trip(state, disk)
        refuse_mapped(loaded, disk)
        before = samples.bits(loaded)
        for path in files_below(disk):
            path.write_bytes(bytes(path.stat().st_size))
        for tensor in state.values():
            tensor.zero_()
        assert samples.bits(loaded) == before, "what was loaded lies in the source's memory or in a file"
        loaded["head"].fill_(3)
        assert (loaded["embed"] == 3).all()
        assert samples.bits(loaded)["body"] == before["body"]
