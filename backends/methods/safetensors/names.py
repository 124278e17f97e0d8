"""What a safetensors file can say of tensors: their dtypes, their names, and which of them share memory.

The format (https://huggingface.co/docs/safetensors) has a JSON header in UTF-8 in which every tensor is a key, and
``__metadata__`` maps text to text. It has no word for tensors that share memory. ``safetensors.torch.save_model``
drops all but one of them and leaves a metadata entry, dropped name -> kept name; so do we. A name that no such key can
be is stored under a stand-in, which one more metadata entry maps to it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from backends.tensors import StateDict, unique_tensors

#: torch name -> the format's name, as safetensors 0.8 has them. It has no complex128, and packs float4 in a way of its
#: own, with another shape.
DTYPES: Final = {
    "bool": "BOOL",
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2": "F8_E5M2",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
}
METADATA_KEY: Final = "__metadata__"
_FORMAT_KEY: Final = "format"  # transformers reads no file without it
_OURS: Final = "ckpt_tui."
_NAMES_KEY: Final = f"{_OURS}names"


def pack(state: StateDict) -> tuple[StateDict, dict[str, str]]:
    """What goes into a file.

    Args:
        state: A tied tensor occurs as the same object under several names.

    Returns:
        Every tensor once, under the name that it has in the file, and the file's metadata.
    """
    tensors, aliases = unique_tensors(state)
    stand_ins = {name: _stand_in(name) for name in state if not _is_plain(name)}
    metadata = {_FORMAT_KEY: "pt"}
    metadata |= {stand_ins.get(alias, alias): stand_ins.get(name, name) for alias, name in aliases.items()}
    if stand_ins:
        metadata[_NAMES_KEY] = json.dumps({stand_in: name for name, stand_in in stand_ins.items()})
    return {stand_ins.get(name, name): tensor for name, tensor in tensors.items()}, metadata


def unpack(tensors: StateDict, metadata: Mapping[str, str]) -> StateDict:
    """The state dict that `pack` was given, from what a file holds.

    Raises:
        ValueError: If the metadata are damaged.
    """
    names: dict[str, str] = json.loads(metadata.get(_NAMES_KEY, "{}"))
    told = {alias: name for alias, name in metadata.items() if alias not in (_FORMAT_KEY, _NAMES_KEY)}
    aliases = {alias: name for alias, name in told.items() if alias not in tensors and name in tensors}
    stored = tensors | {alias: tensors[name] for alias, name in aliases.items()}
    return {names.get(name, name): tensor for name, tensor in stored.items()}


def _is_plain(name: str) -> bool:
    """Whether a name can be a key of the header, and means nothing else there."""
    if name in (METADATA_KEY, _FORMAT_KEY) or name.startswith(_OURS):
        return False
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _stand_in(name: str) -> str:
    return f"{_OURS}name.{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
