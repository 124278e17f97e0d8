from collections.abc import Iterator
from types import SimpleNamespace

import pynvml
import pytest

from backends import gpus


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
    assert gpus.used_bytes("cuda:0") is None


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
    assert gpus.used_bytes("cuda") == 3 * 10**9
    assert gpus.used_bytes("cuda:1") is None
    assert gpus.used_bytes("cpu") is None
