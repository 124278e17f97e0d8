"""What a checkpoint of JAX arrays does not say of a model: its names as they are, ties, and arrays without elements.

`leaves.json` beside the library's own files says it. It is written when these are complete, so a save that was killed
has none and cannot be loaded.
"""

import json
from pathlib import Path
from typing import Final, Self

import msgspec

from backends.methods.tensorstore.index import folder_name
from backends.tensors import StateDict, dtype_name, unique_tensors

_FILE_NAME: Final = "leaves.json"


class Leaf(msgspec.Struct, frozen=True):
    """A unique tensor.

    Attributes:
        key: In the dictionary that the library saves.
        dtype: torch's name of it.
        shape: Of the tensor.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def empty(self) -> bool:
        """Whether it has no elements."""
        return 0 in self.shape


class Leaves(msgspec.Struct, frozen=True):
    """The tensors of a checkpoint.

    Attributes:
        leaves: Tensor name -> what is saved of it.
        aliases: Tied name -> the tensor name that it shares memory with.
    """

    leaves: dict[str, Leaf]
    aliases: dict[str, str]

    @classmethod
    def of(cls, state: StateDict) -> Self:
        """Those of a state dict, in which a tied tensor occurs as the same object under several names."""
        tensors, aliases = unique_tensors(state)
        leaves = {
            name: Leaf(folder_name(name), dtype_name(tensor.dtype), tuple(tensor.shape))
            for name, tensor in tensors.items()
        }
        return cls(leaves, aliases)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read them from a checkpoint.

        Raises:
            FileNotFoundError: If the save did not come to its end.
            ValueError: If the file is damaged.
        """
        return msgspec.convert(json.loads((folder / _FILE_NAME).read_bytes()), cls)

    def write(self, folder: Path) -> None:
        """Write them as the end of a save. Syncing is left to the caller."""
        (folder / _FILE_NAME).write_text(json.dumps(msgspec.to_builtins(self)))  # escapes what is no UTF-8

    def with_ties(self, tensors: StateDict) -> StateDict:
        """Every name of the model, from its unique tensors."""
        return tensors | {alias: tensors[name] for alias, name in self.aliases.items()}
