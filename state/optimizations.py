"""The three switches of the TensorStore family, their values, and the eight cells that they make."""

import re
from typing import Final, Literal

import msgspec

from state.errors import RequestError
from state.units import GIB, KIB, MIB, size_argument

DEFAULT_CONCURRENCY: Final = 128
DEFAULT_CHUNK_BYTES: Final = 64 * MIB
MIN_CHUNK_BYTES: Final = 64 * KIB
MAX_CHUNK_BYTES: Final = GIB
MAX_CONCURRENCY: Final = 4096
#: Bytes of tensors whose chunks may be in memory at a time with concurrency on.
IN_FLIGHT_BYTES: Final = GIB

CodecName = Literal["gzip", "zstd", "blosc-lz4", "blosc-zstd"]

#: codec -> (lowest level, highest level, default level). Level 0 stores without compressing, so it is not offered.
CODEC_LEVELS: Final[dict[CodecName, tuple[int, int, int]]] = {
    "gzip": (1, 9, 1),
    "zstd": (1, 22, 1),
    "blosc-lz4": (1, 9, 5),
    "blosc-zstd": (1, 9, 5),
}


class Codec(msgspec.Struct, frozen=True):
    """A compressor and its level."""

    name: CodecName = "gzip"
    level: int = 1

    def __str__(self) -> str:
        return f"{self.name}:{self.level}"

    @classmethod
    def parse(cls, text: str) -> "Codec":
        """Read ``gzip``, ``zstd:3`` or ``blosc-lz4:5``.

        Raises:
            RequestError: If the codec is unknown or the level is out of its range.
        """
        wanted, colon, level_text = text.partition(":")
        name = next((known for known in CODEC_LEVELS if known == wanted), None)
        if name is None:
            raise RequestError(f"there is no codec {wanted!r}", f"choose one of {', '.join(CODEC_LEVELS)}")
        lowest, highest, default = CODEC_LEVELS[name]
        level = default
        if colon:
            level = int(level_text) if re.fullmatch(r"[0-9]{1,4}", level_text) else -1
            if not lowest <= level <= highest:
                raise RequestError(
                    f"{name} has no level {level_text!r}",
                    f"choose a level from {lowest} to {highest}, as in {name}:{default}",
                )
        return cls(name, level)


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
