"""Checkpoints of the Orbax methods, by hand, and what Orbax relies on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from orbax.checkpoint.experimental import v1 as ocp

from backends.methods.jax.arrays import to_jax
from backends.methods.jax.orbax import FOLDER_NAME
from backends.methods.registry import create
from backends.tensors import to_numpy
from state.plan import Plan

PLAN = Plan()
METHODS = ("orbax", "orbax-async")


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
@pytest.mark.parametrize("method", METHODS)
def test_orbax_by_hand_reads_it(method: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tied = torch.arange(7)
    state = {"a.weight": torch.randn(30, 7).bfloat16(), "double": torch.randn((), dtype=torch.float64), "tied": tied}
    create(method, PLAN).save(state | {"again": tied, "empty": torch.empty(0, 3)}, tmp_path, durable=True)
    assert {path.name for path in tmp_path.iterdir()} == {FOLDER_NAME, "leaves.json"}, "temporary names are gone"
    assert ocp.is_orbax_checkpoint(tmp_path / FOLDER_NAME)
    loaded = ocp.load(tmp_path / FOLDER_NAME)
    assert loaded.keys() == state.keys(), "a tie is stored once, and what is empty not at all"
    for name, tensor in state.items():
        array = to_numpy(tensor)
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(np.asarray(loaded[name]), array)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("method", METHODS)
def test_what_is_told_of_its_settings_are_those_of_orbax(method: str, tmp_path: Path) -> None:
    made = create(method, PLAN)
    settings = made.spec(durable=True)["array.saving"]
    assert settings["use_compression"]
    made.save({"zeros": torch.zeros(1000, 1000)}, tmp_path, durable=False)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100_000, "it is not compressed"


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_orbax_itself_takes_no_copy_of_what_is_on_the_cpu(tmp_path: Path) -> None:
    """The reason for ours. Where this fails, `orbax-async` copies for nothing."""

    def shows_the_change(path: Path) -> bool:
        tensor = torch.randn(2000, 2000)
        before = tensor.clone()
        saving = ocp.save_async(path, {"a": to_jax(tensor)})
        tensor.zero_()
        saving.result()
        return not np.array_equal(np.asarray(ocp.load(path)["a"]), before.numpy())

    assert any(shows_the_change(tmp_path / str(number)) for number in range(5)), "it may be done before the change"
