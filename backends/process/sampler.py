"""Look at the trial that runs, from outside: five times a second, at little cost to it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import psutil

from backends import gpus
from backends.measuring.counters import io_counters, moved_bytes
from state.plan import Operation
from state.run.events import Sampled

SAMPLE_S: Final = 0.2


async def watch(trial: int, pid: int, operation: Operation, device: str, on_sample: Callable[[Sampled], None]) -> None:
    """Sample a process until it ends or the task is cancelled."""
    try:
        process = psutil.Process(pid)
        start_s = time.monotonic()
        process.cpu_percent()  # the first call has nothing to compare with
        while True:
            await asyncio.sleep(SAMPLE_S)
            moved = moved_bytes(io_counters(process), operation)
            memory = process.memory_info().rss
            elapsed_s, cpu_fraction = time.monotonic() - start_s, process.cpu_percent() / 100
            gpu = await asyncio.to_thread(gpus.use, device) if device != "cpu" else None
            on_sample(Sampled(trial, moved, elapsed_s, memory, cpu_fraction, gpu))
    except psutil.Error:
        return
