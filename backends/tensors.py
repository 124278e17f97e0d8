"""Bits of tensors: between torch and numpy without a copy, and compared without mercy."""

from collections.abc import Collection, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch

from backends.raw import DifferenceError, first_difference, form_of
from state.errors import CkptTuiError

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
    """Compare what came back with what was saved, see `compare`.

    Raises:
        VerificationError: At the first difference.
    """
    try:
        compare(loaded, source, device)
    except DifferenceError as difference:
        raise VerificationError(f"came back different: {difference}") from None


def compare(
    model: Mapping[str, torch.Tensor], source: Mapping[str, torch.Tensor], device: torch.device | None = None
) -> None:
    """Compare names, dtypes, shapes, ties and every bit; and that every tensor is on `device`, None allows any.

    Args:
        model: What should be as the source is.
        source: Plain tensors; the same object under a second name is tied.
        device: Where the model should be.

    Raises:
        DifferenceError: At the first difference.
    """
    compare_names(model, source)
    forms = {name: form_of(model[name], name) for name in source}
    _tensors, aliases = unique_tensors(source)
    owners: dict[int, str] = {}
    for name, tensor in source.items():
        form, was = forms[name], form_of(tensor, name)
        if (form.dtype, form.shape) != (was.dtype, was.shape):
            raise DifferenceError(f"tensor {name[:80]!r} is {form} and was {was}")
        if device is not None and not _is_on(form.device, device):
            raise DifferenceError(f"tensor {name[:80]!r} is on {form.device}, not on {device}")
        if name in aliases:
            continue
        if form.address and (owner := owners.setdefault(form.address, name)) != name:
            raise DifferenceError(f"{name[:80]!r} and {owner[:80]!r} are tied and were not")
        if (position := first_difference(model[name], tensor)) is not None:
            raise DifferenceError(f"tensor {name[:80]!r} has other bits, first at byte {position:,}")
    for alias, target in aliases.items():
        if forms[alias].address != forms[target].address:
            raise DifferenceError(f"{alias[:80]!r} and {target[:80]!r} were tied and are no longer")


def compare_names(model: Mapping[str, torch.Tensor], source: Mapping[str, torch.Tensor]) -> None:
    """Compare names alone, in any order.

    Raises:
        DifferenceError: With how many differ.
    """
    missing, surplus = source.keys() - model.keys(), model.keys() - source.keys()
    if missing or surplus:
        parts = ((missing, "missing"), (surplus, "not there before"))
        raise DifferenceError(" and ".join(_that_are(names, words) for names, words in parts if names))


def _is_on(place: torch.device, device: torch.device) -> bool:
    """Whether a place is the device; ``cuda`` without a number is any of them."""
    return place.type == device.type and device.index in (None, place.index)


def _that_are(names: Collection[str], words: str) -> str:
    """``tensor 'a' is missing``, or ``3 tensors are missing, first 'a'``."""
    first = repr(min(names)[:80])
    return f"tensor {first} is {words}" if len(names) == 1 else f"{len(names)} tensors are {words}, first {first}"
