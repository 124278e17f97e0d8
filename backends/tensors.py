"""Bits of tensors: between torch and numpy without a copy, and compared without mercy."""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch

from state.errors import CkptTuiError
from state.units import MIB

Array = npt.NDArray[Any]
StateDict = dict[str, torch.Tensor]


class VerificationError(CkptTuiError):
    """What was loaded is not what was saved."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "do not trust this checkpoint; see the log and the method's settings")


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a torch dtype without the prefix: ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of this name, those of ml_dtypes included.

    Raises:
        TypeError: If numpy has no such dtype.
    """
    return np.dtype(getattr(ml_dtypes, name, name))


def to_numpy(tensor: torch.Tensor) -> Array:
    """The same memory as a numpy array of the same dtype. The tensor must be contiguous and on the CPU."""
    dtype = numpy_dtype(dtype_name(tensor.dtype))
    return tensor.reshape(-1).view(torch.uint8).numpy().view(dtype).reshape(tuple(tensor.shape))


def from_numpy(array: Array) -> torch.Tensor:
    """The same memory as a torch tensor of the same dtype. The array must be contiguous and writable."""
    dtype: torch.dtype = getattr(torch, array.dtype.name)
    return torch.from_numpy(array.reshape(-1).view(np.uint8)).view(dtype).reshape(array.shape)


def unique_tensors(state: Mapping[str, torch.Tensor]) -> tuple[StateDict, dict[str, str]]:
    """Part a state dict into tensors and aliases (alias -> name): the same object under a second name is an alias."""
    first_names: dict[int, str] = {}
    tensors: StateDict = {}
    aliases: dict[str, str] = {}
    for name, tensor in state.items():
        first = first_names.setdefault(id(tensor), name)
        if first == name:
            tensors[name] = tensor
        else:
            aliases[name] = first
    return tensors, aliases


def verify(
    loaded: Mapping[str, torch.Tensor], source: Mapping[str, torch.Tensor], device: torch.device | None = None
) -> None:
    """Compare names, dtypes, shapes, ties and every bit; and that every tensor is on `device`, None allows any.

    Raises:
        VerificationError: At the first difference.
    """
    missing, surplus = source.keys() - loaded.keys(), loaded.keys() - source.keys()
    if missing or surplus:
        raise VerificationError(f"{len(missing)} tensors are missing and {len(surplus)} were never saved")
    _tensors, aliases = unique_tensors(source)
    owners: dict[int, str] = {}
    for name, tensor in source.items():
        other = loaded[name]
        if other.dtype != tensor.dtype or other.shape != tensor.shape:
            raise VerificationError(
                f"tensor {name[:80]!r} came back as {dtype_name(other.dtype)} {list(other.shape)} "
                f"instead of {dtype_name(tensor.dtype)} {list(tensor.shape)}"
            )
        if device is not None and not _is_on(other, device):
            raise VerificationError(f"tensor {name[:80]!r} came back on {other.device} instead of {device}")
        if name in aliases:
            continue
        if other.nbytes and (owner := owners.setdefault(other.data_ptr(), name)) != name:
            raise VerificationError(f"{name[:80]!r} and {owner[:80]!r} came back tied and were not")
        if (difference := _first_difference(other, tensor)) is not None:
            raise VerificationError(f"tensor {name[:80]!r} came back with other bits, first at byte {difference:,}")
    for alias, target in aliases.items():
        if loaded[alias].data_ptr() != loaded[target].data_ptr():
            raise VerificationError(f"{alias[:80]!r} and {target[:80]!r} were tied and came back apart")


def _is_on(tensor: torch.Tensor, device: torch.device) -> bool:
    """Whether the tensor is on the device; ``cuda`` without a number is any of them."""
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)


def _first_difference(left: torch.Tensor, right: torch.Tensor) -> int | None:
    """Position of the first byte that differs. Bits, not values: NaN equals itself, -0.0 is not 0.0."""
    left_bytes = left.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    right_bytes = right.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    step = 16 * MIB  # bounds the memory of the comparison
    for start in range(0, left_bytes.numel(), step):
        ours, theirs = left_bytes[start : start + step], right_bytes[start : start + step]
        if not torch.equal(ours, theirs):
            return start + int((ours != theirs).nonzero()[0])
    return None
