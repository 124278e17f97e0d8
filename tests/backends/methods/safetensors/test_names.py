"""Names, ties and dtypes in safetensors files."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file, save_model

from backends.methods.safetensors.names import DTYPES, pack, unpack
from backends.tensors import verify
from tests.backends.samples import bits, random_tensor

AWKWARD = [
    "__metadata__",
    "format",
    "pt",
    "ckpt_tui.names",
    "ckpt_tui.name.x",
    "\ud800",
    "a\udfffb",
    "",
    "\0",
    "重み",
    "a/b",
]
names = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=[]), max_size=6)


@given(st.lists(names, unique=True, min_size=1, max_size=8), st.integers(0, 7))
def test_any_names_and_ties_come_back(chosen: list[str], owner: int) -> None:
    state = {name: torch.full((2,), float(number)) for number, name in enumerate(chosen)}
    state |= {name: state[chosen[owner % len(chosen)]] for name in chosen[::3]}
    tensors, metadata = pack(state)
    for text in (*tensors, *metadata, *metadata.values()):
        text.encode()  # as the header will
    assert len({id(tensor) for tensor in tensors.values()}) == len(tensors)
    verify(unpack(tensors, metadata), state)


def test_a_file_of_the_library_holds_them(tmp_path: Path) -> None:
    state = {name: torch.full((2,), float(number)) for number, name in enumerate(AWKWARD)}
    state["tied"] = state["\ud800"]
    tensors, metadata = pack(state)
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        verify(unpack({name: file.get_tensor(name) for name in file.offset_keys()}, file.metadata()), state)


def test_ties_are_told_as_the_library_tells_them(tmp_path: Path) -> None:
    model = torch.nn.Module()
    model.body = torch.nn.Linear(3, 3)
    model.head = model.body
    save_model(model, str(tmp_path / "theirs.safetensors"))
    with safe_open(tmp_path / "theirs.safetensors", framework="pt") as file:
        state = unpack({name: file.get_tensor(name) for name in file.offset_keys()}, file.metadata())
    assert state.keys() == model.state_dict().keys()
    assert state["head.weight"] is state["body.weight"]


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_every_dtype_of_the_table_is_called_as_the_library_calls_it(dtype: str, tmp_path: Path) -> None:
    state = {"t": random_tensor(dtype, (3, 5))}
    save_file(state, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert file.get_slice("t").get_dtype() == DTYPES[dtype]
    assert bits(load_file(tmp_path / "x.safetensors")) == bits(state)
