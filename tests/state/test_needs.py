"""What a run needs of disk and memory, and whether there is room."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.errors import RequestError
from state.model import Model, TensorInfo
from state.needs import MemoryNeed, MemoryPlan, Needs, Room, needs, shortage
from state.plan import Plan
from state.units import MIB, parse_size

PLENTY = Room(10**15, None, 10**15)


def model(*shapes: tuple[int, ...]) -> Model:
    infos = []
    for number, shape in enumerate(shapes):
        elements = 1
        for dim in shape:
            elements *= dim
        infos.append(TensorInfo(f"t{number}", "float16", shape, 2 * elements))
    return Model("m", "m", tuple(infos))


LARGE = model((10**5, 35_000))  # 7 GB


def test_needs_count_the_tiles_and_their_padding() -> None:
    tensors = model((130, 64), (10,))  # 3 tiles of 64x64, the last one padded; 1 tile of 10
    need = needs(Plan(methods=("tensorstore",)), tensors, {})
    assert need.files == 3 + 1 + 2 * 2 + 2
    assert need.disk_bytes == 3 * 64 * 64 * 2 + 10 * 2 + need.files * 4096
    assert needs(Plan(methods=("pytorch",)), tensors, {}).files < need.files


def test_memory_is_that_of_the_trial_that_takes_most() -> None:
    memory = {"a": MemoryNeed(0.0, 1.25), "b": MemoryNeed(1.5, 1.0)}
    planned = needs(Plan(methods=("a", "b")), LARGE, memory).memory
    assert planned.trial == "saving with b"
    assert planned.trial_bytes == 1.5 * 7 * 10**9 + 64 * MIB
    assert planned.total_bytes == 7 * 10**9 + planned.trial_bytes + planned.program_bytes
    assert needs(Plan(methods=("a",)), LARGE, {"a": memory["a"]}).memory.trial == "loading with a"


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Room(999_999, None, 10**12), "/disk has 1.00 MB free and the run needs up to 2.00 MB"),
        (Room(10**9, 10, 10**12), "/disk has 10 inodes free and the run needs up to 122,000 files"),
        (
            Room(10**9, 10**6, 10**10),
            "10.0 GB of memory are available and the run needs about 14.2 GB (the model 7.00 GB, loading with pytorch "
            "7.00 GB, the program 250 MB)",
        ),
    ],
)
def test_a_shortage_says_what_is_there_and_what_is_needed(room: Room, words: str) -> None:
    need = Needs(2_000_000, 122_000, MemoryPlan(7 * 10**9, 7 * 10**9, "loading with pytorch"))
    error = shortage(need, room, Plan(storage="/disk"), LARGE)
    assert error is not None
    assert words in error.what
    assert shortage(need, PLENTY, Plan(storage="/disk"), LARGE) is None


def test_everything_that_is_short_is_said_at_once() -> None:
    need = Needs(2_000_000, 10, MemoryPlan(7 * 10**9, 7 * 10**9, "loading with pytorch"))
    error = shortage(need, Room(1, None, 10**10), Plan(storage="/disk"), LARGE)
    assert error is not None
    assert "/disk has 1.00 B free" in error.what
    assert "; 10.0 GB of memory are available" in error.what
    assert "--size up to" in error.do


@given(st.integers(800 * 10**6, 13 * 10**9), st.floats(0, 3), st.booleans())
def test_the_size_that_is_said_to_fit_does(memory_bytes: int, copies: float, with_optimizer: bool) -> None:
    need = {"m": MemoryNeed(copies, 1.0)}
    room = Room(10**15, None, memory_bytes)

    def refusal(rows: int) -> RequestError | None:
        tensors = training_state(rows) if with_optimizer else model((rows, 10**5 // 2))  # 100 kB a row
        return shortage(needs(Plan(methods=("m",)), tensors, need), room, Plan(methods=("m",)), tensors)

    error = refusal(200_000)
    assert error is not None
    told = re.search(r"--size up to (\S+),", error.do)
    assert told is not None
    rows = parse_size(told[1]) // 10**5
    assert rows < 20 or refusal(rows) is None


def training_state(rows: int) -> Model:
    weights = model((rows, 10**5 // 2)).tensors[0]
    return Model(
        "m",
        "m",
        (
            TensorInfo("model/w", "float16", weights.shape, weights.nbytes),
            TensorInfo("optimizer/state/w/exp_avg", "float32", weights.shape, 2 * weights.nbytes),
        ),
        nested=True,
    )


def test_what_a_trial_fills_is_its_own_memory_and_the_page_cache_of_its_files() -> None:
    need = MemoryNeed(save_copies=1.0, load_copies=1.5, in_flight_bytes=10)
    assert need.filled_bytes(1000, 400, "save") == 1000 + 10 + 400
    assert need.filled_bytes(1000, 400, "load") == 1500 + 10 + 400
    past = msgspec.structs.replace(need, page_cache_copies=0.0)
    assert past.filled_bytes(1000, 400, "load") == past.bytes_for(1000, "load") == 1510
