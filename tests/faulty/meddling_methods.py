"""Methods that change what they were given, or that try to reach the model or its judge while they load."""

import ctypes
import gc
import mmap
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from backends.methods.base import AsynchronousMethod, Capabilities, Method
from backends.methods.pytorch.torch_save import PyTorch
from backends.tensors import StateDict
from state.plan import Plan


def _each(change: Callable[[torch.Tensor], object]) -> Callable[[dict[str, Any]], None]:
    def meddle(state: dict[str, Any]) -> None:
        for value in list(state.values()):
            if isinstance(value, dict):
                meddle(value)
            else:
                change(value)

    return meddle


def _transpose(tensor: torch.Tensor) -> None:
    if tensor.ndim == 2:
        tensor.t_()


def _transpose_squares(tensor: torch.Tensor) -> None:
    """The content stays as it is: only the strides tell."""
    if tensor.ndim == 2 and tensor.shape[0] == tensor.shape[1]:
        tensor.copy_(tensor.t().clone())
        tensor.t_()


def _free(tensor: torch.Tensor) -> None:
    tensor.data = torch.empty(0, dtype=tensor.dtype)


def _flatten(tensor: torch.Tensor) -> None:
    tensor.set_(tensor.untyped_storage(), 0, (tensor.numel(),))  # type: ignore[call-overload]


def _move(tensor: torch.Tensor) -> None:
    tensor.data = tensor.clone()


def _replace(state: dict[str, Any]) -> None:
    name = next(reversed(state))
    state[name] = state[name].clone()


def _put_last(state: dict[str, Any]) -> None:
    name = next(iter(state))
    state[name] = state.pop(name)


def _delete(state: dict[str, Any]) -> None:
    """The last one, wherever it is."""
    name = next(reversed(state))
    if isinstance(state[name], dict):
        _delete(state[name])
    else:
        del state[name]


#: The end of a method's name -> what it does to its state.
MEDDLING: Final[dict[str, Callable[[dict[str, Any]], None]]] = {
    "zeroes": _each(lambda tensor: tensor.zero_()),
    "scales": _each(lambda tensor: tensor.mul_(2)),
    "transposes": _each(_transpose),
    "transposes-squares": _each(_transpose_squares),
    "resizes": _each(lambda tensor: tensor.resize_(1)),
    "frees": _each(_free),
    "frees-storages": _each(lambda tensor: tensor.untyped_storage().resize_(0)),
    "flattens": _each(_flatten),
    "moves": _each(_move),
    "replaces": _replace,
    "adds": lambda state: state.update(surplus=torch.ones(1)),
    "deletes": _delete,
    "reorders": _put_last,
}


class Meddles(Method):
    """Saves what it was given, and changes it."""

    def __init__(self, meddle: Callable[[dict[str, Any]], None]) -> None:
        self._inner = PyTorch()
        self._meddle = meddle

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        return cls(MEDDLING[name.rpartition(":")[2]])

    def spec(self, *, durable: bool) -> dict[str, Any]:
        return {}

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        self._inner.save(state, folder, durable=durable)
        if not folder.name.endswith("-warm-up"):
            self._meddle(state)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        return self._inner.load(folder, device)


class MeddlesNested(Meddles):
    """Likewise with dictionaries in dictionaries."""

    capabilities = Capabilities(nested=True)


class MeddlesLater(AsynchronousMethod, Meddles):
    """Likewise in the background."""

    def start(self, state: StateDict, folder: Path, *, durable: bool) -> Callable[[], None]:
        snapshot = {name: tensor.clone() for name, tensor in state.items()}

        def finish() -> None:
            self._inner.save(snapshot, folder, durable=durable)
            if not folder.name.endswith("-warm-up"):
                self._meddle(state)

        return finish

    save = AsynchronousMethod.save


class Sound(Meddles):
    """Leaves everything as it is."""

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        return cls(lambda state: None)


class Hunts(Sound):
    """Writes zeros wherever the model may be, before it loads: tensors, mappings, descriptors."""

    def load(self, folder: Path, device: torch.device) -> StateDict:
        if not folder.name.endswith("-warm-up"):
            for found in gc.get_objects():
                if type(found) is torch.Tensor:
                    found.zero_()
                elif isinstance(found, mmap.mmap):
                    found[:] = bytes(len(found))
            for start, end in _mapped_memory():
                ctypes.memset(start, 0, end - start)
            tried = [_write(int(entry.name)) for entry in list(Path("/proc/self/fd").iterdir()) if _is_memory(entry)]
            if sys.platform == "linux" and (not tried or any(tried)):
                raise RuntimeError(f"{len(tried)} descriptors were found, and {sum(tried)} could be written to")
        return super().load(folder, device)


def _mapped_memory() -> Iterator[tuple[int, int]]:
    """Addresses of what looks like the model: writable, and backed by memory without a name."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if match := re.match(r"(\w+)-(\w+) rw.*(/memfd:|/dev/zero)", line):
            yield int(match[1], 16), int(match[2], 16)


def _is_memory(entry: Path) -> bool:
    return entry.is_symlink() and str(entry.readlink()).startswith("/memfd:")


def _write(fd: int) -> bool:
    for write in (
        lambda: os.pwrite(fd, bytes(4096), 0),
        lambda: Path(f"/proc/self/fd/{fd}").write_bytes(bytes(4096)),
        lambda: mmap.mmap(fd, 4096).write(bytes(4096)),
        lambda: os.ftruncate(fd, 0),
    ):
        try:
            write()
        except OSError:
            continue
        return True
    return False


class Agrees(TorchFunctionMode):
    """Answers every question with yes, and every look at a tensor with the same one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return True


class Bribes(Sound):
    """Loads other bits than were saved, and replaces whatever might notice."""

    def load(self, folder: Path, device: torch.device) -> StateDict:
        state = super().load(folder, device)
        if folder.name.endswith("-warm-up"):
            return state
        next(iter(state.values())).view(-1).view(torch.uint8)[5] ^= 1
        for name in ("equal", "allclose", "eq", "frombuffer"):
            setattr(torch, name, lambda *arguments, **options: True)
        for name in ("array_equal", "allclose"):
            setattr(np, name, lambda *arguments, **options: True)
        same = torch.zeros(4)
        for name in ("equal", "eq", "__eq__", "__ne__", "allclose", "nonzero"):
            setattr(torch.Tensor, name, lambda *arguments, **options: True)
        for name in ("view", "reshape", "cpu", "contiguous", "detach", "numpy", "clone"):
            setattr(torch.Tensor, name, lambda *arguments, **options: same)
        address = same.data_ptr()
        for name in ("data_ptr", "storage_offset", "stride", "is_contiguous"):
            setattr(torch.Tensor, name, lambda *arguments, **options: address)
        for name in ("dtype", "shape", "device", "nbytes", "layout"):
            setattr(torch.Tensor, name, property(lambda tensor: None))
        Agrees().__enter__()  # type: ignore[no-untyped-call]
        return state
