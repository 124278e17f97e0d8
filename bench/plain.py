"""What the plain scripts share: tensors in memory, and a fork for each save and each load.

A script is called with METHOD MODEL DEVICE NEED and hands `serve` its two functions. For every folder that it is told
on standard input they run once each, in a fork, and the seconds of each are printed. A fork that fails ends the script.

Memory is at hand before each clock as in a trial: as much as NEED says that the method fills, by the very
`backends.measuring.memory_at_hand.claim` of a trial, after the caches were dropped. A few plain lines would look more
independent, but a ratio could then come from two ways to prepare; under the clock there is nothing of ours.
"""

import gc
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import torch
from safetensors.torch import load_file

from backends.measuring import memory_at_hand
from state.needs import MemoryNeed
from state.plan import OPERATIONS, Operation

Tensors = dict[str, torch.Tensor]

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # as ours: torch has the model on the GPU

METHOD: Final = sys.argv[1]
#: Where tensors are when a save begins and a load ends.
DEVICE: Final = torch.device(sys.argv[3])
#: What the method fills, as JSON; null leaves memory as it is found.
NEED: Final = msgspec.json.decode(sys.argv[4], type=MemoryNeed | None)
_memories: list[mmap.mmap] = []


def shared(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in memory that forks share, as ours has it. Not by torch, whose threads a fork would wait for in vain."""
    memory = mmap.mmap(-1, tensor.nbytes)
    _memories.append(memory)
    memory.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return torch.frombuffer(memory, dtype=tensor.dtype).view(tensor.shape)


def model(path: str) -> Tensors:
    """The model of a safetensors file, in memory that forks share."""
    return {name: shared(tensor) for name, tensor in load_file(path).items()}


def sync(*paths: Path) -> None:
    """Put these files and folders on the device."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def synchronise() -> None:
    """Wait for a device that works on its own."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize(DEVICE)


def claim(operation: Operation, folder: Path) -> None:
    """Have at hand what comes under the clock: of a save nobody knows yet how large its files will be."""
    if NEED is None:
        return
    model_bytes = sum(map(len, _memories))
    files = (path for path in folder.rglob("*") if path.is_file())
    checkpoint_bytes = model_bytes if operation == "save" else sum(path.stat().st_size for path in files)
    filled_bytes = NEED.filled_bytes(model_bytes, checkpoint_bytes, operation)
    if memory_at_hand.claim(filled_bytes) < filled_bytes:
        print(f"{METHOD}: not all memory is at hand for the {operation}", file=sys.stderr)


def serve(save: Callable[[Tensors, Path], None], load: Callable[[Tensors, Path], object]) -> None:
    """Save and load for as long as folders come.

    Args:
        save: Writes tensors into a folder, durably.
        load: Reads them back onto the device; gets what was saved, but on the host, for its names and shapes.
    """
    on_host = model(sys.argv[2])
    gc.freeze()  # a collection in a fork would copy all that torch has imported
    for folder, operation in ((Path(line.strip()), operation) for line in sys.stdin for operation in OPERATIONS):
        if os.fork():
            _, status = os.wait()
            if status:
                sys.exit(f"the {operation} failed")
            continue
        state = {name: tensor.to(DEVICE) if operation == "save" else tensor for name, tensor in on_host.items()}
        tiny = {"tiny": torch.zeros(2, 2, device=DEVICE)}
        with tempfile.TemporaryDirectory(dir=folder.parent) as warm_up:
            save(tiny, Path(warm_up))
            if operation == "load":  # as ours does
                load(tiny, Path(warm_up))
        for memory in _memories:  # a fork has to map shared pages anew, which ours does before its clock, too
            memory[:: mmap.PAGESIZE]
        os.sync()
        if operation == "load":
            Path("/proc/sys/vm/drop_caches").write_text("3")
        claim(operation, folder)
        synchronise()
        start_s = time.perf_counter()
        if operation == "save":
            save(state, folder)
        else:
            loaded = load(state, folder)  # noqa: F841 - freed after the clock, as ours is
        synchronise()
        print(time.perf_counter() - start_s, flush=True)
        os._exit(0)
