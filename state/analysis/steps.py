"""The next value of a switch: what people get with an arrow key instead of typing."""

from typing import Final, Literal

import msgspec

from state.codecs import Codec
from state.optimizations import MAX_CHUNK_BYTES, MAX_CONCURRENCY, MIN_CHUNK_BYTES
from state.plan import Plan

Switch = Literal["concurrency", "chunking", "compression"]
SWITCHES: Final[tuple[Switch, ...]] = ("concurrency", "chunking", "compression")

#: From fast to small within each codec.
CODECS: Final = (
    *(Codec("gzip", level) for level in (1, 3, 6, 9)),
    *(Codec("zstd", level) for level in (1, 3, 9, 19)),
    *(Codec("blosc-lz4", level) for level in (1, 5, 9)),
    *(Codec("blosc-zstd", level) for level in (1, 5, 9)),
)


def step(plan: Plan, switch: Switch, direction: int) -> Plan:
    """A plan with the next larger (1) or smaller (-1) value of a switch; the ends stay where they are.

    Numbers go from one power of two to the next, codecs along `CODECS`.
    """
    match switch:
        case "concurrency":
            value = _power_of_two(plan.concurrency, direction)
            return msgspec.structs.replace(plan, concurrency=min(MAX_CONCURRENCY, max(1, value)))
        case "chunking":
            value = _power_of_two(plan.chunk_bytes, direction)
            return msgspec.structs.replace(plan, chunk_bytes=min(MAX_CHUNK_BYTES, max(MIN_CHUNK_BYTES, value)))
        case "compression":
            return msgspec.structs.replace(plan, codec=_next_codec(plan.codec, direction))


def _power_of_two(value: int, direction: int) -> int:
    """The nearest power of two above or below."""
    if direction > 0:
        return 1 << value.bit_length()
    return 1 << max(0, (value - 1).bit_length() - 1)


def _next_codec(codec: Codec, direction: int) -> Codec:
    """The neighbour in `CODECS`; one that is not among them goes where it would stand."""
    names = list(dict.fromkeys(known.name for known in CODECS))
    order = [(names.index(known.name), known.level) for known in CODECS]
    here = (names.index(codec.name), codec.level)
    beyond = [k for k, place in enumerate(order) if (place > here if direction > 0 else place < here)]
    if not beyond:
        return codec
    return CODECS[beyond[0] if direction > 0 else beyond[-1]]
