"""Dictionaries of tensors within dictionaries, as trainers save them, and the same tensors with one name each.

Such a name is the path of keys as a JSON Pointer without its first slash (https://www.rfc-editor.org/rfc/rfc6901): keys
are joined by ``/``, a ``/`` within a key is written ``~1``, and a ``~`` is written ``~0``.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch

from backends.tensors import StateDict

#: Text -> a tensor, or another of these.
NestedStateDict: TypeAlias = dict[str, Any]


def path_name(*keys: str) -> str:
    """The name of what stands under these keys."""
    return "/".join(key.replace("~", "~0").replace("/", "~1") for key in keys)


def flatten(nested: Mapping[str, Any]) -> StateDict:
    """Every tensor under its path. Dictionaries without tensors leave no trace.

    Raises:
        TypeError: If a key is no text, or something is neither a tensor nor such a dictionary.
    """
    state: StateDict = {}
    for key, value in nested.items():
        if not isinstance(key, str):
            raise TypeError(f"the key {key!r:.80} is no text: {type(key).__name__}")
        if isinstance(value, torch.Tensor):
            state[path_name(key)] = value
        elif isinstance(value, Mapping):
            state |= {f"{path_name(key)}/{name}": tensor for name, tensor in flatten(value).items()}
        else:
            raise TypeError(f"under {key[:80]!r} is neither a tensor nor a dictionary: {type(value).__name__}")
    return state


def nest(state: Mapping[str, torch.Tensor]) -> NestedStateDict:
    """The dictionaries that `flatten` was given.

    Raises:
        ValueError: If a tensor stands where a dictionary has to be.
    """
    nested: NestedStateDict = {}
    for name, tensor in state.items():
        *parents, last = (key.replace("~1", "/").replace("~0", "~") for key in name.split("/"))
        place: Any = nested
        for key in parents:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise ValueError(f"a tensor stands where {name[:80]!r} needs a dictionary")
        if last in place:
            raise ValueError(f"a dictionary stands where the tensor {name[:80]!r} should be")
        place[last] = tensor
    return nested
