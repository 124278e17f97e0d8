"""What `pytorch` measures, by hand: python plain_pytorch.py save|load MODEL FOLDER prints seconds."""

import os
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

operation, model, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
state = {name: tensor.clone() for name, tensor in load_file(model).items()} if operation == "save" else {}
os.sync()
Path("/proc/sys/vm/drop_caches").write_text("3")
start_s = time.perf_counter()
if operation == "save":
    torch.save(state, folder / "checkpoint.pt")
    for path in (folder / "checkpoint.pt", folder, folder.parent):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
else:
    state = torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")
print(time.perf_counter() - start_s)
