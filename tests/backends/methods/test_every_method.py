"""What every built-in method must do."""

from pathlib import Path

import pytest
import torch

from backends.methods.registry import create
from backends.methods.tensorstore import DTYPES
from backends.tensors import StateDict, VerificationError, verify
from state.model import Model
from state.optimizations import MIN_CHUNK_BYTES
from state.plan import Plan
from tests.backends.samples import CPU, METHODS, bits, info, random_tensor

PLAN = Plan(methods=METHODS, chunk_bytes=MIN_CHUNK_BYTES, concurrency=8)
#: Dimensions: none, an empty one, primes, exactly a tile, above a tile, primes that T5X's rule takes to 1.
SHAPES = [(), (0, 5), (3, 0), (1,), (67, 131), (64, 64), (65, 2, 3), (53, 53, 53), (1999,)]
NAMES = [
    *("../../x", "../x", "a/b", "a", "/", "\\", "", ".", "..", " ", "index.json", "Index.json", ".zarray", "0.0"),
    *("checkpoint.pt", "CON", "con", "Con", "A", "%41", "a%b", "?#|:*\"'<>$(id)`", "a\0b", "a\nb", "\0", "\r"),
    *("Gewicht-ß", "重み", "é", "e\u0301", "\U0001f9ca", "x" * 4000, "X" * 4000, "x" * 120, "x" * 121, "-rf", "~"),
]
STORAGES = ["with space", "a%41%2F", "a#b?c", "a|b:c", "ü-重", "..a", "q\"'"]
pytestmark = pytest.mark.parametrize("method", METHODS)


def round_trip(method: str, state: StateDict, folder: Path) -> StateDict:
    """Save with one instance and load with another, as in a run."""
    folder.mkdir(parents=True, exist_ok=True)
    create(method, PLAN).save(state, folder, durable=False)
    return create(method, PLAN).load(folder, CPU)


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_every_dtype_and_shape_comes_back_bit_for_bit(method: str, dtype: str, tmp_path: Path) -> None:
    state = {f"t{number}": random_tensor(dtype, shape, number) for number, shape in enumerate(SHAPES)}
    state["tied"] = state["t4"]
    before = bits(state)
    loaded = round_trip(method, state, tmp_path)
    assert bits(loaded) == before
    assert bits(state) == before, "saving changed the model"
    verify(loaded, state)


def test_names_that_mean_harm_stay_names_and_nothing_is_written_outside(method: str, tmp_path: Path) -> None:
    names = [*NAMES, str(tmp_path / "absolute"), f"file://{tmp_path}/url"]
    state = {name: torch.full((2, 3), float(number)) for number, name in enumerate(names)}
    folder = tmp_path / "one" / "two" / "checkpoint"
    verify(round_trip(method, state, folder), state)
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(folder)}
    assert outside == {folder.parent, folder.parent.parent}


@pytest.mark.parametrize("name", ["w.__lock", ".__lock", "a.__lock/b", "\ud800"], ids=ascii)
def test_a_name_that_libraries_stumble_over_comes_back(method: str, name: str, tmp_path: Path) -> None:
    state = {name: torch.arange(6.0), "other": torch.ones(2)}
    verify(round_trip(method, state, tmp_path), state)


@pytest.mark.parametrize("storage", STORAGES)
def test_the_storage_folder_may_have_any_name(method: str, storage: str, tmp_path: Path) -> None:
    state = {"weight": torch.randn(70, 3), "B": torch.ones(())}
    verify(round_trip(method, state, tmp_path / storage / "checkpoint"), state)
    assert [path.name for path in tmp_path.iterdir()] == [storage]


def test_hundreds_of_tiny_tensors_and_ties_come_back(method: str, tmp_path: Path) -> None:
    state: StateDict = {f"layer.{n}.weight": torch.full((n % 4, 3), float(n)) for n in range(400)}
    state |= {f"tied.{n}": state[f"layer.{n}.weight"] for n in range(0, 400, 7)}
    verify(round_trip(method, state, tmp_path), state)


def test_loaded_tensors_are_in_memory_of_their_own_and_only_ties_share_it(method: str, tmp_path: Path) -> None:
    """Neither in the source's nor in a mapped file's: what changes later must not change the model."""
    tied = random_tensor("float32", (90, 90))
    state = {"head": tied, "steps": torch.arange(7), "body": tied.clone(), "embed": tied}
    loaded = round_trip(method, state, tmp_path)
    before = bits(loaded)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(bytes(path.stat().st_size))
    for tensor in state.values():
        tensor.zero_()
    assert bits(loaded) == before
    loaded["head"].fill_(3)
    assert (loaded["embed"] == 3).all()
    assert bits(loaded)["body"] == before["body"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # see ignore_stragglers in test_measure
def test_a_lost_file_fails_the_load(method: str, tmp_path: Path) -> None:
    """A lost chunk too, which zarr would read as zeros."""
    state = {"weight": torch.ones(200, 200), "bias": torch.ones(7)}
    verify(round_trip(method, state, tmp_path), state)
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        path.unlink()
        with pytest.raises((OSError, ValueError, ExceptionGroup, VerificationError)):
            verify(create(method, PLAN).load(tmp_path, CPU), state)
        path.write_bytes(content)


@pytest.mark.parametrize(("device", "refused"), [("cpu", False), ("cuda", False), ("cuda:1", False), ("mps", True)])
def test_a_foreign_device_is_refused_before_the_run(method: str, device: str, refused: bool) -> None:
    model = Model("m", "", (info("a", "bfloat16", (2,)),))
    assert bool(create(method, PLAN).refusal(model, device)) == refused


@pytest.mark.parametrize("dtype", ["complex32", "float4_e2m1fn_x2"])
def test_a_dtype_is_refused_before_the_run_or_comes_back(method: str, dtype: str, tmp_path: Path) -> None:
    model = Model("m", "", (info("a", "float32", (4,)), info("foreign", dtype, (4,))))
    refusal = create(method, PLAN).refusal(model, "cpu")
    if refusal is None:
        state = {"a": torch.zeros(4), "foreign": random_tensor(dtype, (4,))}
        assert bits(round_trip(method, state, tmp_path)) == bits(state)
    else:
        assert refusal.what == f"it cannot hold {dtype}"
