"""Headers of safetensors files: as the library writes them, and everything that a damaged one may say."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from backends.methods.safetensors import header as header_module
from backends.methods.safetensors.header import (
    LENGTH_BYTES,
    DamagedFileError,
    decode,
    encode,
    header_bytes,
    lay_out,
)
from state.errors import RequestError
from tests.backends.samples import random_tensor

SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)
MODELS = st.dictionaries(st.text(max_size=5), st.tuples(st.sampled_from(["bool", "int16", "float64"]), SHAPES))


@given(MODELS, st.sampled_from([8, 512, 4096]))
def test_what_is_encoded_is_decoded_and_aligned(model: dict[str, tuple[str, tuple[int, ...]]], alignment: int) -> None:
    tensors = {name: random_tensor(dtype, shape) for name, (dtype, shape) in model.items() if name != "__metadata__"}
    header = lay_out(tensors, {"format": "pt"})
    raw = encode(header, alignment)
    assert len(raw) % alignment == 0
    assert header_bytes(raw[:LENGTH_BYTES], len(raw) + header.data_bytes) == len(raw) - LENGTH_BYTES
    assert decode(raw[LENGTH_BYTES:], header.data_bytes) == header
    assert all(place.start % place.dtype.itemsize == 0 for place in header.places.values())


def test_a_header_that_no_reader_takes_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    long = lay_out({"a" * 500: torch.ones(1)}, {})
    monkeypatch.setattr(header_module, "MAX_HEADER_BYTES", 1000)
    assert len(encode(long, 8)) < 1000
    monkeypatch.setattr(header_module, "MAX_HEADER_BYTES", 500)
    with pytest.raises(RequestError, match="no reader takes a header of more than 500"):
        encode(long, 8)


def test_a_file_of_the_library_is_understood(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(3, 2), "b": torch.zeros(5, dtype=torch.uint8), "empty": torch.zeros(0, 2)}
    save_file(tensors, tmp_path / "x", {"who": "they"})
    content = (tmp_path / "x").read_bytes()
    start = LENGTH_BYTES + header_bytes(content[:LENGTH_BYTES], len(content))
    header = decode(content[LENGTH_BYTES:start], len(content) - start)
    assert header.metadata == {"who": "they"}
    assert {name: (place.dtype, place.shape) for name, place in header.places.items()} == {
        name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()
    }


def place(dtype: str = "U8", shape: Any = (4,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "table",
    [
        {"a": place(shape=(5,))},
        {"a": place(offsets=(1, 5))},
        {"a": place(offsets=(0, 3), shape=(3,))},
        {"a": place(offsets=(4, 0))},
        {"a": place(shape=(-2, -2))},
        {"a": place(dtype="U9")},
        {"a": place(), "b": place()},
        {"a": place(shape=(2,), offsets=(0, 2)), "b": place(shape=(1,), offsets=(3, 4))},
        {"a": place(shape="4")},
        {"a": place(offsets=(0, 2, 4))},
        {"a": place() | {"more": 1}},
        {"a": place(), "__metadata__": {"x": 1}},
        {"a": 1},
        [],
        {},
    ],
)
def test_a_header_that_cannot_be_true_is_refused(table: Any) -> None:
    with pytest.raises(DamagedFileError):
        decode(json.dumps(table).encode(), 4)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_header_or_refused(text: bytes) -> None:
    with contextlib.suppress(DamagedFileError):
        assert decode(text, 0).data_bytes == 0


@pytest.mark.parametrize(
    ("length", "file_bytes"), [(b"", 0), (b"\2", 1), (bytes(8), 100), (b"\xff" * 8, 10**9), (b"\x5d" + bytes(7), 100)]
)
def test_a_length_that_cannot_be_is_refused(length: bytes, file_bytes: int) -> None:
    with pytest.raises(DamagedFileError, match="cannot have a header"):
        header_bytes(length, file_bytes)
