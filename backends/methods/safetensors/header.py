"""The header of a safetensors file: where in the file each tensor lies.

Eight bytes with the header's length (little endian), the header (JSON, padded with spaces), then the tensors' bytes,
one right after the other without a hole (https://huggingface.co/docs/safetensors).
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import torch

from backends.methods.safetensors.names import DTYPES, METADATA_KEY
from backends.tensors import StateDict, dtype_name
from state.errors import CkptTuiError, RequestError

#: The library's readers refuse more.
MAX_HEADER_BYTES: Final = 100_000_000
LENGTH_BYTES: Final = 8
_TORCH_DTYPES: Final = {name: getattr(torch, dtype) for dtype, name in DTYPES.items()}


class DamagedFileError(CkptTuiError):
    """A file is not what its header, or the format, says that it is."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "do not trust this checkpoint; save it again")


class Place(msgspec.Struct, frozen=True):
    """Where a tensor lies.

    Attributes:
        dtype: What its bytes are.
        shape: Of the tensor.
        start: Its first byte, counted from the end of the header.
        end: After its last byte.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int


class Header(msgspec.Struct, frozen=True):
    """What a file says of itself.

    Attributes:
        places: Tensor name -> its place, in the order of the places.
        metadata: What else it tells.
    """

    places: dict[str, Place]
    metadata: dict[str, str]

    @property
    def data_bytes(self) -> int:
        """Bytes of all tensors."""
        return max((place.end for place in self.places.values()), default=0)


def lay_out(tensors: StateDict, metadata: Mapping[str, str]) -> Header:
    """Give every tensor its place: those of wide dtypes first, so that each begins on a multiple of its item's size."""
    places, start = {}, 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        places[name] = Place(tensor.dtype, tuple(tensor.shape), start, start + tensor.nbytes)
        start += tensor.nbytes
    return Header(places, dict(metadata))


def encode(header: Header, alignment: int) -> bytes:
    """The header as it stands in the file, its length before it, padded so that tensors begin on the alignment.

    Raises:
        RequestError: If it is longer than readers take.
    """
    table: dict[str, Any] = {METADATA_KEY: header.metadata}
    for name, place in header.places.items():
        dtype = DTYPES[dtype_name(place.dtype)]
        table[name] = {"dtype": dtype, "shape": place.shape, "data_offsets": [place.start, place.end]}
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    padded_bytes = -(-(LENGTH_BYTES + len(text)) // alignment) * alignment - LENGTH_BYTES
    if padded_bytes > MAX_HEADER_BYTES:
        raise RequestError(
            f"the names of its tensors take {padded_bytes:,} bytes, and no reader takes a header of more than "
            f"{MAX_HEADER_BYTES:,}",
            "shorten them, or choose another method",
        )
    return padded_bytes.to_bytes(LENGTH_BYTES, "little") + text.ljust(padded_bytes)


def header_bytes(length: bytes, file_bytes: int) -> int:
    """How long the header is, by the first eight bytes of a file.

    Raises:
        DamagedFileError: If a file of that size cannot have such a header.
    """
    size_bytes = int.from_bytes(length, "little")
    if len(length) < LENGTH_BYTES or not 2 <= size_bytes <= min(MAX_HEADER_BYTES, file_bytes - LENGTH_BYTES):
        raise DamagedFileError(f"a file of {file_bytes:,} bytes cannot have a header of {size_bytes:,}")
    return size_bytes


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """A tensor as the JSON has it."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def decode(text: bytes, data_bytes: int) -> Header:
    """Read a header.

    Args:
        text: Its JSON.
        data_bytes: What the file has after it.

    Raises:
        DamagedFileError: If it is no such JSON, or its places do not fill the file without holes.
    """
    try:
        table = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        metadata = msgspec.json.decode(table.pop(METADATA_KEY, msgspec.Raw(b"{}")), type=dict[str, str])
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in table.items()}
        places = {
            name: Place(_TORCH_DTYPES[entry.dtype], entry.shape, *entry.data_offsets)
            for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets)
        }
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"its header is no header ({error})") from None
    except KeyError as error:
        raise DamagedFileError(f"its header names an unknown dtype {error}") from None
    expected = 0
    for name, place in places.items():
        size_bytes = math.prod(place.shape) * place.dtype.itemsize
        if min(place.shape, default=0) < 0 or place.start != expected or place.end - place.start != size_bytes:
            raise DamagedFileError(f"its header gives tensor {name[:80]!r} a place that cannot be")
        expected = place.end
    if expected != data_bytes:
        raise DamagedFileError(f"it holds {data_bytes:,} bytes of tensors, and its header tells of {expected:,}")
    return Header(places, metadata)
