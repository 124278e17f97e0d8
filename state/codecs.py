"""Compressors, and their levels."""

import re
from typing import Final, Literal

import msgspec

from state.errors import RequestError

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
