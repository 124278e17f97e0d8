"""Real weights in every layout that people have them in, and files that are damaged or mean harm."""

import json
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from backends.models.sources import gzip_ratio
from backends.models.weight_files import Weights
from backends.tensors import StateDict
from state.errors import ModelError
from tests.backends.samples import REAL_FOLDER, bits, filled

Layout = Callable[[StateDict, Path], Path]
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")  # torch's, of hostile files


@pytest.fixture(scope="module")
def real() -> StateDict:
    return safetensors.torch.load_file(REAL_FOLDER / "model.safetensors")


def weights(path: Path, dtype: str = "auto") -> Weights:
    return Weights("model", path, dtype=dtype)


def as_file(name: str, wrapper: str | None = None) -> Layout:
    def save(state: StateDict, folder: Path) -> Path:
        if name.endswith(".safetensors"):
            safetensors.torch.save_file(state, folder / name)
        else:
            torch.save({wrapper: state, "epoch": 3} if wrapper else state, folder / name)
        return folder / name

    return save


def in_folder(name: str) -> Layout:
    return lambda state, folder: as_file(name)(state, folder).parent


def sharded(stem: str, suffix: str) -> Layout:
    def save(state: StateDict, folder: Path) -> Path:
        weight_map: dict[str, str] = {}
        for number in (0, 1):
            part = list(state)[number::2]
            weight_map |= dict.fromkeys(part, file := f"{stem}-{number:05}-of-00002{suffix}")
            as_file(file)({name: state[name] for name in part}, folder)
        return write_index(folder, weight_map, f"{stem}{suffix}")

    return save


