"""zarr version 3, plain and sharded, as zarr-python sees it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from backends.methods.tensorstore.family import DTYPES
from backends.methods.tensorstore.index import read_index
from backends.methods.tensorstore.zarr3 import INNER_CHUNK_BYTES, Zarr3, codecs
from backends.tensors import StateDict
from state.chunks import large_chunk_shape
from state.codecs import CODEC_LEVELS, Codec
from state.plan import Plan
from state.units import MIB
from tests.backends.samples import random_tensor, raw

#: zarr-python knows no dtype of ml_dtypes, so it reads those as integers of the same size.
AS_INTEGERS = {"bfloat16": "uint16"} | dict.fromkeys((name for name in DTYPES if name.startswith("float8")), "uint8")
CODECS = [Codec(name, high) for name, (_, high, _) in CODEC_LEVELS.items()]


def save(name: str, state: StateDict, folder: Path, plan: Plan) -> dict[str, Path]:
    """Save, and return the folder of every array."""
    from backends.methods.registry import create

    create(name, plan).save(state, folder, durable=False)
    return {tensor: folder / array for tensor, array in read_index(folder).arrays.items()}


def metadata_of(folder: Path) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads((folder / "zarr.json").read_bytes())
    return metadata


def assert_zarr_reads_the_same(state: StateDict, folders: dict[str, Path]) -> None:
    """Read with the other implementation. Changes the metadata of foreign dtypes."""
    for name, folder in folders.items():
        metadata = metadata_of(folder)
        if metadata["data_type"] in AS_INTEGERS:
            metadata |= {"data_type": AS_INTEGERS[metadata["data_type"]], "fill_value": 0}
            (folder / "zarr.json").write_text(json.dumps(metadata))
        values = np.asarray(zarr.open_array(folder, mode="r", zarr_format=3)[...])
        assert (values.shape, values.tobytes()) == (tuple(state[name].shape), raw(state[name])), name


@pytest.mark.parametrize("name", ["zarr3", "zarr3-sharded"])
def test_zarr_python_reads_every_dtype_bit_for_bit(name: str, tmp_path: Path) -> None:
    state = {f"{dtype}.{shape}": random_tensor(dtype, shape) for dtype in DTYPES for shape in [(), (67, 131), (200, 9)]}
    folders = save(name, state, tmp_path, Plan())
    assert metadata_of(folders["bfloat16.()"])["data_type"] == "bfloat16"
    assert_zarr_reads_the_same(state, folders)


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("name", ["zarr3+compression", "zarr3-sharded+compression"])
def test_zarr_python_reads_every_codec(name: str, codec: Codec, tmp_path: Path) -> None:
    state = {"weight": torch.randn(150, 200).bfloat16(), "bias": torch.randn(7), "steps": torch.tensor(3)}
    folders = save(name, state, tmp_path, Plan(codec=codec))
    (pipeline,) = [metadata_of(folders["weight"])["codecs"]]
    if name.startswith("zarr3-sharded"):
        assert [step["name"] for step in pipeline] == ["sharding_indexed"]
        pipeline = pipeline[0]["configuration"]["codecs"]
    for found, wanted in zip(pipeline, codecs(codec), strict=True):
        assert found["name"] == wanted["name"]
        assert wanted["configuration"].items() <= found["configuration"].items()
    assert_zarr_reads_the_same(state, folders)


def test_a_large_tensor_is_few_shards_of_several_chunks(tmp_path: Path) -> None:
    state = {"weight": random_tensor("float32", (4096, 2048)), "bias": random_tensor("float32", (2048,))}
    folders = save("zarr3-sharded", state, tmp_path, Plan(chunk_bytes=16 * MIB))
    metadata = metadata_of(folders["weight"])
    shard = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    (step,) = metadata["codecs"]
    assert tuple(shard) == large_chunk_shape((4096, 2048), 4, 16 * MIB)
    inner = step["configuration"]["chunk_shape"]
    assert 4 * inner[0] * inner[1] <= INNER_CHUNK_BYTES < 4 * shard[0] * shard[1]
    assert sorted(path.name for path in folders["weight"].iterdir()) == ["c.0.0", "c.1.0", "zarr.json"]
    assert_zarr_reads_the_same(state, folders)


def test_every_byte_is_stored_even_of_zeros_and_no_folder_is_made_below_an_array(tmp_path: Path) -> None:
    state: StateDict = {"zeros": torch.zeros(100, 190)}
    (folder,) = save("zarr3", state, tmp_path, Plan()).values()
    assert [path.is_file() for path in folder.iterdir()] == [True, True]
    assert (folder / "c.0.0").stat().st_size == state["zeros"].nbytes


def test_the_switches_are_the_plans() -> None:
    plan = Plan(concurrency=7, codec=Codec("zstd", 3))
    told = Zarr3.create("zarr3+compression", plan).spec(durable=False)
    assert told["context"]["file_io_concurrency"] == {"limit": 7}
    assert told["context"]["file_io_sync"] is False
    assert told["metadata"]["codecs"] == codecs(Codec("zstd", 3))
    assert Zarr3.create("zarr3", plan).spec(durable=True)["metadata"]["codecs"] == codecs(None)
