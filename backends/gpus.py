"""NVIDIA GPUs as the driver lists them, without touching CUDA: for what people see, never for a measurement.

The driver knows nothing of CUDA_VISIBLE_DEVICES, so where that is set, its numbers may mean other cards than torch's.
"""

import functools
from collections.abc import Callable

import msgspec
import pynvml

from state.run.events import GpuUse
from state.units import KIB


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


def use(device: str) -> GpuUse | None:
    """What goes on on a device; None if it is no GPU or the driver does not tell. Takes some hundredths of a second."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or not _started():
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(number or 0))
        memory_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    except pynvml.NVMLError:
        return None

    def told(ask: Callable[[], float]) -> float | None:  # a virtual GPU may have no such counters
        try:
            return ask()
        except pynvml.NVMLError:
            return None

    def pcie_bytes_per_s(counter: int) -> float:
        return float(pynvml.nvmlDeviceGetPcieThroughput(handle, counter)) * KIB

    return GpuUse(
        memory_bytes,
        told(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100),
        told(lambda: pcie_bytes_per_s(pynvml.NVML_PCIE_UTIL_TX_BYTES)),
        told(lambda: pcie_bytes_per_s(pynvml.NVML_PCIE_UTIL_RX_BYTES)),
    )
