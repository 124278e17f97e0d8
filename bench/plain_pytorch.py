"""What `pytorch` measures, by hand: python plain_pytorch.py pytorch MODEL.

For every folder that it is told on standard input it saves and loads once, each in a fork, and prints the seconds.
"""

import gc
import mmap
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file


def shared(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in memory that forks share, as ours has it."""
    memory = mmap.mmap(-1, tensor.nbytes)
    return torch.frombuffer(memory, dtype=tensor.dtype).view(tensor.shape).copy_(tensor)


model = sys.argv[2]
state = {name: shared(tensor) for name, tensor in load_file(model).items()}
gc.freeze()  # a collection in a fork would copy all that torch has imported
for folder, operation in ((Path(line.strip()), operation) for line in sys.stdin for operation in ("save", "load")):
    if os.fork():
        os.wait()
        continue
    with tempfile.TemporaryDirectory(dir=folder.parent) as warm_up:
        torch.save({"tiny": torch.zeros(2, 2)}, f"{warm_up}/checkpoint.pt")
        torch.load(f"{warm_up}/checkpoint.pt", weights_only=True, map_location="cpu")
    os.sync()
    if operation == "load":
        Path("/proc/sys/vm/drop_caches").write_text("3")
    start_s = time.perf_counter()
    if operation == "save":
        torch.save(state, folder / "checkpoint.pt")
        for path in (folder / "checkpoint.pt", folder, folder.parent):
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
    else:
        loaded = torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")
    print(time.perf_counter() - start_s, flush=True)
    os._exit(0)