def write_index(folder: Path, weight_map: dict[str, str], name: str = "model.safetensors") -> Path:
    (folder / f"{name}.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return folder


LAYOUTS: dict[str, Layout] = {
    "the folder as it is published": lambda state, folder: REAL_FOLDER,
    "the safetensors file in it": lambda state, folder: REAL_FOLDER / "model.safetensors",
    "a .pt file": as_file("model.pt"),
    "a .pth file wrapped in state_dict": as_file("model.pth", "state_dict"),
    "a .bin file wrapped in model": as_file("any.bin", "model"),
    "a folder with pytorch_model.bin": in_folder("pytorch_model.bin"),
    "a folder with a safetensors file of another name": in_folder("adapter.safetensors"),
    "two safetensors shards with an index": sharded("model", ".safetensors"),
    "two .bin shards with an index": sharded("pytorch_model", ".bin"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_real_weights_are_read_bit_for_bit(layout: str, real: StateDict, tmp_path: Path) -> None:
    path = LAYOUTS[layout](real, tmp_path)
    model, state = filled(weights(path))
    for file in tmp_path.iterdir():
        file.unlink()  # pytest keeps its folders, and this one would have 90 MB
    assert bits(state) == bits(real)
    assert {(t.name, t.dtype, t.shape, t.nbytes) for t in model.tensors} == {
        (name, str(t.dtype).removeprefix("torch."), tuple(t.shape), t.nbytes) for name, t in real.items()
    }
    assert (model.aliases, model.origin) == ({}, str(path))


def test_an_index_wins_over_a_single_file_and_safetensors_over_pickles(tmp_path: Path) -> None:
    in_folder("pytorch_model.bin")({"pickle": torch.ones(1)}, tmp_path)
    in_folder("model.safetensors")({"single": torch.ones(1)}, tmp_path)
    assert list(filled(weights(tmp_path))[1]) == ["single"]
    sharded("model", ".safetensors")({"a": torch.ones(1), "b": torch.ones(1)}, tmp_path)
    assert list(filled(weights(tmp_path))[1]) == ["a", "b"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_dtype_casts_floats_and_keeps_everything_else(name: str, dtype: str, tmp_path: Path) -> None:
    floats: StateDict = {"single": torch.randn(9, 5), "double": torch.randn(3).double(), "half": torch.randn(4).half()}
    kept: StateDict = {"steps": torch.arange(4), "mask": torch.ones(2) > 0, "complex": torch.ones(3) * 1j}
    kept["float8"] = torch.randn(8).to(torch.float8_e4m3fn)
    model, state = filled(weights(as_file(name)(floats | kept, tmp_path), dtype))
    assert bits(state) == bits({name: tensor.to(getattr(torch, dtype)) for name, tensor in floats.items()} | kept)
    assert model.logical_bytes == sum(tensor.nbytes for tensor in state.values())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_ties_and_odd_tensors_of_a_pickle_come_back(dtype: str, zipped: bool, tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    views = {"weight": base, "tied": base, "view of all": base[:], "transposed": base.T, "row": base[1]}
    odd = {"expanded": torch.ones(1).expand(7), "parameter": torch.nn.Parameter(torch.randn(3))}
    empty = {"scalar": torch.tensor(5.0), "empty": torch.empty(0, 5), "also empty": torch.empty(0, 5)}
    state: StateDict = {**views, "twin": base.clone(), **odd, **empty}
    torch.save({**state, "epoch": 7, "note": "x"}, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    model, loaded = filled(weights(tmp_path / "w.pt", "auto" if dtype == "float32" else dtype))
    assert model.aliases == {"tied": "weight", "view of all": "weight"}
    assert bits(loaded) == bits({name: tensor.to(getattr(torch, dtype)) for name, tensor in state.items()})


def test_a_tensor_and_its_conjugate_are_not_tied(tmp_path: Path) -> None:
    """They share memory, and only a flag of the tensor tells them apart."""
    number = torch.tensor([1 + 2j])
    _, state = filled(weights(as_file("conjugate.pt")({"a": number, "b": number.conj()}, tmp_path)))
    assert state["b"].item() == 1 - 2j


class Bomb:
    """What a hostile pickle does: run something of its choice. This one makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.open, (str(self.path), os.O_CREAT | os.O_WRONLY)


@pytest.mark.parametrize("zipped", [True, False, None], ids=["zip", "before torch 1.6", "plain pickle"])
@pytest.mark.parametrize("name", ["evil.pt", "evil.pth", "pytorch_model.bin"])
def test_a_pickle_that_wants_to_run_code_is_refused_and_runs_nothing(
    name: str, zipped: bool | None, tmp_path: Path
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "model" / name
    path.parent.mkdir()
    content = {"weight": torch.ones(3), "bomb": Bomb(victim)}
    if zipped is None:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError):
        filled(weights(path.parent if name == "pytorch_model.bin" else path))
    assert not victim.exists()
    pickle.loads(path.read_bytes()) if zipped is None else torch.load(path, weights_only=False)
    assert victim.exists(), "the bomb of this test is a dud"


def small_state() -> StateDict:
    return {"a.weight": torch.randn(5, 7), "b": torch.arange(3), "c": torch.randn(4).half(), "d": torch.tensor(True)}


def refused(path: Path) -> bool:
    """Read everything as a run does. Any other exception than ours is a bug."""
    try:
        gzip_ratio(filled(weights(path))[1])
    except ModelError:
        return True
    return False


@pytest.mark.parametrize("bit", range(240))
def test_a_flipped_bit_in_a_safetensors_header_is_refused_or_read(bit: int, tmp_path: Path) -> None:
    path = as_file("flipped.safetensors")(small_state(), tmp_path)
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    assert refused(path) or bit >= 64, "the header's length is wrong and nobody noticed"


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_a_flipped_bit_anywhere_in_a_pickle_is_refused_or_read(zipped: bool, tmp_path: Path) -> None:
    torch.save(small_state(), path := tmp_path / "flipped.pt", _use_new_zipfile_serialization=zipped)
    sound, outcomes = path.read_bytes(), set()
    for bit in random.Random(1).sample(range(len(sound) * 8), 300):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        outcomes.add(refused(path))
    assert outcomes == {True, False}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_refused(name: str, share: float, tmp_path: Path) -> None:
    path = as_file(name)(small_state() | {"large": torch.randn(300, 300)}, tmp_path)
    os.truncate(path, int(path.stat().st_size * share))
    assert refused(path)


@pytest.mark.parametrize("name", ["r.safetensors", "r.pt", "r.pth", "r.bin"])
@pytest.mark.parametrize("size", [1, 8, 9, 100, 5000, 100_000])
def test_random_bytes_are_refused(name: str, size: int, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(random.Random(size).randbytes(size))
    assert refused(tmp_path / name)


SPARSE, META = {"a": torch.eye(3).to_sparse()}, {"a": torch.empty(3, device="meta")}


@pytest.mark.parametrize(
    "content", [[torch.ones(3)], {"epoch": 3}, {}, None, {"model": {"n": 3}}, SPARSE, META], ids=str
)
def test_a_pickle_without_plain_tensors_in_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    assert refused(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["model.txt", "model", "model.pkl", "model.SAFETENSORS"])
def test_a_file_with_another_suffix_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(safetensors.torch.save({"a": torch.ones(1)}))
    with pytest.raises(ModelError, match=r"choose \.safetensors, \.pt, \.pth, \.bin"):
        weights(tmp_path / name)


@pytest.mark.parametrize("files", [[], ["config.json", "weights.pt"]], ids=["empty", "no weights"])
def test_a_folder_without_weights_is_refused(files: list[str], tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match="there are no weights in the folder"):
        weights(tmp_path)


def test_a_file_without_tensors_and_a_name_in_two_files_are_refused(tmp_path: Path) -> None:
    assert refused(as_file("none.safetensors")({}, tmp_path))
    for name in ("one.safetensors", "two.safetensors"):
        as_file(name)({"a": torch.ones(1)}, tmp_path)
    with pytest.raises(ModelError, match="'a' occurs in two files"):
        weights(tmp_path).table()


NO_SHARDS = ["missing.safetensors", "", ".", "no\0pe.safetensors", pytest.param("x" * 300, id="too long for a path")]


@pytest.mark.parametrize("shard", NO_SHARDS)
def test_an_index_that_names_no_file_is_refused(shard: str, tmp_path: Path) -> None:
    assert refused(write_index(tmp_path, {"a": shard}))


@pytest.mark.parametrize("shard", ["../secret.safetensors", "{}/secret.safetensors", "../link.safetensors"])
def test_an_index_that_names_a_file_outside_its_folder_is_refused(shard: str, tmp_path: Path) -> None:
    secret = as_file("secret.safetensors")({"a": torch.ones(1)}, tmp_path)
    (tmp_path / "link.safetensors").symlink_to(secret)
    (tmp_path / "model").mkdir()
    assert refused(write_index(tmp_path / "model", {"a": shard.format(tmp_path)}))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"weight_map": 3}', b'{"weight_map": {"a": 1}}', b"\xff"]
)
def test_a_damaged_index_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_bytes(content)
    assert refused(tmp_path)


def test_what_else_a_training_script_saved_is_named_as_left_out(tmp_path: Path) -> None:
    file, weight = tmp_path / "full.pt", torch.ones(3)
    torch.save({"model": {"w": weight}, "optimizer": {"state": {0: {"exp_avg": weight}}}, "epoch": 3, "ema": {}}, file)
    table = weights(file).table()
    assert [tensor.name for tensor in table.tensors] == ["w"]
    assert table.origin == f"{file}, without its optimizer, ema"
