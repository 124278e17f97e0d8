"""Tensors, names and folders that methods stumble over."""

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import torch

from backends.measuring.shared_model import Arena
from backends.tensors import StateDict, dtype_name, unique_tensors
from state.model import Model, TensorInfo

#: Every dtype of torch that a dense tensor of a model can have.
DTYPES: Final = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64", "complex32", "complex64", "complex128"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2"),
)
#: Names that libraries take for paths, patterns, URLs or files of their own, or cannot encode.
NAMES: Final = (
    *("../../x", "../x", "a/b", "a", "/", "\\", "", ".", "..", " ", "index.json", "Index.json", ".zarray", "0.0"),
    *("checkpoint.pt", "CON", "con", "Con", "A", "%41", "a%b", "?#|:*\"'<>$(id)`", "a\0b", "a\nb", "\0", "\r"),
    *("Gewicht-ß", "重み", "é", "e\u0301", "\U0001f9ca", "x" * 4000, "X" * 4000, "x" * 120, "x" * 121, "-rf", "~"),
    *(
        "w.__lock",
        ".__lock",
        "a.__lock/b",
        "\ud800",
        "__metadata__",
        "format",
        "pt",
        ".metadata",
        "model.safetensors",
        "a.b",
        "a..b",
    ),
)
#: Names of folders that libraries take for URLs, patterns or escapes.
FOLDERS: Final = ("with space", "a%41%2F", "a#b?c", "a|b:c", "ü-重", "..a", "q\"'")
#: In every dtype: none, an empty one, and two primes.
_FEW_SHAPES: Final = ((), (0, 5), (67, 131))
#: In one dtype of each size: exactly a tile, just above one, primes that T5X's rule takes to 1, and more dimensions.
_MORE_SHAPES: Final = ((3, 0), (1,), (64, 64), (65, 2, 3), (53, 53, 53), (1999,), (1, 1, 1, 1, 7))


def random_tensor(dtype: str, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """A tensor of any bits that the dtype can have: NaNs with payloads, infinities, negative zeros."""
    torch_dtype: torch.dtype = getattr(torch, dtype)
    size = math.prod(shape) * torch_dtype.itemsize
    generator = torch.Generator().manual_seed(seed)
    content = torch.randint(0, 2 if dtype == "bool" else 256, (size,), dtype=torch.uint8, generator=generator)
    return content.view(torch_dtype).reshape(shape)


def raw(tensor: torch.Tensor) -> bytes:
    """The tensor's bytes in row-major order."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu().numpy().tobytes()


def bits(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[str, tuple[int, ...], str]]:
    """Name -> dtype, shape and a digest of the bytes. Made without the code under test."""
    return {name: (str(t.dtype), tuple(t.shape), hashlib.sha256(raw(t)).hexdigest()) for name, t in state.items()}


def table(tensors: Mapping[str, torch.Tensor]) -> Model:
    """The table of a state dict."""
    unique, aliases = unique_tensors(tensors)
    infos = (TensorInfo(name, dtype_name(t.dtype), tuple(t.shape), t.nbytes) for name, t in unique.items())
    return Model("sample", "made for a test", tuple(infos), aliases)


@contextlib.contextmanager
def in_an_arena(tensors: Mapping[str, torch.Tensor]) -> Iterator[Arena]:
    """A state dict where a run has its model. Views stay when the arena is closed."""
    with contextlib.closing(Arena(table(tensors))) as arena:
        for name, view in arena.shared_views().items():
            view.copy_(tensors[name])
        yield arena


def as_in_a_run(tensors: Mapping[str, torch.Tensor], device: str = "cpu") -> StateDict:
    """A state dict as a run hands it to a method: contiguous, in memory of its own or on a GPU, ties kept."""
    with in_an_arena(tensors) as arena:
        state = arena.state_dict()
    moved = {id(tensor): tensor.to(device) for tensor in state.values()}
    return {name: moved[id(tensor)] for name, tensor in state.items()}


def every_dtype_and_shape(dtypes: Iterable[str]) -> StateDict:
    """Tensors of all these dtypes in shapes that are easily forgotten; each name says which it is."""
    one_of_each_size = {getattr(torch, dtype).itemsize: dtype for dtype in dtypes}.values()
    shapes: list[tuple[str, tuple[int, ...]]] = [(dtype, shape) for dtype in dtypes for shape in _FEW_SHAPES]
    shapes += [(dtype, shape) for dtype in one_of_each_size for shape in _MORE_SHAPES]
    state = {f"{dtype}{shape}": random_tensor(dtype, shape, seed) for seed, (dtype, shape) in enumerate(shapes)}
    return state | {f"tied to {name}": state[name] for name in list(state)[::7]}


def not_contiguous() -> StateDict:
    """Views that skip, repeat, turn or share what lies in memory."""
    matrix = random_tensor("float32", (90, 70), 1)
    image = random_tensor("float32", (2, 3, 8, 8), 2)
    return {
        "transposed": matrix.t(),
        "every second row": matrix[::2, 3:],
        "repeated": matrix[:1].expand(5, 70),
        "channels last": image.contiguous(memory_format=torch.channels_last),
        "diagonal": matrix.diagonal(),
        "a part": matrix.view(-1)[17:1001],
        "the whole": matrix,
    }


def large() -> StateDict:
    """17 MB in one matrix of a prime number of rows, and something small on either side."""
    return {
        "first": random_tensor("float32", (3,), 1),
        "large": random_tensor("float32", (4099, 1031), 2),
        "last": random_tensor("float32", (), 3),
    }


def tiny(count: int) -> StateDict:
    """So many tensors of a few bytes or none, and a tie to every seventh."""
    state: StateDict = {f"layer.{number}.weight": torch.full((number % 4, 3), float(number)) for number in range(count)}
    return state | {f"tied.{number}": state[f"layer.{number}.weight"] for number in range(0, count, 7)}


def layers() -> StateDict:
    """4 MB as a model has them: a matrix, small layers, a tie."""
    state = {"embed": random_tensor("float32", (1024, 768), 1)}
    state |= {f"layer.{number}": random_tensor("float32", (128, 128), number) for number in range(16)}
    return state | {"norm": random_tensor("float32", (999,), 17), "head": state["embed"]}


def two_tensors() -> StateDict:
    """A matrix that is one chunk or several, and a vector."""
    return {
        "weight": random_tensor("float32", (200, 200), 1),
        "bias": random_tensor("float32", (64,), 2),  # more than OCDBT puts into nodes, whose old versions stay
    }
