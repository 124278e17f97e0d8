"""What the plain scripts share: tensors in memory, and a fork for each save and each load.

A script is called with METHOD MODEL DEVICE and hands `serve` its two functions. For every folder that it is told on
standard input they run once each, in a fork, and the seconds of each are printed. When a fork fails, the script ends.
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

import numpy as np
import torch
from safetensors.torch import load_file

Tensors = dict[str, torch.Tensor]

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # as ours: torch has the model on the GPU

METHOD: Final = sys.argv[1]
#: Where tensors are when a save begins and a load ends.
DEVICE: Final = torch.device(sys.argv[3])
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


def serve(save: Callable[[Tensors, Path], None], load: Callable[[Tensors, Path], object]) -> None:
    """Save and load for as long as folders come.

    Args:
        save: Writes tensors into a folder, durably.
        load: Reads them back onto the device; gets what was saved, but on the host, for its names and shapes.
    """
    on_host = model(sys.argv[2])
    gc.freeze()  # a collection in a fork would copy all that torch has imported
    for folder, operation in ((Path(line.strip()), operation) for line in sys.stdin for operation in ("save", "load")):
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
        np.empty(sum(map(len, _memories)), np.uint8).fill(1)  # numpy asks for huge pages, as ours does there
        synchronise()
        start_s = time.perf_counter()
        if operation == "save":
            save(state, folder)
        else:
            loaded = load(state, folder)  # noqa: F841 - freed after the clock, as ours is
        synchronise()
        print(time.perf_counter() - start_s, flush=True)
        os._exit(0)
