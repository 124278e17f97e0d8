"""All arrays in one database, read with TensorStore by hand."""

from pathlib import Path

import pytest
import tensorstore as ts
import torch

from backends.methods.registry import create
from backends.methods.tensorstore.index import read_index
from backends.storage.folder import files_below
from backends.tensors import StateDict, to_numpy, verify
from state.plan import Plan
from tests.backends.samples import CPU, random_tensor


@pytest.mark.parametrize("name", ["ocdbt", "ocdbt+compression"])
def test_tensorstore_reads_every_array_of_the_database(name: str, tmp_path: Path) -> None:
    state: StateDict = {f"layer.{n}": random_tensor("bfloat16", (90, 40 + n), n) for n in range(20)}
    state["../b"] = random_tensor("float32", ())
    create(name, Plan()).save(state, tmp_path, durable=True)
    for tensor, array in read_index(tmp_path).arrays.items():
        base = f"file://{tmp_path}/"
        spec = {"driver": "zarr3", "kvstore": {"driver": "ocdbt", "base": base, "path": f"{array}/"}}
        assert ts.open(spec).result().read().result().tobytes() == to_numpy(state[tensor]).tobytes()


def test_many_arrays_are_few_files_and_a_relative_folder_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = {f"layer.{n}": torch.full((30, 30), float(n)) for n in range(200)}
    folder = Path("checkpoint")
    folder.mkdir()
    create("ocdbt", Plan()).save(state, folder, durable=False)
    assert len(list(files_below(folder))) < 100
    verify(create("ocdbt", Plan()).load(folder, CPU), state, CPU)
