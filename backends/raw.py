"""What a tensor is, and which bytes it has, read by means that nobody replaces once this module is imported.

Libraries patch torch and numpy: functions, methods of `torch.Tensor`, modes that see every call. One that did so by
mistake or on purpose must not decide whether its own load is right. So the means are taken when this module is
imported, which a worker does before it imports any method of others: C functions of torch, and libc's memcmp.
"""

import ctypes
import math
import mmap
from typing import Any, Final, NamedTuple

import torch

_PLAIN: Final = (torch.Tensor, torch.nn.Parameter)
_STRIDED: Final = torch.strided
_no_functions: Final = torch._C.DisableTorchFunction
_no_dispatch: Final = torch._C._DisableTorchDispatch
_dtype, _shape, _device, _layout, _itemsize, _nbytes = (
    getattr(torch.Tensor, name).__get__ for name in ("dtype", "shape", "device", "layout", "itemsize", "nbytes")
)
_strides, _storage_offset, _address = torch.Tensor.stride, torch.Tensor.storage_offset, torch.Tensor.data_ptr
_is_conj, _is_neg = torch.Tensor.is_conj, torch.Tensor.is_neg
_storage, _storage_bytes = torch.Tensor.untyped_storage, torch.UntypedStorage.nbytes
_cpu, _contiguous = torch.Tensor.cpu, torch.Tensor.contiguous
_memcmp: Final = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_memcmp.restype = ctypes.c_int
_empty, _frombuffer, _view, _uint8 = torch.empty, torch.frombuffer, torch.Tensor.view, torch.uint8
_DTYPES: Final = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


class DifferenceError(Exception):
    """Something is not as it was. The text says what, after "the model is different:" or words like these."""


class Form(NamedTuple):
    """What a tensor is besides its bytes.

    Attributes:
        dtype: What its elements are.
        shape: How many of them in each dimension.
        device: Where they are.
        strides: From one to the next in each dimension, in elements.
        start: Where the first is in the storage, in elements.
        address: Where it is in memory.
        storage_bytes: How large the storage is.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    device: torch.device
    strides: tuple[int, ...]
    start: int
    address: int
    storage_bytes: int

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"


def tensor_in(memory: mmap.mmap, offset: int, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor in memory that is there, with a storage of its own.

    Args:
        memory: Lives as long as the tensor.
        offset: Where the tensor begins, in bytes.
        dtype: torch's name of it.
        shape: Of the tensor.
    """
    element = _DTYPES[dtype]
    size_bytes = math.prod(shape) * element.itemsize
    with _no_functions(), _no_dispatch():
        if not size_bytes:
            return _empty(shape, dtype=element)
        return _view(_view(_frombuffer(memory, dtype=_uint8, offset=offset, count=size_bytes), element), shape)


def form_of(tensor: Any, name: str) -> Form:
    """What a tensor is.

    Args:
        tensor: What should be one.
        name: Of it.

    Raises:
        DifferenceError: If it is no plain dense tensor with memory behind it, whose bytes say all that it is.
    """
    title = f"tensor {name[:80]!r}"
    if type(tensor) not in _PLAIN:
        raise DifferenceError(f"{title} is no plain tensor but a {type(tensor).__name__}")
    with _no_functions(), _no_dispatch():
        if (layout := _layout(tensor)) is not _STRIDED:
            raise DifferenceError(f"{title} is not dense: its layout is {layout}")
        if _is_conj(tensor) or _is_neg(tensor):
            raise DifferenceError(f"{title} is still to be conjugated or negated when somebody reads it")
        form = Form(
            _dtype(tensor),
            tuple(_shape(tensor)),
            _device(tensor),
            _strides(tensor),
            int(_storage_offset(tensor)),
            _address(tensor),
            _storage_bytes(_storage(tensor)),
        )
        reach = 1 + form.start + sum((n - 1) * step for n, step in zip(form.shape, form.strides, strict=True))
        if math.prod(form.shape) and reach * _itemsize(tensor) > form.storage_bytes:
            raise DifferenceError(f"{title} reaches beyond its memory of {form.storage_bytes:,} bytes")
    return form


def first_difference(left: torch.Tensor, right: torch.Tensor) -> int | None:
    """Position of the first byte that differs. Bits, not values: NaN equals itself, -0.0 is not 0.0.

    Args:
        left: A tensor with a `Form`.
        right: Another of the same dtype and shape.
    """
    with _no_functions(), _no_dispatch():
        ours, theirs = _contiguous(_cpu(left)), _contiguous(_cpu(right))
        our_address, their_address, end = _address(ours), _address(theirs), _nbytes(ours)
    if not end or not _memcmp(our_address, their_address, end):
        return None
    start = 0
    while end - start > 1:
        middle = (start + end) // 2
        if _memcmp(our_address + start, their_address + start, middle - start):
            end = middle
        else:
            start = middle
    return start
