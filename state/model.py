"""The tensors that are checkpointed, as a table: no values, only what is known of them."""

import math
from typing import Final

import msgspec

#: Under which key a training state has the weights.
WEIGHTS_KEY: Final = "model"


class TensorInfo(msgspec.Struct, frozen=True):
    """One unique, contiguous tensor.

    Attributes:
        name: Its name in the state dict; any text at all.
        dtype: torch's name of its dtype, without ``torch.``: ``bfloat16``.
        shape: Its dimensions; empty for a scalar.
        nbytes: Its size in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @property
    def item_bytes(self) -> int:
        """Bytes of one element, also for an empty tensor (1 then: nothing depends on it)."""
        elements = math.prod(self.shape)
        return self.nbytes // elements if elements else 1


class Model(msgspec.Struct, frozen=True):
    """The model under test.

    Attributes:
        name: What the user called it.
        origin: Where the tensors come from, for people: a preset with its scale and seed, or a path.
        tensors: Every unique tensor, in the order of the state dict.
        aliases: Tied names: alias -> the name in `tensors` whose memory it shares.
        fingerprint: Changes when the files that the values come from do; empty without files.
        gzip_ratio: Compressed over raw size by gzip level 1, or None before it was measured.
        gzip_sampled: Whether the ratio comes from a sample of the tensors, and is thus an estimate.
        nested: Whether the names are paths through dictionaries, as a training state has them (`backends.nested`).
    """

    name: str
    origin: str
    tensors: tuple[TensorInfo, ...]
    aliases: dict[str, str] = {}
    fingerprint: str = ""
    gzip_ratio: float | None = None
    gzip_sampled: bool = False
    nested: bool = False

    @property
    def logical_bytes(self) -> int:
        """Bytes of all tensors, shared storage counted once."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights alone, where others are beside them."""
        return sum(t.nbytes for t in self.tensors if not self.nested or t.name.startswith(f"{WEIGHTS_KEY}/"))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that occur, the one with most bytes first."""
        totals: dict[str, int] = {}
        for tensor in self.tensors:
            totals[tensor.dtype] = totals.get(tensor.dtype, 0) + tensor.nbytes
        return tuple(sorted(totals, key=lambda dtype: -totals[dtype]))
