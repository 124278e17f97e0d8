"""The three switches of the TensorStore family, their values, and the eight cells that they make."""

from typing import Final

import msgspec

from state.codecs import Codec
from state.units import GIB, KIB, MIB, size_argument

DEFAULT_CONCURRENCY: Final = 128
DEFAULT_CHUNK_BYTES: Final = 64 * MIB
MIN_CHUNK_BYTES: Final = 64 * KIB
MAX_CHUNK_BYTES: Final = GIB
MAX_CONCURRENCY: Final = 4096
#: Bytes of tensors whose chunks may be in memory at a time with concurrency on.
IN_FLIGHT_BYTES: Final = GIB


class Optimizations(msgspec.Struct, frozen=True):
    """The settings of the three switches; ``None`` means off.

    Attributes:
        concurrency: Limit of simultaneous file operations.
        chunk_bytes: Largest size of one chunk before compression.
        codec: Compressor of every chunk.
    """

    concurrency: int | None = None
    chunk_bytes: int | None = None
    codec: Codec | None = None

    def __str__(self) -> str:
        parts = (
            f"{self.concurrency} at a time" if self.concurrency else "one at a time",
            f"chunks of {size_argument(self.chunk_bytes)}" if self.chunk_bytes else "64x64 tiles",
            str(self.codec) if self.codec else "uncompressed",
        )
        return ", ".join(parts)


#: cell name -> which of (concurrency, chunking, compression) are on.
CELLS: Final[dict[str, tuple[bool, bool, bool]]] = {
    "tensorstore": (False, False, False),
    "ts+concurrency": (True, False, False),
    "ts+chunks": (False, True, False),
    "ts+compression": (False, False, True),
    "ts+concurrency+chunks": (True, True, False),
    "ts+concurrency+compression": (True, False, True),
    "ts+chunks+compression": (False, True, True),
    "t5x": (True, True, True),
}
#: Other formats that TensorStore writes -> which of the three switches are on in them.
FORMATS: Final[dict[str, tuple[bool, bool, bool]]] = {
    f"{name}{suffix}": (True, True, bool(suffix))
    for name in ("zarr3", "zarr3-sharded", "ocdbt")
    for suffix in ("", "+compression")
}
#: The cells the other way round.
CELL_OF: Final = {switches: name for name, switches in CELLS.items()}
#: The method that speed-ups are quoted against.
BASELINE: Final = "tensorstore"
