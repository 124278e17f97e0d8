from collections.abc import Iterator
from types import SimpleNamespace

import pynvml
import pytest

from backends import gpus
from state.run.events import GpuUse


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What was asked once is remembered, so every test asks anew."""
    for ask in (gpus._started, gpus.gpus):
        ask.cache_clear()
    yield
    for ask in (gpus._started, gpus.gpus):
        ask.cache_clear()


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert gpus.gpus() == ()
    assert gpus.use("cuda:0") is None


def test_cards_are_listed_and_a_lost_one_ends_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def memory(handle: int) -> SimpleNamespace:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return SimpleNamespace(total=80 * 10**9, used=3 * 10**9)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda number: number)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: "A card")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", memory)
    assert gpus.gpus() == (gpus.Gpu("cuda:0", "A card", 80 * 10**9),)


def test_what_goes_on_is_told_as_far_as_the_driver_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(handle: int) -> SimpleNamespace:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=37)

    def index(number: int) -> int:
        if number > 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return number

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(used=3 * 10**9))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", busy)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPcieThroughput", lambda handle, counter: {0: 2, 1: 5}[counter])
    assert pynvml.NVML_PCIE_UTIL_TX_BYTES == 0  # what the GPU transmits goes to the host
    assert gpus.use("cuda") == GpuUse(3 * 10**9, 0.37, 2 * 1024, 5 * 1024)
    assert gpus.use("cuda:1") == GpuUse(3 * 10**9, None, 2 * 1024, 5 * 1024)
    assert gpus.use("cuda:2") is None
    assert gpus.use("cpu") is None
