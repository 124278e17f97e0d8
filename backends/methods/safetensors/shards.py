"""A model in one safetensors file or in several, under the names that Hugging Face readers look for.

Several come with an index that says which file holds which tensor:
https://huggingface.co/docs/transformers/big_models#sharded-checkpoints.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from backends.methods.safetensors.header import DamagedFileError
from backends.storage.folder import full_sync
from backends.tensors import StateDict

FILE_NAME: Final = "model.safetensors"
INDEX_NAME: Final = "model.safetensors.index.json"


class _Index(msgspec.Struct):
    """What of an index it takes to find the files."""

    weight_map: dict[str, str]


def split(tensors: StateDict, shard_bytes: int) -> list[StateDict]:
    """Share tensors out in their order, so that no file has more bytes than that, but for a tensor that is larger."""
    shards: list[StateDict] = [{}]
    room_bytes = shard_bytes
    for name, tensor in tensors.items():
        if shards[-1] and tensor.nbytes > room_bytes:
            shards.append({})
            room_bytes = shard_bytes
        shards[-1][name] = tensor
        room_bytes -= tensor.nbytes
    return shards


def file_names(count: int) -> list[str]:
    """What so many files are called."""
    if count == 1:
        return [FILE_NAME]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


def write_index(path: Path, files: Mapping[str, StateDict], *, durable: bool) -> None:
    """Write the index of these files."""
    sizes = sum(tensor.nbytes for shard in files.values() for tensor in shard.values())
    weight_map = {name: file for file, shard in files.items() for name in shard}
    with path.open("wb") as stream:
        stream.write(json.dumps({"metadata": {"total_size": sizes}, "weight_map": weight_map}, indent=1).encode())
        if durable:
            stream.flush()
            full_sync(stream.fileno())


def read_index(folder: Path) -> dict[str, frozenset[str] | None]:
    """The files of a checkpoint, each with the names of its tensors; without an index there is one, of any names.

    Raises:
        DamagedFileError: If the index is none, or names a file elsewhere.
    """
    path = folder / INDEX_NAME
    if not path.exists():
        return {FILE_NAME: None}
    try:
        weight_map = msgspec.json.decode(path.read_bytes(), type=_Index).weight_map
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"{INDEX_NAME} is no index ({error})") from None
    if any(Path(file).name != file or file in ("", "..") for file in weight_map.values()):
        raise DamagedFileError(f"{INDEX_NAME} names files outside of its folder")
    files = dict.fromkeys(sorted(weight_map.values()))
    return {file: frozenset(name for name, where in weight_map.items() if where == file) for file in files}
