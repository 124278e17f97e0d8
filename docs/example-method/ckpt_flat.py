"""A model as one flat file: a table as JSON, and after it every tensor's bytes."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import torch

from backends.methods.base import AsynchronousMethod, Capabilities, Method
from backends.tensors import StateDict, dtype_name, unique_tensors
from state.needs import MemoryNeed
from state.plan import Plan

FILE_NAME = "model.flat"


def content(tensor: torch.Tensor) -> memoryview:
    """The tensor's own memory, as bytes."""
    return tensor.detach().view(-1).view(torch.uint8).numpy().data


class Flat(Method):
    """One file, written and read from front to back.

    What it does:
        Writes a table of names, dtypes, shapes and ties as JSON with its length before it, then the bytes of every
        tensor without a gap. Reads each tensor into new memory.

    Defaults:
        Python's own buffered files. No checksum, no alignment, no sync: ckpt-tui syncs under the clock.

    Fidelity:
        There is no upstream: this is the example of the guide to writing a method.

    Sources:
        https://docs.python.org/3/library/io.html
    """

    capabilities = Capabilities(devices=frozenset({"cpu", "cuda"}), dtypes=None, syncs_itself=False)

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """Nothing of the plan applies."""
        return cls()

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """What the results say of a save."""
        return {"save": "file.write(tensor)", "load": "file.readinto(tensor)"}

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """Write the table and every unique tensor."""
        tensors, aliases = unique_tensors(state)
        table = {name: (dtype_name(tensor.dtype), list(tensor.shape)) for name, tensor in tensors.items()}
        header = json.dumps([table, aliases]).encode()
        with (folder / FILE_NAME).open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for tensor in tensors.values():
                file.write(content(tensor.cpu()))

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Read every tensor into memory of its own; a file that ends too early is an error, not a model."""
        state: StateDict = {}
        with (folder / FILE_NAME).open("rb") as file:
            table, aliases = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            for name, (dtype, shape) in table.items():
                tensor = torch.empty(shape, dtype=getattr(torch, dtype))
                if file.readinto(content(tensor)) != tensor.nbytes:
                    raise EOFError(f"{FILE_NAME} ends within a tensor")
                state[name] = tensor.to(device)
        return state | {alias: state[name] for alias, name in aliases.items()}


class FlatAsync(AsynchronousMethod, Flat):
    """The same file, written by a thread from a copy of the model.

    What it does:
        Copies every tensor, lets the training loop go on, and writes the copies meanwhile.

    Defaults:
        One thread.

    Fidelity:
        There is no upstream: this is the example of the guide to writing a method.

    Sources:
        https://docs.python.org/3/library/concurrent.futures.html
    """

    def memory(self, device: str) -> MemoryNeed:
        """A copy of the model while it saves. Its file goes through the page cache: page_cache_copies stays 1."""
        return MemoryNeed(save_copies=1.0)

    def start(self, state: StateDict, folder: Path, *, durable: bool) -> Callable[[], None]:
        """Copy, and hand the rest to the thread; what it returns waits, and raises what went wrong."""
        tensors, aliases = unique_tensors(state)
        copies = {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
        snapshot = copies | {alias: copies[name] for alias, name in aliases.items()}
        thread = ThreadPoolExecutor(1)
        written = thread.submit(Flat.save, self, snapshot, folder, durable=durable)
        thread.shutdown(wait=False)
        return written.result
