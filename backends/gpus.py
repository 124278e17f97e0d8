"""NVIDIA GPUs as the driver lists them, without touching CUDA: for what people see, never for a measurement.

The driver knows nothing of CUDA_VISIBLE_DEVICES, so where that is set, its numbers may mean other cards than torch's.
"""

import functools

import msgspec
import pynvml


class Gpu(msgspec.Struct, frozen=True):
    """A GPU.

    Attributes:
        device: As torch names it: ``cuda:0``.
        name: Its maker's name for it.
        memory_bytes: Its memory.
    """

    device: str
    name: str
    memory_bytes: int


@functools.cache
def _started() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or no card
        return False
    return True


@functools.cache
def gpus() -> tuple[Gpu, ...]:
    """Every GPU of this machine."""
    if not _started():
        return ()
    found = []
    try:
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(Gpu(f"cuda:{number}", str(pynvml.nvmlDeviceGetName(handle)), int(memory.total)))
    except pynvml.NVMLError:  # a card that was lost; those before it are there
        pass
    return tuple(found)


def used_bytes(device: str) -> int | None:
    """Memory in use on a device, by anybody; None if it is no GPU or the driver does not tell."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or not _started():
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(number or 0))
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    except pynvml.NVMLError:
        return None
