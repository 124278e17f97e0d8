"""Which folder of a checkpoint holds which tensor, for methods that give every tensor a folder of its own.

A tensor's name never becomes a path unchecked. A plain name is its own folder; any other gets a readable stem and a
digest. `index.json` holds the names as they are, so that each comes back as itself.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

INDEX_NAME: Final = "index.json"
# Lower and upper case fall together on some file systems, so a name with capitals gets a digest too.
_PLAIN: Final = re.compile(r"[a-z0-9_][a-z0-9._-]{0,119}")
_UNSAFE: Final = re.compile(r"[^a-z0-9_-]+")


class Index(msgspec.Struct, frozen=True):
    """The names of a checkpoint.

    Attributes:
        arrays: Tensor name -> folder below the checkpoint.
        aliases: Tied name -> the tensor name that it shares memory with.
        version: Of this format.
    """

    arrays: dict[str, str]
    aliases: dict[str, str]
    version: int = 1


def folder_name(name: str) -> str:
    """A folder name for a tensor name: injective, at most 120 characters, never outside the checkpoint."""
    # TensorStore keeps names that end in .__lock for its lock files and refuses them.
    if _PLAIN.fullmatch(name) and name != INDEX_NAME and not name.endswith(".__lock"):
        return name
    stem = _UNSAFE.sub("-", name[:40].lower()).strip("-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{stem or 'tensor'}%{digest}"  # no plain name has a percent sign, so the two kinds never meet


def make_index(names: Iterable[str], aliases: dict[str, str]) -> Index:
    """The index of a checkpoint with these tensors."""
    return Index({name: folder_name(name) for name in names}, aliases)


def write_index(index: Index, folder: Path, *, durable: bool) -> None:
    """Write `index.json` into the checkpoint, and sync it if asked to."""
    with (folder / INDEX_NAME).open("wb") as file:
        file.write(json.dumps(msgspec.to_builtins(index)).encode())  # escapes what is no UTF-8
        if durable:
            file.flush()
            os.fsync(file.fileno())


def read_index(folder: Path) -> Index:
    """Read it back.

    Raises:
        FileNotFoundError: If there is none.
        msgspec.DecodeError: If it is damaged.
    """
    try:
        content = json.loads((folder / INDEX_NAME).read_bytes())
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from None
    return msgspec.convert(content, Index)
